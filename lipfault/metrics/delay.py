"""How long after the onset of a fault the alarm comes."""

import math

import torch
from torch import Tensor


def detection_delays(alarm: Tensor, end_s: Tensor, spans_s: Tensor, window_s: float) -> Tensor:
    """Seconds from the onset of each event to the end of the first window that raises the alarm.

    Only windows that hold a sample of the event can find it. A window is known when it ends, so
    even a perfect detector is late by the time from the onset to the end of the first such window.
    An alarm that was on before the onset counts as well: read the delays beside `alarms_outside`.

    Args:
        alarm: (window,) bool, of the windows of one episode.
        end_s: (window,) end of each window in seconds.
        spans_s: (event, 2) start and end of each event in seconds, `FaultSchedule.spans()`.
        window_s: Length of a window in seconds.

    Returns:
        (event,) float64, infinite where no window raises the alarm.

    Example:
        >>> end_s, alarm = torch.arange(1.0, 6.0), torch.tensor([0, 0, 1, 1, 0]).bool()
        >>> detection_delays(alarm, end_s, torch.tensor([[1.5, 2.0], [4.5, 9.0]]), 1.0).tolist()
        [1.5, inf]
    """
    end_s = end_s.double()
    found = _holds(end_s, spans_s, window_s) & alarm
    late = torch.where(found, end_s - spans_s[:, :1].double(), torch.inf)
    never = late.new_full((len(spans_s), 1), torch.inf)  # there may be no window
    return torch.cat([late, never], dim=1).amin(dim=1)


def alarms_outside(alarm: Tensor, end_s: Tensor, spans_s: Tensor, window_s: float) -> float:
    """Share of the windows without a sample of an event that raise the alarm; NaN without any.

    The arguments are those of `detection_delays`.
    """
    return float(alarm[~_holds(end_s.double(), spans_s, window_s).any(dim=0)].double().mean())


def _holds(end_s: Tensor, spans_s: Tensor, window_s: float) -> Tensor:
    """(event, window) bool, whether a window holds a part of an event."""
    spans_s = spans_s.double()
    return (end_s >= spans_s[:, :1]) & (end_s - window_s <= spans_s[:, 1:])


def delay_summary(delays_s: Tensor) -> dict[str, float]:
    """Delays of many events as numbers; an event that was missed is infinitely late.

    Args:
        delays_s: (event,) from `detection_delays`, of one or several episodes.

    Returns:
        `detected` (share of the events), `delay_median_s` and `delay_p90_s` over all events, and
        `delay_mean_s` over those detected; NaN where there is no event to take them of.

    Example:
        >>> delay_summary(torch.tensor([0.5, 1.5, 0.1, torch.inf]))['delay_median_s']
        0.5
    """
    found = delays_s.double()[delays_s.isfinite()]
    return {
        'detected': len(found) / len(delays_s) if len(delays_s) else float('nan'),
        'delay_mean_s': float(found.mean()),
        'delay_median_s': _at_share(delays_s, 0.5),
        'delay_p90_s': _at_share(delays_s, 0.9),
    }


def _at_share(delays_s: Tensor, share: float) -> float:
    """The smallest delay that at least this share of the events, rounded up, do not exceed."""
    if not len(delays_s):
        return float('nan')
    place = max(0, math.ceil(round(share * len(delays_s), 9)) - 1)
    return float(delays_s.double().sort().values[place])
