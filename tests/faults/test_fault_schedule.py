"""Schedules: the same reading at the same instant in any window, and labels on the clock."""

import json
import math
from dataclasses import replace

import pytest
import torch
from fault_cell import camera, same, series

from lipfault.errors import LipfaultError
from lipfault.faults.collection import NAMES, catalogue
from lipfault.faults.event import FaultEvent
from lipfault.faults.scenario import FaultScenario
from lipfault.faults.schedule import FaultSchedule, draw_schedule
from lipfault.metrics.delay import alarms_outside, detection_delays

CELL = {'arm': series('arm', 5), 'front': camera('front')}
DURATION_S = 20.0
ENDS = [2.0 + 0.1 * place for place in range(170)]


def episode():
    """(arm (5, steps), film (frames, 3, 16, 12)) of 20 s."""
    draw = torch.Generator().manual_seed(1)
    time = torch.arange(round(DURATION_S * 50)) / 50
    arm = torch.stack([torch.sin(time * (0.5 + 0.2 * c) + c) for c in range(5)])
    arm += 0.002 * torch.randn(arm.shape, generator=draw)
    return arm, torch.rand(round(DURATION_S * 10), 3, 16, 12, generator=draw)


def windows(ends, steps=50, earlier=50, frames=5):
    """(signals, history, end_s) of the windows that end at these instants."""
    arm, film = episode()
    last = [math.floor(end * 50 + 1e-6) + 1 for end in ends]
    shot = [math.floor(end * 10 + 1e-6) for end in ends]
    signals = {
        'arm': torch.stack([arm[:, stop - steps : stop] for stop in last]),
        'front': torch.stack([film[frame] for frame in shot]),
    }
    history = {
        'arm': torch.stack([arm[:, stop - steps - earlier : stop - steps] for stop in last]),
        'front': torch.stack([film[frame - frames : frame] for frame in shot]),
    }
    return signals, history, torch.tensor(ends)


def modality_of(kind):
    fault = catalogue()[kind]
    return next((name for name, each in CELL.items() if fault.fits(each)), None)


KINDS = [kind for kind in NAMES if modality_of(kind)]
IMAGE_KINDS = [kind for kind in KINDS if modality_of(kind) == 'front']


def rough_event(kind):
    return FaultEvent(
        modality_of(kind), kind, 3, 5.03, 11.0, recovery_s=1.0, period_s=0.7, contact_share=0.6
    )


@pytest.mark.parametrize('kind', KINDS)
def test_windows_one_by_one_equal_windows_at_once(kind):
    schedule = FaultSchedule(CELL, [rough_event(kind)], seed=3)
    ends = ENDS[::7]
    signals, history, end_s = windows(ends)
    observed, labels = FaultScenario(schedule)(signals, history, end_s)
    assert bool(labels.faulty.any())
    live = FaultScenario(schedule)
    for row in range(len(ends)):
        part = slice(row, row + 1)
        seen, truth = live(
            {name: each[part] for name, each in signals.items()},
            {name: each[part] for name, each in history.items()},
            end_s[part],
        )
        for name in CELL:
            assert torch.equal(seen[name].nan_to_num(9), observed[name][part].nan_to_num(9))
        for name in ('kind', 'severity', 'damage', 'modality'):
            assert torch.equal(getattr(truth, name), getattr(labels, name)[part])


@pytest.mark.parametrize('kind', [kind for kind in KINDS if modality_of(kind) == 'arm'])
def test_overlapping_windows_see_the_same(kind):
    schedule = FaultSchedule(CELL, [rough_event(kind)], seed=3)
    observed = FaultScenario(schedule)(*windows(ENDS[:120]))[0]['arm'].nan_to_num(9)
    # A slow sensor remembers more than a second.
    tolerance = 0.02 if kind == 'low_pass' else 1e-5
    assert (observed[:-1, :, 5:] - observed[1:, :, :-5]).abs().max() < tolerance


@pytest.mark.parametrize('kind', ['desynchronization', *IMAGE_KINDS])
def test_the_frame_before_is_the_one_observed_a_frame_earlier(kind):
    event = replace(rough_event('fog'), kind=kind)
    scenario = FaultScenario(FaultSchedule(CELL, [event], seed=3))
    signals, history, end_s = windows(ENDS[:120])
    observed, labels = scenario(signals, history, end_s)
    assert bool(labels.modality[:, 1].any())
    shown = scenario.previous_frames(signals, history, end_s)
    assert set(shown) == {'front'}
    assert same(shown['front'][1:], observed['front'][:-1])


@pytest.mark.parametrize('kind', ['missing_frame', 'frozen_frame'])
def test_the_frame_before_may_be_asked_for_first(kind):
    schedule = FaultSchedule(CELL, [FaultEvent('front', kind, 5, 4.0)])
    given, alone = windows(ENDS), FaultScenario(schedule).previous_frames(*windows(ENDS))
    scenario = FaultScenario(schedule)
    scenario(*given)
    assert same(alone['front'], scenario.previous_frames(*given)['front'])


def test_a_perfect_detector_is_late_by_less_than_a_stride():
    events = [
        FaultEvent('arm', 'bias', 5, 5.03, 8.0, recovery_s=0.5),
        FaultEvent('front', 'dirt', 5, 9.31, 12.0),
        FaultEvent('arm', 'gain', 5, 14.0, 14.02),
    ]
    schedule = FaultSchedule(CELL, events)
    _, labels = FaultScenario(schedule)(*windows(ENDS))
    delay = detection_delays(labels.faulty, torch.tensor(ENDS), schedule.spans(), 1.0)
    assert bool(((delay >= 0) & (delay <= 0.1 + 1e-6)).all())
    assert alarms_outside(labels.faulty, torch.tensor(ENDS), schedule.spans(), 1.0) == 0
    assert FaultSchedule(CELL, []).spans().shape == (0, 2)


def test_labels_are_on_the_clock():
    event = FaultEvent('arm', 'bias', 5, 5.0, 9.0, channels=['arm1', 'arm3'])
    _observed, labels = FaultScenario(FaultSchedule(CELL, [event]))(*windows(ENDS))
    end_s = torch.tensor(ENDS)
    faulty = (end_s >= 5.0 - 1e-4) & (end_s - 1 < 9.0 - 0.03)
    assert torch.equal(labels.modality[:, 0], faulty)
    assert not bool(labels.modality[:, 1].any())
    onset = labels.onset[faulty, 0]
    assert torch.allclose(onset, 5.0 - (end_s[faulty] - 1.0), atol=1e-4)
    touched = labels.channels['arm'][faulty].float().mean(0)
    assert touched.tolist() == [0, 1, 0, 1, 0]
    assert {NAMES[kind] for kind in labels.kind[faulty, 0].tolist()} == {'bias'}
    row = ENDS.index(2.0 + 0.1 * 40)  # the window from 5 s to 6 s
    whole = labels.mask['arm'][row, 1]
    assert whole.float().mean() > 0.97


def test_a_stuck_sensor_holds_the_reading_of_its_onset():
    arm, _ = episode()
    event = FaultEvent('arm', 'stuck', 5, 4.0, channels=['arm0'])
    observed, labels = FaultScenario(FaultSchedule(CELL, [event]))(*windows(ENDS))
    late = [row for row, end in enumerate(ENDS) if end > 5.1]
    assert bool((observed['arm'][late, 0] == arm[0, 200]).all())
    assert labels.damage[late, 0].max() > 100


def test_a_frozen_camera_shows_the_frame_of_its_onset():
    _, film = episode()
    event = FaultEvent('front', 'frozen_frame', 2, 4.0)
    observed, _ = FaultScenario(FaultSchedule(CELL, [event]))(*windows(ENDS))
    late = [row for row, end in enumerate(ENDS) if end > 4.05]
    assert bool((observed['front'][late] == film[40]).all())


def test_a_growing_fault_climbs():
    event = FaultEvent('arm', 'bias', 5, 4.0, 14.0, grows=True)
    _, labels = FaultScenario(FaultSchedule(CELL, [event]))(*windows(ENDS))
    severity = labels.severity[:, 0]
    faulty = severity > 0
    assert severity.unique().tolist() == [0, 1, 2, 3, 4, 5]
    inside = [row for row in range(len(ENDS) - 1) if 4.1 < ENDS[row] < 14]
    assert bool((severity[1:] >= severity[:-1])[inside].all())
    assert bool(labels.onset[faulty, 0].isfinite().all())


def test_a_sensor_recovers():
    arm, _ = episode()
    event = FaultEvent('arm', 'bias', 5, 4.0, 6.0, recovery_s=2.0, channels=['arm0'])
    observed, _ = FaultScenario(FaultSchedule(CELL, [event]))(*windows(ENDS))
    error = {}
    for row, end in enumerate(ENDS):
        error[round(end, 1)] = (observed['arm'][row, 0, -1] - arm[0, round(end * 50)]).abs().item()
    assert error[5.0] == pytest.approx(0.4, rel=1e-3)  # 200 noises of 0.002
    assert error[7.0] == pytest.approx(0.2, rel=0.03)
    assert error[8.1] == 0


def test_an_intermittent_contact_comes_and_goes():
    event = FaultEvent('arm', 'bias', 5, 4.0, 14.0, period_s=2.0, contact_share=0.5)
    _, labels = FaultScenario(FaultSchedule(CELL, [event]))(*windows(ENDS))
    last = labels.mask['arm'][:, :, -1].any(1)
    for row, end in enumerate(ENDS):
        if 4.1 < end < 13.9 and abs((end - 4) % 1 - 0.5) < 0.45:
            assert bool(last[row]) == ((end - 4) % 2 < 1)


def test_faults_follow_each_other():
    events = [
        FaultEvent('arm', 'bias', 2, 6.0, 8.0, channels=['arm0']),
        FaultEvent('arm', 'gain', 5, 8.2, 10.0, channels=['arm1']),
        FaultEvent('front', 'fog', 4, 7.0, 9.0),
    ]
    schedule = FaultSchedule(CELL, events)
    _, labels = FaultScenario(schedule)(*windows([7.5, 8.5, 9.1, 9.5]))
    names = [[NAMES[k] if k >= 0 else None for k in row] for row in labels.kind.tolist()]
    assert names == [['bias', 'fog'], ['gain', 'fog'], ['gain', None], ['gain', None]]
    assert labels.channels['arm'].tolist()[1][:2] == [True, True]
    assert [event.kind for event in schedule.active(8.5)] == ['fog', 'gain']


def test_missing_frames_are_told():
    event = FaultEvent('front', 'missing_frame', 5, 4.0, 6.0)
    observed, labels = FaultScenario(FaultSchedule(CELL, [event]))(*windows(ENDS))
    gone = observed['front'].flatten(1).isnan().all(1)
    assert gone.sum() == 20
    assert torch.equal(labels.present['front'], ~gone)


def test_a_schedule_is_plain_text():
    schedule = FaultSchedule(CELL, [FaultEvent('arm', 'bias', 2, 6.0, channels=('arm0',))])
    (plain,) = json.loads(json.dumps(schedule.to_list()))
    plain['stop_s'] = plain['stop_s'] or math.inf
    assert FaultSchedule(CELL, [FaultEvent(**plain)]).to_list() == schedule.to_list()


def test_drawn_schedules_are_a_function_of_seed_and_episode():
    def drawn(episode, seed=0):
        return draw_schedule(CELL, ['series', 'image'], episode, 60.0, count=4, seed=seed)

    assert drawn(3).to_list() == drawn(3).to_list()
    assert drawn(3).to_list() != drawn(4).to_list()
    assert drawn(3).to_list() != drawn(3, seed=1).to_list()
    for number in range(50):
        for place, event in enumerate(drawn(number).events):
            assert 15 * place <= event.start_s < event.over_s <= 15 * (place + 1)


@pytest.mark.parametrize(
    ('events', 'message'),
    [
        ([FaultEvent('leg', 'bias', 1, 0.0)], "unknown modality 'leg'"),
        ([FaultEvent('arm', 'bais', 1, 0.0)], "did you mean 'bias'"),
        ([FaultEvent('arm', 'fog', 1, 0.0)], 'must be one kind of fault that fits'),
        ([FaultEvent('arm', 'drift', 1, 0.0)], 'must be one kind of fault that fits'),
        ([FaultEvent('arm', 'bias', 6, 0.0)], 'severity must be 1 to 5, got 6'),
        ([FaultEvent('arm', 'bias', 1, 3.0, 2.0)], 'got 3.0 s to 2.0 s'),
        ([FaultEvent('arm', 'bias', 1, 3.0, grows=True)], 'needs stop_s'),
        ([FaultEvent('arm', 'bias', 1, 3.0, contact_share=0.0)], 'contact_share must be'),
        ([FaultEvent('arm', 'bias', 1, 3.0, horizon_s=0.0)], 'horizon_s must be positive'),
        ([FaultEvent('arm', 'bias', 1, 3.0, channels=['arm9'])], "unknown channel of 'arm' 'arm9'"),
        (
            [FaultEvent('arm', 'bias', 1, 0.0, 3.0, 1.0), FaultEvent('arm', 'gain', 1, 3.5)],
            "two faults of 'arm' overlap: 'bias' until 4.0 s and 'gain' from 3.5 s",
        ),
    ],
)
def test_senseless_schedules_are_named(events, message):
    with pytest.raises(LipfaultError, match=message):
        FaultSchedule(CELL, events)


def test_a_schedule_needs_a_kind_that_fits():
    with pytest.raises(LipfaultError, match='none of the kinds'):
        draw_schedule({'arm': CELL['arm']}, ['fog'], 0, 10.0)
