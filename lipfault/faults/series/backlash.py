"""Hysteresis of a reading: play between the moved part and the sensor."""

import torch
from torch import Tensor

from lipfault.faults.series.site import SeriesFault, SeriesSite

Bounds = tuple[Tensor, Tensor]
"""Lower and upper bound of a clamp, (n, C, steps) float32 each."""


class Backlash(SeriesFault):
    """Drag the reading behind the motion with a play (the play operator of hysteresis).

    The result is exact if the past holds the onset; otherwise the play counts as centred at the
    oldest reading, which is forgotten once the motion has crossed the play.

    Formula:
        x'ₜ = min(max(x'ₜ₋₁, xₜ − w/2), xₜ + w/2), x' = x before the onset

    Cause:
        worn gear or coupling between joint and encoder, loose clamp of a shaft

    Levels:
        w, play as a share of the range

    Reference:
        Brokate & Sprekels 1996, Hysteresis and phase transitions,
        https://doi.org/10.1007/978-1-4612-4048-8 (play operator)
    """

    name, group = 'backlash', 'hysteresis'
    levels = (0.0005, 0.002, 0.008, 0.03, 0.12)
    needs_history = True

    def reach(self, severity: int, rate_hz: float) -> int:
        """Return 1: the play is centred at the step before the onset."""
        return 1

    def _faulty(self, site: SeriesSite) -> Tensor:
        tape, earlier = site.extended, site.past.shape[-1]
        half = site.level(self.levels) * site.sensor.span[:, None] / 2
        # Without play before the onset, the reading is the signal there.
        half = half * (site.extended_time >= site.start[:, None, None])
        low, high = _composed((tape - half, tape + half))
        return tape[..., :1].clamp(low, high)[..., earlier:]


def _composed(bounds: Bounds) -> Bounds:
    """Compose the clamps of all steps up to each step by recursive doubling, in log₂ T passes.

    Args:
        bounds: The clamp of each step. A clamp after a clamp is a clamp.

    Returns:
        The composed clamps.

    Reference:
        Kogge & Stone 1973, A parallel algorithm for the efficient solution of a general class of
        recurrence equations, https://doi.org/10.1109/TC.1973.5009159
    """
    (low, high), reach = bounds, 1
    while reach < low.shape[-1]:
        # Unbounded before the first step, so that nothing is clamped there.
        first_low = torch.nn.functional.pad(low[..., :-reach], (reach, 0), value=-torch.inf)
        first_high = torch.nn.functional.pad(high[..., :-reach], (reach, 0), value=torch.inf)
        low, high = first_low.clamp(low, high), first_high.clamp(low, high)
        reach *= 2
    return low, high
