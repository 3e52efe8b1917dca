"""A fault hits physical sensors; what a controller computes from them follows."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fault_cell import batch, series

from lipfault.data.recording import Recording
from lipfault.errors import LipfaultError
from lipfault.faults.config import FaultConfig
from lipfault.faults.draws import Draws
from lipfault.faults.engine import FaultEngine
from lipfault.faults.fault import Sensor
from lipfault.faults.scenario import FaultScenario
from lipfault.faults.schedule import FaultEvent, FaultSchedule
from lipfault.faults.sites import draw_channels
from lipfault.modality import Modality, SerialChain

DATA = Path(__file__).parents[2] / 'data'
CPU = torch.device('cpu')

IDENTITY = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PLANAR = SerialChain(
    joints=((0.0, 0.5, 0.0, 0.0), (0.0, 0.25, 0.0, 0.0)),
    base=IDENTITY,
    tool=IDENTITY,
    angles=('q1', 'q2'),
    speeds=('w1', 'w2'),
    position=('x', 'y', 'z'),
    velocity=('vx', 'vy', 'vz'),
    rate=('rx', 'ry', 'rz'),
)
"""Two links in a plane."""


def planar(**changes):
    """An arm of two joints with encoders, current sensors, and a computed tool."""
    tool = ('x', 'y', 'z', 'vx', 'vy', 'vz', 'rx', 'ry', 'rz')
    channels = ('q1', 'w1', 'i1', 'q2', 'w2', 'i2', *tool)
    units = ('rad', 'rad/s', 'A') * 2 + ('m',) * 3 + ('m/s',) * 3 + ('rad/s',) * 3
    count = len(channels)
    fields = {
        'groups': {'encoder1': ('q1', 'w1'), 'encoder2': ('q2', 'w2')},
        'derived': tool,
        'chain': PLANAR,
    }
    return Modality(
        'arm', 'series', 50.0, channels, units, (-3.0,) * count, (3.0,) * count,
        (0.002,) * count, **{**fields, **changes},
    )  # fmt: skip


ARM = planar()


def tool_of(signal):
    """(n, 9, T) position, velocity and rate of the planar tool, by trigonometry."""
    q1, w1, _, q2, w2 = (signal[:, index].double().numpy() for index in range(5))
    c1, s1, c2, s2 = np.cos(q1), np.sin(q1), np.cos(q1 + q2), np.sin(q1 + q2)
    zero = np.zeros_like(q1)
    x, y = 0.5 * c1 + 0.25 * c2, 0.5 * s1 + 0.25 * s2
    vx = -0.5 * s1 * w1 - 0.25 * s2 * (w1 + w2)
    vy = 0.5 * c1 * w1 + 0.25 * c2 * (w1 + w2)
    return np.stack([x, y, zero, vx, vy, zero, zero, zero, w1 + w2], axis=1)


def arm_batch(count=200):
    signals, history, ids = batch(torch.arange(count), {'arm': ARM})
    for part in (signals, history):
        part['arm'][:, 6:] = torch.from_numpy(tool_of(part['arm'])).float() + 0.001
    return signals, history, ids


def test_whole_sensors_are_drawn_and_derived_channels_never():
    groups = Sensor.of(ARM, CPU).groups
    chosen = draw_channels(Draws.of(0, 0, torch.arange(2000)), groups, 1.0, 1)
    assert torch.equal(chosen[:, 0], chosen[:, 1])
    assert torch.equal(chosen[:, 3], chosen[:, 4])
    assert not bool(chosen[:, 6:].any())
    sensors = chosen[:, [0, 2, 3, 5]].sum(1)
    assert sensors.unique().tolist() == [1, 2, 3, 4]
    shares = chosen[:, [0, 2, 3, 5]].float().mean(0)
    assert bool(((shares - 0.625).abs() < 0.05).all())


def test_channels_without_groups_are_drawn_as_single_sensors():
    groups = Sensor.of(series('arm', 6), CPU).groups
    chosen = draw_channels(Draws.of(0, 0, torch.arange(500)), groups, 0.5, 1)
    assert chosen.sum(1).unique().tolist() == [1, 2, 3]


def test_two_sensors_are_of_the_same_units():
    groups = Sensor.of(ARM, CPU).groups
    chosen = draw_channels(Draws.of(0, 0, torch.arange(500)), groups, 0.1, 2)
    currents = chosen[:, 2] & chosen[:, 5]
    encoders = chosen[:, [0, 1, 3, 4]].all(1)
    assert bool((currents ^ encoders).all())
    assert bool(currents.any() and encoders.any())
    everything = draw_channels(Draws.of(0, 0, torch.arange(5)), groups, 0.1, len(ARM.channels))
    assert bool(everything.all())


def test_swapped_encoders_exchange_angle_with_angle():
    chosen = torch.zeros(1, 15, dtype=torch.bool)
    chosen[0, [0, 1, 3, 4]] = True
    following = Sensor.of(ARM, CPU).groups.next_alike(chosen)[0]
    assert following[[0, 1, 3, 4]].tolist() == [3, 4, 0, 1]
    chosen[0, [3, 4]] = False  # no other angle is affected
    assert Sensor.of(ARM, CPU).groups.next_alike(chosen)[0, :2].tolist() == [1, 0]


def test_the_tool_of_a_planar_arm():
    signals, _, _ = arm_batch(5)
    chain = Sensor.of(ARM, CPU).chain
    pose = chain.pose(signals['arm'].index_select(1, chain.inputs))
    assert np.abs(pose.numpy() - tool_of(signals['arm'])).max() < 1e-12


@pytest.mark.parametrize('kind', ['bias', 'stuck', 'delay', 'index_error', 'noise_additive'])
def test_the_tool_follows_the_encoders_that_the_controller_reads(kind):
    signals, history, ids = arm_batch()
    config = FaultConfig(kinds={kind: 1.0}, clean_share=0.3)
    observed, labels = FaultEngine({'arm': ARM}, config)(signals, history, ids)
    clean, seen = signals['arm'], observed['arm']
    expected = clean[:, 6:].double().numpy() + tool_of(seen) - tool_of(clean)
    expected = np.clip(expected, -3, 3)
    step = ARM.steps[6]
    assert np.abs(seen[:, 6:].numpy() - expected).max() <= step
    moved = labels.channels['arm'][:, [0, 1, 3, 4]].any(1)
    assert bool((moved == labels.channels['arm'][:, 6:].any(1))[labels.faulty].float().mean() > 0.9)
    assert bool((~moved & labels.faulty).any())
    outside = ~labels.mask['arm']
    assert torch.equal(seen[outside], clean[outside])


def test_a_lost_encoder_makes_the_tool_lost():
    signals, history, ids = arm_batch()
    config = FaultConfig(kinds={'dropout_nan': 1.0}, clean_share=0.0, missing=True)
    observed, labels = FaultEngine({'arm': ARM}, config)(signals, history, ids)
    lost = observed['arm'].isnan()
    assert bool(lost[:, [0, 3]].any())
    assert torch.equal(lost[:, 6], lost[:, [0, 3]].any(1))
    hit = lost.flatten(1).any(1)
    assert bool((labels.damage[hit, 0] > 100).all())
    assert hit.sum() > 150


def test_a_stream_that_lags_takes_the_tool_along():
    signals, history, ids = arm_batch(50)
    config = FaultConfig(kinds={'desynchronization': 1.0}, clean_share=0.0)
    observed, labels = FaultEngine({'arm': ARM}, config)(signals, history, ids)
    tape = torch.cat([history['arm'], signals['arm']], dim=-1)
    rows = [row for row in range(50) if bool(labels.mask['arm'][row].all())]
    assert rows
    for row in rows:
        # All channels lag alike: the tool is not computed from joints that lag already.
        step, share = torch.arange(0, 50), torch.arange(0, 1, 0.01)[:, None, None, None]
        whole = torch.stack([tape[row, :, 50 - lag : 100 - lag] for lag in range(51)])
        late = whole[step] + share * (whole[step + 1] - whole[step])
        error = (late - observed['arm'][row]).abs()[..., -5:].amax((2, 3))
        assert float(error.min()) < 0.01


def test_a_scheduled_fault_hits_sensors_and_the_tool_follows():
    signals, history, _ = arm_batch(1)
    schedule = FaultSchedule({'arm': ARM}, [FaultEvent('arm', 'bias', 5, 0.5, channels=['q1'])])
    observed, labels = FaultScenario(schedule)(signals, history, torch.tensor([2.0]))
    expected = signals['arm'][:, 6:].numpy() + tool_of(observed['arm']) - tool_of(signals['arm'])
    assert np.abs(observed['arm'][:, 6:].numpy() - expected).max() <= ARM.steps[6]
    assert labels.channels['arm'][:, :6].tolist() == [[True] + [False] * 5]


@pytest.mark.parametrize(
    ('name', 'modality'),
    [
        ('ur5', 'kinematics'),
        ('welding_single', 'kinematics'),
        ('welding_dual', 'kinematics_left'),
        ('welding_dual', 'kinematics_right'),
    ],
)
def test_the_chain_of_a_shipped_cell_gives_the_recorded_tool(name, modality):
    recording = Recording(DATA / f'{name}.h5')
    described = recording.modalities[modality]
    chain = Sensor.of(described, CPU).chain
    assert described.derived == described.chain.outputs
    signal = torch.from_numpy(recording.read(1, modality, 0, 500)).T[None]
    error = chain.pose(signal.index_select(1, chain.inputs)) - signal.index_select(1, chain.outputs)
    noise = torch.tensor(described.noise)[chain.outputs]
    spread = error[0].square().mean(1).sqrt() / noise
    # The noise of the joints adds to that of the tool, most to its velocity.
    assert float(spread[:9].max()) < 1.5
    assert float(spread.max()) < 3
    assert bool((spread > 0.9).all())


def test_a_description_survives_a_dictionary_and_is_optional():
    assert Modality.from_dict(ARM.to_dict()) == ARM
    plain = series('arm', 3)
    fields = plain.to_dict()
    for key in ('groups', 'derived', 'chain'):
        del fields[key]
    assert Modality.from_dict(fields) == plain
    assert plain.sensors == ((0,), (1,), (2,))
    assert ARM.sensors == ((0, 1), (2,), (3, 4), (5,))
    assert hash(ARM) == hash(planar())


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'groups': {'e': ('q1', 'q9')}}, "sensor 'e': unknown channel 'q9', known are q1"),
        ({'groups': {'a': ('q1',), 'b': ('q1', 'w1')}}, "'q1' is in sensor 'b' and in sensor 'a'"),
        ({'groups': {'a': ('x',)}}, "'x' is in sensor 'a' and in the derived channels"),
        ({'derived': ('p',), 'chain': None}, "derived: unknown channel 'p'"),
        ({'derived': (), 'groups': {}}, "must be in derived and those of the joints not; 'x' is"),
        ({'chain': replace(PLANAR, angles=('q1', 'q7'))}, "chain: unknown channel 'q7'"),
    ],
)
def test_contradicting_descriptions_are_named(changes, message):
    with pytest.raises(LipfaultError, match=message):
        planar(**changes)


def test_all_channels_derived_are_named():
    fields = series('arm', 2).to_dict() | {'derived': ['arm0', 'arm1']}
    with pytest.raises(LipfaultError, match='not all channels can be derived'):
        Modality.from_dict(fields)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'base': (1.0,)}, 'base must have 12 entries, got 1'),
        ({'angles': ('q1',)}, 'angles must have 2 entries, got 1'),
        ({'speeds': ()}, 'speeds must have 2 entries, got 0'),
        ({'joints': ((0.0, 1.0), (0.0,))}, 'd, a, alpha and offset'),
        ({'position': ('x',)}, 'position must have 0 or 3 entries, got 1'),
    ],
)
def test_a_chain_of_a_wrong_shape_is_named(changes, message):
    with pytest.raises(LipfaultError, match=message):
        replace(PLANAR, **changes)
    with pytest.raises(LipfaultError, match='needs joints, base, tool and angles'):
        SerialChain.from_dict({'joints': []})


def test_a_sample_is_the_same_in_any_batch():
    signals, history, ids = arm_batch(60)
    engine = FaultEngine({'arm': ARM}, FaultConfig(clean_share=0.1))
    whole, _ = engine(signals, history, ids)
    for rows in (slice(3, 4), slice(10, 17), slice(0, 33)):
        part, _ = engine({'arm': signals['arm'][rows]}, {'arm': history['arm'][rows]}, ids[rows])
        assert torch.equal(part['arm'], whole['arm'][rows])


def test_a_sensor_knows_its_groups():
    sensor = Sensor.of(ARM, CPU)
    assert sensor.groups.member.shape == (4, 15)
    assert sensor.chain is not None
    assert Sensor.of(series('arm', 2), CPU).chain is None
    assert math.isclose(float(sensor.span[0]), 6.0)
