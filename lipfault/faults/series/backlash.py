"""Hysteresis of a reading: play between the moved part and the sensor."""

import torch
from torch import Tensor

from lipfault.faults.series.site import SeriesFault, SeriesSite

Bounds = tuple[Tensor, Tensor]
"""Lower and upper bound of a clamp, (n, C, steps) float32 each."""


class Backlash(SeriesFault):
    """Drag the reading behind the motion with a play (the play operator of hysteresis).

    The play remembers as many steps as the history holds: its state that many steps ago is taken
    as centred. Overlapping windows with the same history agree, and from an onset within the
    history the result is exact.

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

    def _faulty(self, site: SeriesSite) -> Tensor:
        tape, earlier = site.extended, site.past.shape[-1]
        half = site.level(self.levels) * site.sensor.span[:, None] / 2
        # Without play before the onset, the reading is the signal there.
        half = half * (site.extended_time >= site.start[:, None, None])
        memory = earlier or tape.shape[-1] - 1
        low, high = _last_clamps((tape - half, tape + half), memory)
        # The signal that many steps ago; without a history the oldest reading, for all steps.
        state = tape[..., : site.signal.shape[-1]] if earlier else tape[..., :1]
        return state.clamp(low[..., earlier:], high[..., earlier:])


def _last_clamps(bounds: Bounds, count: int) -> Bounds:
    """Compose the clamps of the last steps up to each step, in log₂ passes.

    A clamp after a clamp is a clamp, so that they compose in blocks of 1, 2, 4, ... steps.

    Args:
        bounds: The clamp of each step.
        count: Number of steps, 0 or more.

    Returns:
        The composed clamps; steps before the first one do not clamp.
    """
    unbounded = torch.full_like(bounds[0], torch.inf)
    composed, done, size = (-unbounded, unbounded), 0, 1
    while size <= count:
        if count & size:
            composed, done = _after(composed, _shifted(bounds, done)), done + size
        bounds, size = _after(bounds, _shifted(bounds, size)), 2 * size
    return composed


def _after(second: Bounds, first: Bounds) -> Bounds:
    """Return the clamp that clamps by `first` and then by `second`."""
    low, high = first[0].clamp(*second), first[1].clamp(*second)
    return low, high


def _shifted(bounds: Bounds, steps: int) -> Bounds:
    """Return the clamps some steps earlier, unbounded before the first one."""
    steps = min(steps, bounds[0].shape[-1])
    low, high = (each[..., : each.shape[-1] - steps] for each in bounds)
    pad = torch.nn.functional.pad
    return pad(low, (steps, 0), value=-torch.inf), pad(high, (steps, 0), value=torch.inf)
