"""Detection delays: by hand, and of a perfect detector on a schedule."""

import math

import pytest
import torch

from lipfault.metrics.delay import alarms_outside, delay_summary, detection_delays

END_S = torch.arange(1.0, 11.0)  # windows of 1 s that end at 1, 2 ... 10 s
SPANS = torch.tensor([[2.5, 4.0], [6.0, 6.2], [9.5, math.inf]])


def delays(*alarms):
    alarm = torch.isin(END_S, torch.tensor(alarms, dtype=END_S.dtype))
    return detection_delays(alarm, END_S, SPANS, 1.0).tolist()


@pytest.mark.parametrize(
    ('alarms', 'expected'),
    [
        ((3, 6, 10), (0.5, 0.0, 0.5)),
        ((4, 5, 7), (1.5, 1.0, math.inf)),
        ((5,), (2.5, math.inf, math.inf)),  # the window from 4 s still holds the last sample
        ((2, 8, 9), (math.inf,) * 3),  # before the onset, after the end
        ((), (math.inf,) * 3),
    ],
)
def test_delays_by_hand(alarms, expected):
    assert delays(*alarms) == pytest.approx(expected)


def test_without_windows_or_events():
    none = torch.zeros(0)
    assert detection_delays(none.bool(), none, SPANS, 1.0).tolist() == [math.inf] * 3
    assert detection_delays(END_S > 3, END_S, SPANS[:0], 1.0).shape == (0,)
    assert alarms_outside(END_S > 3, END_S, SPANS[:0], 1.0) == pytest.approx(0.7)
    assert math.isnan(alarms_outside(none.bool(), none, SPANS, 1.0))


def test_alarms_outside_leave_out_windows_that_hold_a_fault():
    # 1, 2, 8 and 9 hold none: 8 begins at 7 s, 9 ends before 9.5 s
    assert alarms_outside(END_S >= 8, END_S, SPANS, 1.0) == pytest.approx(0.5)
    assert alarms_outside((END_S > 2) & (END_S < 8), END_S, SPANS, 1.0) == 0


def test_a_missed_event_is_infinitely_late():
    summary = delay_summary(torch.tensor([0.4, math.inf, 0.2, 0.6, math.inf]))
    assert summary['detected'] == pytest.approx(0.6)
    assert summary['delay_mean_s'] == pytest.approx(0.4)
    assert summary['delay_median_s'] == pytest.approx(0.6)
    assert summary['delay_p90_s'] == math.inf
    assert all(math.isnan(value) for value in delay_summary(torch.zeros(0)).values())


@pytest.mark.parametrize('events', [1, 2, 9, 10, 11, 20, 30, 100])
def test_quantiles_are_the_smallest_delay_that_the_share_does_not_exceed(events):
    delays_s = torch.arange(1.0, events + 1)
    summary = delay_summary(delays_s)
    for key, numerator in (('delay_median_s', 5), ('delay_p90_s', 9)):
        enough = [d for d in range(1, events + 1) if 10 * d >= numerator * events]
        assert summary[key] == enough[0]
