"""Faults of the time of a reading: delay, jitter, low-pass, aliasing."""

import math

import torch
from torch import Tensor

from lipfault.faults.series.site import SeriesFault, SeriesSite


class _Timing(SeriesFault):
    """Read the signal of earlier steps."""

    group = 'timing'
    levels = (0.05, 0.1, 0.2, 0.4, 0.8)
    needs_history = True

    def reach(self, severity: int, rate_hz: float) -> int:
        """Return the longest delay in steps, see `Fault.reach`."""
        return max(2, math.ceil(self.levels[severity - 1] * rate_hz))


class Delay(_Timing):
    """Delay the reading by a constant time.

    Formula:
        x'(t) = x(t − d)

    Cause:
        congested bus, overloaded driver

    Levels:
        d in seconds, at least one step × severity
    """

    name = 'delay'

    def _faulty(self, site: SeriesSite) -> Tensor:
        return site.at(site.time[:, None] - site.seconds(self.levels))


class Jitter(_Timing):
    """Delay each reading by a random time, the same for all channels.

    Formula:
        x'(t) = x(t − J v_t), v_t ~ U(0, 1), linear between samples

    Cause:
        unsteady sampling clock, time stamps of arrival

    Levels:
        J in seconds, at least one step × severity
    """

    name = 'jitter'

    def _faulty(self, site: SeriesSite) -> Tensor:
        late = site.seconds(self.levels) * site.draws.uniform_at('late', site.instant).double()
        return site.between(site.time[:, None] - late)


class LowPass(_Timing):
    """Filter the reading by a first-order low-pass from the onset on.

    Formula:
        x'ₜ = x'ₜ₋₁ + (1 − exp(−1/τ)) (xₜ − x'ₜ₋₁), x' = x at the onset

    Cause:
        fouled probe, heavy filter switched on, cold grease

    Levels:
        τ, time constant in seconds, at least one step × severity
    """

    name = 'low_pass'

    def _faulty(self, site: SeriesSite) -> Tensor:
        first = site.onset_value
        # Relative to the onset; a past longer than the history counts as constant.
        before = site.extended_time < site.start[:, None, None]
        rise = torch.where(before, 0, site.extended - first)
        keep = torch.exp(-1 / site.seconds(self.levels).double()).float()
        lagged = first + _first_order(rise * (1 - keep), keep)
        return lagged[..., site.past.shape[-1] :]


class Aliasing(_Timing):
    """Sample too rarely without a filter, and interpolate, one period late.

    Formula:
        x'(t) = x at multiples of p, linear between them

    Cause:
        reduced sampling rate without an anti-aliasing filter

    Levels:
        p in seconds, at least one step more than the severity
    """

    name = 'aliasing'
    levels = (0.1, 0.2, 0.3, 0.5, 0.8)

    def _faulty(self, site: SeriesSite) -> Tensor:
        # With a period of one step, nothing would be left out.
        period = torch.maximum(site.seconds(self.levels), site.severity[:, None, None] + 1)
        phase = (site.age % period).float() / period
        newest = site.time[:, None] - site.age % period
        before, after = site.at(newest - period), site.at(newest)
        return before + (after - before) * phase


def _first_order(drive: Tensor, keep: Tensor) -> Tensor:
    """Solve yₜ = keep yₜ₋₁ + driveₜ from y = 0 by recursive doubling, in log₂ T passes.

    Args:
        drive: (n, C, T) float32.
        keep: (n, 1, 1) float32 in [0, 1).

    Returns:
        (n, C, T) float32.

    Reference:
        Kogge & Stone 1973, A parallel algorithm for the efficient solution of a general class of
        recurrence equations, https://doi.org/10.1109/TC.1973.5009159
    """
    reach = 1
    while reach < drive.shape[-1]:
        earlier = torch.nn.functional.pad(drive[..., :-reach], (reach, 0))
        drive = drive + keep * earlier
        keep, reach = keep * keep, 2 * reach
    return drive
