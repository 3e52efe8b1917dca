"""Scenarios: independent episodes, exact state at any length of event, and refusals."""

import math
from itertools import pairwise

import pytest
import torch
from fault_cell import camera, same, series
from hypothesis import given, settings
from hypothesis import strategies as st

from lipfault.errors import LipfaultError
from lipfault.faults.collection import catalogue
from lipfault.faults.event import FaultEvent
from lipfault.faults.event_steps import EventSteps
from lipfault.faults.fault import level_at
from lipfault.faults.scenario import FaultScenario
from lipfault.faults.schedule import FaultSchedule, draw_schedule
from lipfault.faults.series.site import SeriesFault

RATE = {'arm': 50, 'front': 10}
CELL = {'arm': series('arm', 5), 'front': camera('front')}
HISTORY_S = 0.5


def recording(duration_s, seed=1):
    """(arm (5, steps), film (frames, 3, 16, 12)) without a repeated reading."""
    draw = torch.Generator().manual_seed(seed)
    time = torch.arange(round(duration_s * 50)) / 50
    arm = torch.stack([torch.sin(time * (0.5 + 0.2 * c) + c) for c in range(5)])
    arm += 0.01 * torch.randn(arm.shape, generator=draw)
    return arm, torch.rand(round(duration_s * 10), 3, 16, 12, generator=draw)


def windows(tape, ends, steps=50, earlier=25, frames=5, late_s=0.0):
    """(signals, history, end_s) of windows of a tape, whose first sample is at `late_s`."""
    arm, film = tape
    last = [math.floor((end - late_s) * 50 + 1e-6) + 1 for end in ends]
    shot = [math.floor((end - late_s) * 10 + 1e-6) for end in ends]
    signals = {
        'arm': torch.stack([arm[:, stop - steps : stop] for stop in last]),
        'front': torch.stack([film[frame] for frame in shot]),
    }
    history = {
        'arm': torch.stack([arm[:, stop - steps - earlier : stop - steps] for stop in last]),
        'front': torch.stack([film[frame - frames : frame] for frame in shot]),
    }
    return signals, history, torch.tensor(ends, dtype=torch.float64)


def ends_of(duration_s, stride_s=0.1, start_s=1.5):
    return [start_s + stride_s * n for n in range(int((duration_s - 0.02 - start_s) / stride_s))]


def observed(event, tape, ends, size=1000, **options):
    """Observed readings, the first step and the known ones, and frames by number.

    The windows come in batches of `size`; where they overlap they must agree.
    """
    scenario = FaultScenario(FaultSchedule(CELL, [event], seed=3))
    first = math.floor(ends[0] * 50 + 1e-6) - 49
    count = math.floor(ends[-1] * 50 + 1e-6) + 1 - first
    arm, known, front = torch.zeros(5, count), torch.zeros(count, dtype=torch.bool), {}
    for start in range(0, len(ends), size):
        part = ends[start : start + size]
        seen, _ = scenario(*windows(tape, part, **options))
        for row, end in enumerate(part):
            stop = math.floor(end * 50 + 1e-6) + 1 - first
            here, own = slice(stop - 50, stop), seen['arm'][row]
            assert same(arm[:, here][:, known[here]], own[:, known[here]])
            arm[:, here], known[here] = own, True
            frame = math.floor(end * 10 + 1e-6)
            assert same(front.setdefault(frame, seen['front'][row]), seen['front'][row])
    return arm, first, known, front


def arm_of(found):
    """Readings (5, steps) and their steps."""
    arm, first, known, _ = found
    return arm[:, known], (first + known.nonzero()[:, 0]).tolist()


def assert_same_where_both(one, other):
    first, stop = max(one[1], other[1]), min(each[1] + len(each[2]) for each in (one, other))
    parts = [slice(first - each[1], stop - each[1]) for each in (one, other)]
    both = one[2][parts[0]] & other[2][parts[1]]
    assert both.sum() > 50
    assert same(one[0][:, parts[0]][:, both], other[0][:, parts[1]][:, both])
    frames = set(one[3]) & set(other[3])
    assert len(frames) > 4
    assert all(same(one[3][frame], other[3][frame]) for frame in frames)


def test_each_episode_has_draws_of_its_own():
    tape, event = recording(4.0), FaultEvent('arm', 'bias', 4, 2.0)
    found = {}
    for number in range(50):
        scenario = FaultScenario(FaultSchedule(CELL, [event], episode=f'ur5/{number}'))
        seen, labels = scenario(*windows(tape, [3.5]))
        offset = (seen['arm'] - tape[0][:, 126:176])[0, :, -1].sign().int()
        found[number] = tuple(offset.tolist())
        assert labels.channels['arm'][0].any()
    # 5 channels of which 1 or 2 are affected, each with a sign.
    assert len(set(found.values())) > 15


def test_events_do_not_depend_on_each_other():
    tape, ends = recording(10.0), ends_of(10.0)
    late = FaultEvent('arm', 'bias', 4, 6.0, 8.0)
    others = FaultEvent('arm', 'gain', 2, 3.0, 4.0), FaultEvent('front', 'fog', 2, 1.0)
    found = []
    for before in ([], *([other] for other in others)):
        schedule = FaultSchedule(CELL, [*before, late], episode='a')
        found.append(FaultScenario(schedule)(*windows(tape, ends))[0]['arm'][50:])
    assert not same(found[0], windows(tape, ends)[0]['arm'][50:])
    assert same(found[0], found[1])
    assert same(found[0], found[2])


@pytest.mark.parametrize('severity', [1, 3, 5])
def test_a_dropout_holds_the_last_good_reading_for_any_time(severity):
    # 40 s: blocks of up to 4 s, far longer than window and history.
    tape, ends = recording(45.0), ends_of(45.0)
    event = FaultEvent('arm', 'dropout_hold', severity, 3.0, 43.0, channels=['arm0'])
    reading, steps = arm_of(observed(event, tape, ends, 16))
    clean = tape[0][:, steps]
    # A good reading is the clean one; in between the last good one is repeated.
    good = clean[0] == reading[0]
    held = None
    for place in range(len(steps)):
        held = clean[0, place] if good[place] else held
        assert reading[0, place] == held
    inside = torch.tensor([150 <= step < 2150 for step in steps])
    assert bool(good[~inside].all())
    longest = _longest_run(~good)
    assert longest > 75 if severity > 1 else longest > 30
    assert torch.equal(reading[1:], clean[1:])


def _longest_run(bad):
    longest = run = 0
    for each in bad.tolist():
        run = run + 1 if each else 0
        longest = max(longest, run)
    return longest


def test_a_stuck_sensor_holds_the_reading_of_each_contact():
    tape, ends = recording(12.0), ends_of(12.0)
    event = FaultEvent(
        'arm', 'stuck', 5, 3.0, 11.0, channels=['arm0'], period_s=2.0, contact_share=0.5
    )
    reading, steps = arm_of(observed(event, tape, ends, 7))
    for place, step in enumerate(steps):
        contact, age = divmod(step - 150, 100)
        inside = 150 <= step < 550 and age < 50
        expected = tape[0][0, 150 + 100 * contact] if inside else tape[0][0, step]
        assert reading[0, place] == expected


def test_a_frozen_camera_repeats_the_frame_of_each_contact():
    tape, ends = recording(12.0), ends_of(12.0)
    event = FaultEvent('front', 'frozen_frame', 5, 3.0, 11.0, period_s=2.0, contact_share=0.5)
    found = observed(event, tape, ends, 7)[3]
    for frame, seen in found.items():
        contact, age = divmod(frame - 30, 20)
        inside = 30 <= frame < 110 and age < 10
        assert same(seen, tape[1][30 + 20 * contact if inside else frame])


def test_a_drift_grows_anew_in_each_contact():
    tape, ends = recording(12.0), ends_of(12.0)
    event = FaultEvent(
        'arm', 'drift_linear', 5, 3.0, 11.0, channels=['arm0'], period_s=2.0, contact_share=0.5
    )
    reading, steps = arm_of(observed(event, tape, ends))
    offset = (reading[0] - tape[0][0, steps]).abs()
    for contact in range(4):
        own = offset[[steps.index(150 + 100 * contact + age) for age in range(50)]]
        # All of the amplitude at the end of each contact.
        assert own[-1] == pytest.approx(500 * 0.002, rel=1e-3)
        assert torch.allclose(own, own[-1] * torch.arange(1, 51) / 50, atol=1e-3)


def test_contacts_have_draws_of_their_own():
    tape, ends = recording(30.0), ends_of(30.0)
    event = FaultEvent('arm', 'spikes', 5, 3.0, 29.0, period_s=2.0, contact_share=0.5)
    reading, steps = arm_of(observed(event, tape, ends))
    hit = reading != tape[0][:, steps]
    places = {
        tuple(
            hit[:, steps.index(150 + 100 * contact) : steps.index(150 + 100 * contact) + 50]
            .any(0)
            .tolist()
        )
        for contact in range(12)
    }
    assert len(places) == 12
    assert hit.any(1).sum() <= 2  # the channels are those of the event


@pytest.mark.parametrize('kind', ['bias', 'gain', 'noise_additive', 'delay', 'dropout_hold'])
def test_windows_agree_after_hours(kind):
    # Windows at 10,800 s, of a recording of which only the last seconds are given.
    late_s = 10_800.0
    tape = recording(12.0)
    ends = [late_s + end for end in ends_of(12.0)]
    event = FaultEvent('arm', kind, 3, late_s + 3.03, late_s + 9.0)
    found = observed(event, tape, ends, 5, late_s=late_s)
    assert int(found[2].sum()) == 50 + 5 * (len(ends) - 1)
    reading, steps = arm_of(found)
    clean = tape[0][:, [step - round(late_s * 50) for step in steps]]
    faulty = [
        step for step, changed in zip(steps, (reading != clean).any(0), strict=True) if changed
    ]
    assert min(faulty) >= round(late_s * 50) + 152
    assert max(faulty) < round(late_s * 50) + 450


def test_coarse_ends_are_refused():
    signals, history, end_s = windows(recording(4.0), [2.0])
    scenario = FaultScenario(FaultSchedule(CELL, []))
    scenario(signals, history, end_s.float())
    with pytest.raises(LipfaultError, match=r'float32 is too coarse at 10800 s for .arm. at 50 Hz'):
        FaultScenario(FaultSchedule(CELL, []))(signals, history, (end_s + 10798).float())


def test_a_growing_fault_has_no_stairs():
    tape, ends = recording(16.0), ends_of(16.0)
    event = FaultEvent('arm', 'bias', 5, 3.0, 13.0, grows=True, channels=['arm0'])
    reading, steps = arm_of(observed(event, tape, ends, 9))
    offset = (reading[0] - tape[0][0, steps]).abs()
    own = offset[steps.index(150) : steps.index(650)]
    # From nothing to 200 noises of 0.002, by less than 2 % of that in a step.
    assert own[0] < 1e-3
    assert own[-1] == pytest.approx(0.4, rel=1e-3)
    assert float(own.diff().max()) < 0.02 * 0.4
    assert float(own.diff().min()) > -1e-5
    assert (own.diff() > 1e-6).float().mean() > 0.8


@pytest.mark.parametrize(
    'kind', ['bias', 'delay', 'stuck', 'low_pass', 'dropout_hold', 'frozen_frame']
)
def test_a_growing_fault_is_the_same_in_any_windows(kind):
    tape = recording(12.0)
    name = 'front' if kind == 'frozen_frame' else 'arm'
    event = FaultEvent(name, kind, 4, 3.03, 9.0, recovery_s=1.0, grows=True)
    one = observed(event, tape, ends_of(12.0), 1)
    assert_same_where_both(one, observed(event, tape, ends_of(12.0, 0.3), 8))


def test_the_order_of_the_signals_does_not_matter():
    tape, event = recording(4.0), FaultEvent('front', 'fog', 3, 2.0)
    signals, history, end_s = windows(tape, [2.5, 3.0])
    schedule = FaultSchedule(CELL, [event])
    expected, truth = FaultScenario(schedule)(signals, history, end_s)
    turned = {name: signals[name] for name in ('front', 'arm')}
    found, labels = FaultScenario(schedule)(turned, history, end_s)
    assert same(found['front'], expected['front'])
    assert torch.equal(labels.modality, truth.modality)
    assert truth.modality.tolist() == [[False, True]] * 2


KINDS = [name for name, fault in catalogue().items() if any(map(fault.fits, CELL.values()))]


def shown_before(schedule, tape, ends):
    """The frames before, by number."""
    given = windows(tape, ends)
    shown = FaultScenario(schedule).previous_frames(*given)['front']
    return {math.floor(end * 10 + 1e-6) - 1: shown[row] for row, end in enumerate(ends)}


def assert_windows_agree(event, seed=1, strides=(0.1, 0.3), sizes=(4, 1)):
    """Two runs of windows of one recording show the same wherever both have an instant."""
    tape = recording(9.0, seed)
    ends = [ends_of(9.0, stride) for stride in strides]
    one, other = (observed(event, tape, *each) for each in zip(ends, sizes, strict=True))
    assert_same_where_both(one, other)
    schedule = FaultSchedule(CELL, [event], seed=3)
    before = shown_before(schedule, tape, ends[1])
    frames = set(before) & set(one[3])
    assert all(same(before[frame], one[3][frame]) for frame in frames)
    changed, steps = arm_of(one)
    return not same(changed, tape[0][:, steps]) or any(
        not same(frame, tape[1][place]) for place, frame in one[3].items()
    )


def event_of(kind, severity=3, start_s=2.03, length_s=5.0, **options):
    name = next(name for name, modality in CELL.items() if catalogue()[kind].fits(modality))
    return FaultEvent(name, kind, severity, start_s, start_s + length_s, **options)


@pytest.mark.parametrize('kind', KINDS)
def test_windows_of_any_stride_and_batch_agree(kind):
    assert assert_windows_agree(event_of(kind, period_s=2.2, contact_share=0.7, recovery_s=0.5))


@settings(deadline=None, max_examples=25)
@given(
    kind=st.sampled_from(KINDS),
    severity=st.integers(1, 4),
    start_s=st.floats(2.0, 6.0),
    length_s=st.floats(0.02, 5.0),
    period_s=st.one_of(st.just(0.0), st.floats(0.1, 3.0)),
    contact_share=st.floats(0.05, 1.0),
    recovery_s=st.one_of(st.just(0.0), st.floats(0.1, 1.0)),
    grows=st.booleans(),
    strides=st.tuples(*[st.sampled_from([0.07, 0.1, 0.25, 0.4])] * 2),
    sizes=st.tuples(*[st.sampled_from([1, 3, 16, 1000])] * 2),
    seed=st.integers(0, 1000),
)
def test_windows_of_any_schedule_agree(strides, sizes, seed, **event):
    assert_windows_agree(event_of(**event), seed, strides, sizes)


class Half:
    """A scale at which every severity is a strength of 2.5."""

    def strength(self, modality, fault, severity, chance):
        assert (modality, fault.name) == ('arm', 'bias')
        assert 0 <= float(chance) < 1
        return torch.full_like(chance, 2.5)


def test_a_scale_sets_the_strength():
    tape, event = recording(4.0), FaultEvent('arm', 'bias', 1, 2.0, channels=['arm0'])
    schedule = FaultSchedule(CELL, [event], scale=Half())
    assert schedule.strengths() == [2.5]
    seen, labels = FaultScenario(schedule)(*windows(tape, [3.5]))
    offset = float((seen['arm'][0, 0] - tape[0][0, 126:176])[-1].abs())
    assert offset == pytest.approx(level_at(catalogue()['bias'].levels, 2.5) * 0.002, rel=0.02)
    assert labels.severity.tolist() == [[1, 0]]


HOLD = FaultEvent('arm', 'dropout_hold', 3, 2.5, 6.0)


def test_a_second_run_is_refused():
    scenario = FaultScenario(FaultSchedule(CELL, [HOLD]))
    given = windows(recording(9.0), ends_of(9.0))
    scenario(*given)
    with pytest.raises(LipfaultError, match='make a FaultScenario for each run'):
        scenario(*given)


def test_a_second_episode_is_refused():
    tape, ends = recording(9.0), ends_of(9.0)
    scenario = FaultScenario(FaultSchedule(CELL, [HOLD]))
    scenario(*windows(tape, ends[:30]))
    with pytest.raises(LipfaultError, match="'arm' has two readings at one instant"):
        scenario(*windows(recording(9.0, seed=2), ends[30:]))
    scenario = FaultScenario(FaultSchedule(CELL, [HOLD]))
    scenario(*windows(tape, ends[:10]), episode=4)
    with pytest.raises(LipfaultError, match='scenario of episode 4 got windows of episode 5'):
        scenario(*windows(tape, ends[10:20]), episode=5)


@pytest.mark.parametrize(
    'event', [HOLD, FaultEvent('front', 'frozen_frame', 3, 2.5, 6.0)], ids=['series', 'image']
)
def test_a_late_start_and_a_gap_are_refused(event):
    tape, ends = recording(9.0), ends_of(9.0)
    late = [end for end in ends if end > 5.0]
    with pytest.raises(LipfaultError, match='which no window has held; begin with the first'):
        FaultScenario(FaultSchedule(CELL, [event]))(*windows(tape, late))
    scenario = FaultScenario(FaultSchedule(CELL, [event]))
    scenario(*windows(tape, ends[:5]))
    with pytest.raises(LipfaultError, match='which no window has held'):
        scenario(*windows(tape, late))
    # A fault without memory needs none of it.
    whole = FaultScenario(FaultSchedule(CELL, [FaultEvent('arm', 'bias', 3, 2.5, 6.0)]))
    expected, _ = whole(*windows(tape, ends))
    joined = FaultScenario(FaultSchedule(CELL, [FaultEvent('arm', 'bias', 3, 2.5, 6.0)]))
    found, _ = joined(*windows(tape, late))
    assert same(found['arm'], expected['arm'][-len(late) :])


class Back(SeriesFault):
    """Reads 40 steps back."""

    name, group, levels = 'back', 'own', (1.0, 2.0, 3.0, 4.0, 5.0)
    needs_history = True

    def reach(self, severity, rate_hz):
        return 40

    def apply(self, site):
        return site.at(site.time[:, None] - 40), site.mask


def test_a_history_shorter_than_a_delay_is_refused():
    tape, late = recording(9.0), [3.0, 3.1]
    event = FaultEvent('arm', 'back', 5, 2.2)
    schedule = FaultSchedule(CELL, [event], own={'back': Back()})
    with pytest.raises(LipfaultError, match=r'from step 70 to 156, which no window has held'):
        FaultScenario(schedule)(*windows(tape, late))
    whole, _ = FaultScenario(schedule)(*windows(tape, [1.5, 2.0, 2.5, *late]))
    long, _ = FaultScenario(schedule)(*windows(tape, late, earlier=51))
    assert same(whole['arm'][-2:], long['arm'])
    film = FaultEvent('front', 'desynchronization', 5, 2.5)
    with pytest.raises(LipfaultError, match=r'reads 8 frames back.*the history holds 5 frames'):
        FaultScenario(FaultSchedule(CELL, [film]))(*windows(tape, late))


def test_windows_of_other_lengths_are_refused():
    tape = recording(9.0)
    scenario = FaultScenario(FaultSchedule(CELL, [HOLD]))
    scenario(*windows(tape, [2.0, 3.0]))
    with pytest.raises(LipfaultError, match='must all have the same length'):
        scenario(*windows(tape, [3.1], steps=70, earlier=60))
    with pytest.raises(LipfaultError, match=r"must be of the modalities \['arm', 'front'\]"):
        scenario({'arm': torch.zeros(1, 5, 50)}, None, torch.tensor([4.0]))


def test_schedules_are_drawn_by_the_id_of_an_episode():
    def drawn(episode, **options):
        schedule = draw_schedule(CELL, ['series', 'image'], episode, 60.0, 4, **options)
        return schedule.to_list()

    assert drawn('a/1') == drawn('a/1')
    assert len({str(drawn(f'a/{number}')) for number in range(20)}) == 20
    for number in range(30):
        first = draw_schedule(CELL, ['series'], number, 20.0, 2, begin_s=4.0).events[0]
        assert 4.0 <= first.start_s <= 8.0
    with pytest.raises(LipfaultError, match='must begin before its end, got 20 s to 20 s'):
        draw_schedule(CELL, ['series'], 0, 20.0, begin_s=20.0)


@settings(deadline=None, max_examples=200)
@given(
    start_s=st.floats(0, 20),
    length_s=st.floats(0.1, 20),
    period_s=st.one_of(st.just(0.0), st.floats(0.05, 3.0)),
    share=st.floats(0.01, 1.0),
    recovery_s=st.one_of(st.just(0.0), st.floats(0.1, 3.0)),
    grows=st.booleans(),
    cuts=st.lists(st.integers(0, 2200), min_size=1, max_size=5),
)
def test_chunks_are_the_active_steps(start_s, length_s, period_s, share, recovery_s, grows, cuts):
    event = FaultEvent(
        'arm', 'bias', 4, start_s, start_s + length_s, recovery_s, None, period_s, share, grows
    )
    steps = EventSteps(event, 50.0, 4.0)
    edges = sorted({0, 2200, *cuts})
    chunks = [p for low, high in pairwise(edges) for p in steps.chunks(low, high)]
    covered = [step for chunk in chunks for step in range(chunk.start, chunk.stop)]
    time = torch.arange(2200)
    assert covered == time[steps.active(time)].tolist()
    for chunk in chunks:
        own = torch.arange(chunk.start, chunk.stop)
        assert chunk.onset <= chunk.start < chunk.stop <= chunk.end
        assert steps.contact(own).unique().tolist() == [chunk.contact]
        assert len(steps.strength(own).unique()) == 1
        assert steps.onset(chunk.contact) == chunk.onset
    strength = steps.strength(time[steps.start : steps.over])
    assert bool((strength.diff() >= 0).all())
    if len(strength) and grows:
        assert strength[-1] == 4.0
        assert (
            strength.diff().max() <= 4 * 2 / min(512, max(1, steps.stop - steps.start))
            or len(strength) == 1
        )
