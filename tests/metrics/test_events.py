"""Alarm events: by hand, and against a walk through the windows one by one."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lipfault.errors import LipfaultError
from lipfault.metrics.events import (
    Stream,
    alarm_events,
    event_summary,
    event_threshold,
    false_alarms_per_hour,
    false_events,
    streams_of,
)

END_S = torch.arange(10.0)


def alarms(*times):
    return torch.isin(END_S, torch.tensor(times, dtype=END_S.dtype))


@pytest.mark.parametrize(
    ('times', 'gap_s', 'wanted'),
    [
        ((), 1.5, []),
        ((3,), 1.5, [[3, 3]]),
        ((0, 1, 4, 9), 1.5, [[0, 1], [4, 4], [9, 9]]),
        ((0, 1, 4, 9), 3.5, [[0, 4], [9, 9]]),
        ((0, 1, 4, 9), 1.0, [[0, 0], [1, 1], [4, 4], [9, 9]]),  # a gap of 1 s is not below 1 s
        ((0, 1, 4, 9), 99.0, [[0, 9]]),
    ],
)
def test_alarms_are_merged_into_events(times, gap_s, wanted):
    assert alarm_events(alarms(*times), END_S, gap_s).tolist() == wanted


def test_false_events_hold_no_sample_of_a_fault():
    events = torch.tensor([[0.0, 1.0], [3.0, 3.0], [5.0, 6.0], [9.0, 9.0]])
    spans = torch.tensor([[3.5, 4.5], [8.6, math.inf]])
    # The window until 5 s begins at 4.2 s, within the first fault; the event at 3 s ends before it.
    assert false_events(events, spans, 0.8).tolist() == [[0, 1], [3, 3]]
    assert false_events(events, spans[:0], 0.8).tolist() == events.tolist()
    assert false_events(events[:0], spans, 0.8).shape == (0, 2)


def test_summary_by_hand():
    score = torch.zeros(10)
    score[[1, 4, 5]] = 2.0
    faulty = Stream(score, END_S, torch.tensor([[3.5, 4.5], [7.5, 8.0]]))
    quiet = Stream.clean(torch.zeros(10), END_S)
    found = event_summary([faulty, quiet], 1.0, window_s=0.5, gap_s=1.5)
    assert found['false_alarms_per_hour'] == pytest.approx(1 / (20 / 3600))
    assert found['detected'] == 0.5
    assert found['delay_mean_s'] == pytest.approx(0.5)
    assert found['delay_median_s'] == pytest.approx(0.5)
    assert found['delay_p90_s'] == math.inf


@given(
    scores=st.lists(st.integers(0, 6), min_size=1, max_size=25),
    most=st.integers(0, 4),
    gap=st.integers(1, 4),
    cut=st.integers(0, 25),
)
@settings(max_examples=200, deadline=None)
def test_the_threshold_keeps_the_rate_and_so_does_every_larger_one(scores, most, gap, cut):
    score = torch.tensor(scores, dtype=torch.float32)
    times = torch.arange(len(scores), dtype=torch.float32)
    streams = [Stream.clean(score[:cut], times[:cut]), Stream.clean(score[cut:], times[cut:])]

    def events(threshold):
        """Count the events in a walk through the windows."""
        count = 0
        for stream in streams:
            last = -math.inf
            for value, time in zip(stream.score.tolist(), stream.end_s.tolist(), strict=True):
                if value > threshold:
                    count += time - last >= gap + 0.5
                    last = time
        return count

    hours = sum(s.hours for s in streams)
    per_hour = most / hours if hours else 0.0
    allowed = per_hour * hours + 1e-9
    found = event_threshold(streams, per_hour + 1e-6, gap + 0.5)
    # Between two scores nothing changes: whole numbers are all thresholds that there are.
    assert found in scores
    assert all(events(t) <= allowed + 0.01 for t in range(int(found), 7))
    lower = [s for s in scores if s < found]
    if lower:
        assert any(events(t) > allowed for t in range(max(lower), int(found)))
    for threshold in range(7):
        rate = false_alarms_per_hour(streams, threshold, 0.0, gap + 0.5)
        assert math.isnan(rate) if not hours else rate == pytest.approx(events(threshold) / hours)


def test_streams_are_in_order_of_time():
    score = torch.tensor([1.0, 2.0, 3.0, 4.0])
    end_s = torch.tensor([2.0, 5.0, 1.0, 4.0])
    first, second = streams_of(score, end_s, torch.tensor([3, 1, 3, 1]))
    assert first.score.tolist() == [4, 2]
    assert second.end_s.tolist() == [1, 2]
    assert second.hours == pytest.approx(2 / 3600)


def test_refuses_what_has_no_threshold():
    with pytest.raises(LipfaultError, match='negative'):
        event_threshold([Stream.clean(END_S, END_S)], -1.0)
    with pytest.raises(LipfaultError, match='finite'):
        event_threshold([Stream.clean(END_S / 0, END_S)], 1.0)
    with pytest.raises(LipfaultError, match='at least one'):
        event_threshold([], 1.0)
