"""Faults in which the reading stops or is lost: stuck sensors and dropouts."""

import math

import torch
from torch import Tensor

from lipfault.faults.device import both
from lipfault.faults.series.site import SeriesFault, SeriesSite


class Stuck(SeriesFault):
    """Hold the reading; below strength 5 it is updated once in a while.

    On a channel at rest nothing changes, and the damage is zero.

    Formula:
        x'(t) = x(t₀ + ⌊(t − t₀)/h⌋ h), t₀ the onset

    Cause:
        frozen register, jammed encoder; below strength 5 one that sticks and slips

    Levels:
        h, time held in seconds; below two steps (h < 2/f, f the rate) the reading sticks for two
        steps in a share h f/2 of the time

    Reference:
        Dunia et al. 1996, https://doi.org/10.1002/aic.690421011 (complete failure); Ni et al. 2009,
        https://doi.org/10.1145/1525856.1525863 (stuck at)
    """

    name, group = 'stuck', 'hold'
    levels = (0.2, 0.35, 0.5, 0.8, math.inf)
    needs_history = True

    def _faulty(self, site: SeriesSite) -> Tensor:
        steps = site.level(self.levels) * site.sensor.rate_hz
        # Held for one step, the reading would not change.
        period = steps.round().long().clamp_min(2)
        block = site.age.clamp_min(0).div(period, rounding_mode='floor')
        held = block * period
        updated = site.at(site.start[:, None, None] + held)
        value = torch.where(held == 0, site.onset_value, updated)
        sticks = (site.draws.uniform_at('sticks', block) < steps / 2) | (block == 0)
        return torch.where(sticks, value, site.signal)


class _Dropout(SeriesFault):
    """Replace the reading while an intermittent contact is lost.

    Levels:
        share of the time without contact, in blocks of 2 to 10 % of the horizon
    """

    group = 'dropout'
    levels = (0.1, 0.25, 0.5, 0.75, 1.0)

    def _mask(self, site: SeriesSite) -> Tensor:
        return both(site.mask, site.lost(self.levels))


class DropoutZero(SeriesFault):
    """Pull the reading to zero while the contact is poor; it is zero at strength 5.

    Formula:
        x' = x + a (z − x) in blocks of time, z the value nearest zero, for 10 to 100 % of the time

    Cause:
        corroded or broken contact with a pull-down, lost packets read as zeros

    Levels:
        a, share of the voltage that is lost
    """

    name, group = 'dropout_zero', 'dropout'
    levels = (0.003, 0.01, 0.05, 0.25, 1.0)

    def _faulty(self, site: SeriesSite) -> Tensor:
        rest = site.sensor.rest[:, None].expand_as(site.signal)
        # Equal to one end at a share of 1, bit for bit.
        return torch.lerp(site.signal, rest, site.level(self.levels))

    def _mask(self, site: SeriesSite) -> Tensor:
        return both(site.mask, site.lost_blocks(0.1 + 0.9 * site.draws.uniform('share')))


class DropoutHold(_Dropout):
    """Repeat the last good reading while the contact is lost.

    Formula:
        x'(t) = x(t*), t* ≤ t the last step with contact, while the contact is lost

    Cause:
        lost packets bridged by the driver
    """

    name = 'dropout_hold'
    needs_history = True

    def reach(self, severity: int, rate_hz: float) -> int:
        """Return 1: the last reading with contact is the one before the onset."""
        return 1

    def _faulty(self, site: SeriesSite) -> Tensor:
        earlier, steps = site.past.shape[-1], site.extended_time
        lost = site.lost(self.levels, steps - site.start[:, None, None])
        # The running maximum is the last step with contact, or one before all given steps.
        last = torch.where(lost, -earlier - 1, steps).cummax(-1).values[..., earlier:]
        return torch.where(last < -earlier, site.onset_value, site.at(last))


class DropoutNan(_Dropout):
    """Mark the reading as missing (NaN) while the contact is lost.

    Formula:
        x' = NaN while the contact is lost

    Cause:
        lost packets that the driver marks
    """

    name = 'dropout_nan'
    missing = True

    def _faulty(self, site: SeriesSite) -> Tensor:
        return torch.full_like(site.signal, torch.nan)
