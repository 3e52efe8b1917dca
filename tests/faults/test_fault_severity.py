"""The damage of a severity lies in its interval, for every kind on the shipped windows."""

from itertools import pairwise
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from fault_cell import CELL, batch
from hypothesis import strategies as st

from lipfault.data.datamodule import RecordingDataModule
from lipfault.data.unpack import unpack
from lipfault.errors import LipfaultError
from lipfault.faults.collection import catalogue
from lipfault.faults.config import DAMAGE, SEVERITIES, FaultConfig
from lipfault.faults.engine import FaultEngine
from lipfault.faults.fault import level_at
from lipfault.faults.severity import DamageTable, SeverityScale

UR5 = Path(__file__).parents[2] / 'data/ur5.h5'
WINDOWS = 96


@pytest.fixture(scope='module')
def shipped():
    """(modalities, signals, history, scale): test windows of ur5, other ones than of the scale."""
    data = RecordingDataModule(str(UR5), faults=FaultConfig(), cache='none')
    dataset = data.dataset('test')
    rows = np.linspace(0, len(dataset) - 1, WINDOWS).astype(int)
    signals, history = unpack(dataset.fetch(rows.tolist()), data.geometry)
    return data.modalities, signals, history, data.severity_scale


def damages(shipped, name, kind):
    """(severity, window) damage of a kind on the windows of a modality."""
    modalities, signals, history, scale = shipped
    count = WINDOWS if modalities[name].kind == 'series' else WINDOWS // 2
    found = []
    for severity in SEVERITIES:
        config = FaultConfig(kinds={kind: 1.0}, severities={severity: 1.0}, clean_share=0.0)
        engine = FaultEngine({name: modalities[name]}, config, scale=scale)
        _, labels = engine(
            {name: signals[name][:count]}, {name: history[name][:count]}, torch.arange(count)
        )
        found.append(labels.damage[:, 0].numpy())
    return np.stack(found)


def test_severities_are_intervals_of_damage(shipped):
    modalities, _, _, scale = shipped
    unreached = {severity: [] for severity in SEVERITIES}
    pairs = [
        (name, fault)
        for name in modalities
        for fault in catalogue().values()
        if scale.scales(name, fault)
    ]
    for name, fault in pairs:
        found = damages(shipped, name, fault.name)
        medians = np.median(found, axis=1)
        reaches = scale.reaches(name, fault)
        where = f'{name} {fault.name}: {medians.tolist()}'
        assert (np.diff(medians) > 0).all() or not all(reaches.values()), where
        for severity, low, high in zip(SEVERITIES, DAMAGE[:-1], DAMAGE[1:], strict=True):
            if not reaches[severity]:
                unreached[severity].append((name, fault.name))
                continue
            # Within the sampling error of two medians, of the scale's windows and of these: 95 % of
            # a median's ranks are within 0.98 roots of the count.
            error = np.sqrt(2) * 0.98 / np.sqrt(found.shape[1])
            least, most = np.quantile(found[severity - 1], [0.5 - error, 0.5 + error])
            assert most > low, where
            assert least < high, where
            # Spread over the step rather than one of five amounts.
            assert len(np.unique(found[severity - 1])) > 0.5 * found.shape[1], where
            if scale.table(name, fault).largest > high:  # else a part of the step is left
                lower, upper = np.quantile(found[severity - 1], [0.2, 0.8])
                assert upper > 1.15 * lower, where
    assert unreached[1] == []
    assert len(unreached[5]) <= len(pairs) / 3


def test_the_same_windows_give_the_same_scale(shipped):
    modalities, signals, history, _ = shipped
    fault = catalogue()['bias']
    config = FaultConfig(seed=3, clean_share=0.9, kinds={'gain': 1.0})
    one = SeverityScale(modalities, signals, history, FaultConfig(seed=8))
    other = SeverityScale(modalities, signals, history, config)
    torch.rand(3)
    assert one.table('kinematics', fault) == other.table('kinematics', fault)


@pytest.fixture(scope='module')
def small():
    """A scale of the made-up cell."""
    signals, history, _ = batch(torch.arange(64))
    return SeverityScale(CELL, signals, history, FaultConfig())


def test_a_sample_does_not_depend_on_its_batch(small):
    signals, history, ids = batch(torch.arange(40))
    engine = FaultEngine(CELL, FaultConfig(), scale=small)
    whole, labels = engine(signals, history, ids)
    for row in range(0, 40, 7):
        cut = slice(row, row + 1)
        part, own = engine(
            {name: each[cut] for name, each in signals.items()},
            {name: each[cut] for name, each in history.items()},
            ids[cut],
        )
        assert torch.equal(own.damage, labels.damage[cut])
        for name in CELL:
            assert torch.equal(part[name], whole[name][cut])


def test_what_is_held_out_has_the_same_scale(small):
    engine = FaultEngine(CELL, FaultConfig(held_out=['bias']), scale=small)
    assert engine.only_held_out().scale is small


def test_kinds_that_keep_their_levels(small):
    severity, chance = torch.tensor([1, 3, 5]), torch.tensor([0.1, 0.5, 0.9])
    for kind in ('dropout_nan', 'sensor_swap', 'wrap'):
        fault = catalogue()[kind]
        assert not small.scales('arm', fault)
        assert small.strength('arm', fault, severity, chance).tolist() == [1.0, 3.0, 5.0]
    signals, history, _ = batch(torch.arange(16))
    own = FaultConfig(levels={'bias': [1, 2, 3, 4, 5]})
    assert not SeverityScale(CELL, signals, history, own).scales('arm', catalogue()['bias'])


def test_levels_and_sign_of_the_configuration():
    signals, history, ids = batch(torch.arange(60))
    for sign, side in (('positive', 1), ('negative', -1)):
        config = FaultConfig(
            kinds={'bias': 1.0},
            clean_share=0.0,
            whole_share=1.0,
            modality_weights={'arm': 1.0},
            levels={'bias': [10, 20, 30, 40, 50]},
            sign=sign,
        )
        observed, labels = FaultEngine(CELL, config)(signals, history, ids)
        change = (observed['arm'] - signals['arm'])[labels.mask['arm']]
        expected = side * 0.002 * 10 * labels.severity[:, 1][:, None, None]
        wanted = expected.expand_as(signals['arm'])[labels.mask['arm']]
        assert torch.allclose(change, wanted, atol=1e-6)
    assert catalogue()['bias'].levels != (10, 20, 30, 40, 50)


def test_the_strength_follows_the_table():
    """Damage 2 strength: the strength of damage 3 is 1.5 within the step from 2 to 4."""
    table = DamageTable.measured(lambda strength: 2 * strength, (1, 2, 5, 15, 50, 200))
    wanted = np.array([1.0, 2.0, 4.0, 8.0, 10.0, 99.0])
    assert table.strength(wanted) == pytest.approx([0.5, 1.0, 2.0, 4.0, 5.0, 5.0])
    # Between the strengths measured, geometric in the damage.
    assert table.strength(np.array([np.sqrt(8.0)])) == pytest.approx([1.5])


def test_steep_tables_are_refined():
    jump = DamageTable.measured(lambda s: 1e-9 if s < 3.3 else 300.0, (1, 2, 5, 15, 50, 200))
    place = next(s for s, d in zip(jump.strengths, jump.damage, strict=True) if d > 1)
    assert 3.3 <= place < 3.31
    assert list(jump.damage) == sorted(jump.damage)


@hypothesis.given(
    st.lists(st.floats(1e-3, 1e3), min_size=5, max_size=5, unique=True).map(sorted),
    st.booleans(),
    st.floats(0, 5),
    st.floats(0, 5),
)
def test_levels_are_continuous_and_monotone(anchors, falls, one, other):
    hypothesis.assume(all(high > 1.001 * low for low, high in pairwise(anchors)))
    levels = anchors[::-1] if falls else anchors
    for place, level in enumerate(levels, start=1):
        assert level_at(levels, place) == pytest.approx(level)
    weak, strong = sorted((one, other))
    difference = level_at(levels, strong) - level_at(levels, weak)
    assert difference <= 1e-9 if falls else difference >= -1e-9
    faintest = level_at(levels, 0.0) / levels[0]
    assert faintest == pytest.approx(1e4 if falls else 1e-4)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'damage': [1, 2, 5, 5, 50, 200]}, 'damage must be 6 increasing numbers above 0'),
        ({'damage': [1, 2, 5]}, 'damage must be 6 increasing numbers'),
        ({'damage': [0, 2, 5, 15, 50, 200]}, r'damage\[0\]: must be above 0 .*, got 0'),
        ({'damage': [1, 2, 5, 15, 50, float('nan')]}, r'damage\[5\]: must be above 0 .*, got nan'),
        ({'levels': {'bias': [1, 2, 3]}}, "levels: 'bias' must have 5 levels"),
        ({'levels': {'bias': [1, 2, 2, 3, 4]}}, "levels: 'bias' must rise or fall"),
        ({'levels': {'bais': [1, 2, 3, 4, 5]}}, "'bais': did you mean 'bias'"),
        ({'sign': 'up'}, 'sign: must be both, positive or negative, got up'),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(LipfaultError, match=message):
        FaultEngine(CELL, FaultConfig(**settings))


def test_a_scale_needs_windows_noise_and_edges():
    signals, history, _ = batch(torch.arange(4))
    with pytest.raises(LipfaultError, match='needs damage, six increasing edges'):
        SeverityScale(CELL, signals, history, FaultConfig(damage=None))
    with pytest.raises(LipfaultError, match="no clean window of 'arm'"):
        SeverityScale(CELL, {**signals, 'arm': signals['arm'][:0]}, history, FaultConfig())
    endless = {'arm': CELL['arm'].from_dict({**CELL['arm'].to_dict(), 'noise': [float('inf')] * 7})}
    with pytest.raises(LipfaultError, match='noise, which must be above 0 and finite, got inf'):
        SeverityScale(endless, signals, history, FaultConfig())
