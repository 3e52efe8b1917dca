"""Detection delay: time from the onset of a fault to the first alarm."""

import math

import torch
from torch import Tensor


def detection_delays(alarm: Tensor, end_s: Tensor, spans_s: Tensor, window_s: float) -> Tensor:
    """Return the time from the onset of each event to the end of the first window with an alarm.

    Only windows that hold a sample of the event count. A window is complete when it ends, so that
    even a perfect detector is late by the time from the onset to the end of the first such window.
    An alarm that was on before the onset counts as well: read the delays beside `alarms_outside`.

    Args:
        alarm: (window,) bool, of the windows of one episode.
        end_s: (window,) end of each window in seconds.
        spans_s: (event, 2) start and end of each event in seconds, `FaultSchedule.spans()`.
        window_s: Length of a window in seconds.

    Returns:
        (event,) float64 in seconds, infinite where no window raises the alarm.

    Reference:
        Lavin & Ahmad 2015, Evaluating real-time anomaly detection algorithms,
        https://arxiv.org/abs/1510.03336 (early detection as a criterion)

    Example:
        >>> end_s, alarm = torch.arange(1.0, 6.0), torch.tensor([0, 0, 1, 1, 0]).bool()
        >>> detection_delays(alarm, end_s, torch.tensor([[1.5, 2.0], [4.5, 9.0]]), 1.0).tolist()
        [1.5, inf]
    """
    end_s = end_s.double()
    found = _overlap(end_s, spans_s, window_s) & alarm
    late = torch.where(found, end_s - spans_s[:, :1].double(), torch.inf)
    # A last column of infinity, for a minimum even if there is no window.
    never = late.new_full((len(spans_s), 1), torch.inf)
    return torch.cat([late, never], dim=1).amin(dim=1)


def alarms_outside(alarm: Tensor, end_s: Tensor, spans_s: Tensor, window_s: float) -> float:
    """Return the share of the windows without a sample of an event that raise the alarm.

    Args:
        alarm: (window,) bool, of the windows of one episode.
        end_s: (window,) end of each window in seconds.
        spans_s: (event, 2) start and end of each event in seconds.
        window_s: Length of a window in seconds.

    Returns:
        Share in [0, 1]; NaN if every window holds a sample of an event.
    """
    return float(alarm[~_overlap(end_s.double(), spans_s, window_s).any(dim=0)].double().mean())


def _overlap(end_s: Tensor, spans_s: Tensor, window_s: float) -> Tensor:
    """Return (event, window) bool, whether a window holds a part of an event."""
    spans_s = spans_s.double()
    return (end_s >= spans_s[:, :1]) & (end_s - window_s <= spans_s[:, 1:])


def delay_summary(delays_s: Tensor) -> dict[str, float]:
    """Summarize the delays of many events; a missed event has an infinite delay.

    Args:
        delays_s: (event,) from `detection_delays`, of one or several episodes.

    Returns:
        `detected` (share of the events), `delay_median_s` and `delay_p90_s` over all events, and
        `delay_mean_s` over the detected ones; NaN if there is no such event.

    Reference:
        Hyndman & Fan 1996, Sample quantiles in statistical packages,
        https://doi.org/10.1080/00031305.1996.10473566 (definition 1)

    Example:
        >>> delay_summary(torch.tensor([0.5, 1.5, 0.1, torch.inf]))['delay_median_s']
        0.5
    """
    found = delays_s.double()[delays_s.isfinite()]
    return {
        'detected': len(found) / len(delays_s) if len(delays_s) else float('nan'),
        'delay_mean_s': float(found.mean()),
        'delay_median_s': _quantile(delays_s, 0.5),
        'delay_p90_s': _quantile(delays_s, 0.9),
    }


def _quantile(delays_s: Tensor, share: float) -> float:
    """Return the smallest delay that at least this share of the events does not exceed."""
    # Not torch.quantile, which interpolates between finite and infinite delays.
    if not len(delays_s):
        return float('nan')
    # round: 0.9 * 10 must not become 9.000000000000002 and the next rank.
    rank = max(0, math.ceil(round(share * len(delays_s), 9)) - 1)
    return float(delays_s.double().sort().values[rank])
