"""The reading comes at the wrong time: delay, jitter, low-pass, aliasing."""

import torch
from torch import Tensor

from lipfault.faults.series.site import SeriesFault, SeriesSite

_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)


class Delay(SeriesFault):
    """The reading is late."""

    name = 'delay'
    group = 'timing'
    formula = "x'(t) = x(t − d)"
    reading = 'congested bus, overloaded driver'
    levels = _SECONDS
    level_text = 'd in seconds, at least one step × severity'

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Read the past."""
        return site.at(site.time[:, None] - site.seconds(self.levels)), site.mask


class Jitter(SeriesFault):
    """Each reading is late by a time of its own."""

    name = 'jitter'
    group = 'timing'
    formula = "x'(t) = x(t − J v_t), v_t ~ U(0, 1), linear between samples"
    reading = 'unsteady sampling clock, time stamps of arrival'
    levels = _SECONDS
    level_text = 'J in seconds, at least one step × severity'

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Read the past, all channels at the same instants."""
        instant = (site.clock[:, None] + site.time)[:, None]
        late = site.seconds(self.levels) * site.draws.uniform_at('late', instant)
        return site.between(site.time[:, None] - late), site.mask


class LowPass(SeriesFault):
    """The sensor has become slow."""

    name = 'low_pass'
    group = 'timing'
    formula = "x'ₜ = x'ₜ₋₁ + (1 − exp(−1/τ)) (xₜ − x'ₜ₋₁), x' = x at the onset"
    reading = 'fouled probe, heavy filter switched on, cold grease'
    levels = _SECONDS
    level_text = 'τ, time constant in seconds, at least one step × severity'

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Filter from the onset; a past longer than the history counts as constant."""
        steps = torch.arange(-site.past.shape[-1], site.signal.shape[-1], device=site.signal.device)
        first = site.onset_value
        rise = torch.where(steps < site.start[:, None, None], 0, site.tape - first)
        keep = torch.exp(-1 / site.seconds(self.levels).double()).float()
        lagged = first + _first_order(rise * (1 - keep), keep)
        return lagged[..., site.past.shape[-1] :], site.mask


class Aliasing(SeriesFault):
    """The sensor samples too rarely and does not filter before."""

    name = 'aliasing'
    group = 'timing'
    formula = "x'(t) = x at multiples of p, linear between them"
    reading = 'reduced sampling rate without an anti-aliasing filter'
    levels = (0.1, 0.2, 0.3, 0.5, 0.8)
    level_text = 'p in seconds, at least one step more than the severity'

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Interpolate between the samples that are left, one period late."""
        period = torch.maximum(site.seconds(self.levels), site.severity[:, None, None] + 1)
        phase = (site.age % period).float() / period
        newest = site.time[:, None] - site.age % period
        before, after = site.at(newest - period), site.at(newest)
        return before + (after - before) * phase, site.mask


def _first_order(drive: Tensor, keep: Tensor) -> Tensor:
    """Solve yₜ = keep yₜ₋₁ + driveₜ from y = 0 by recursive doubling, in log₂ T steps.

    Args:
        drive: (n, C, T) float32.
        keep: (n, 1, 1) float32 in [0, 1).

    Returns:
        (n, C, T) float32.
    """
    reach = 1
    while reach < drive.shape[-1]:
        earlier = torch.nn.functional.pad(drive[..., :-reach], (reach, 0))
        drive = drive + keep * earlier
        keep, reach = keep * keep, 2 * reach
    return drive
