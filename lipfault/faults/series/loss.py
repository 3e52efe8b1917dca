"""The reading stops or is lost: stuck, dropouts."""

import math

import torch
from torch import Tensor

from lipfault.faults.device import both
from lipfault.faults.series.site import SeriesFault, SeriesSite

_SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
_SHARE_TEXT = 'share of the time without contact, in blocks of 2 to 10 % of the horizon'


class Stuck(SeriesFault):
    """The reading holds; below severity 5 it catches up now and then.

    On a channel at rest it does nothing, and its damage is zero.
    """

    name = 'stuck'
    group = 'hold'
    formula = "x'(t) = x(t₀ + ⌊(t − t₀)/h⌋ h), t₀ the onset"
    reading = 'frozen register, jammed encoder; below severity 5 one that sticks and slips'
    levels = (0.2, 0.35, 0.5, 0.8, math.inf)
    level_text = 'h, time held in seconds, at least two steps'
    source = 'Dunia et al. 1996, doi:10.1002/aic.690421011 (complete failure)'

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Hold the reading of the last catch-up."""
        seconds = site.level(self.levels).clamp_max(1e6)
        period = (seconds * site.sensor.rate_hz).round().long().clamp_min(2)
        held = site.age.clamp_min(0).div(period, rounding_mode='floor') * period
        caught_up = site.at(site.start[:, None, None] + held)
        return torch.where(held == 0, site.onset_value, caught_up), site.mask


class DropoutZero(SeriesFault):
    """The reading falls to zero while the contact is lost."""

    name = 'dropout_zero'
    group = 'dropout'
    formula = "x' = 0 (the end of the range nearest to it) while the contact is lost"
    reading = 'broken wire with a pull-down, lost packets read as zeros'
    levels = _SHARES
    level_text = _SHARE_TEXT

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Set to zero where lost."""
        zero = site.sensor.rest[:, None].expand_as(site.signal)
        return zero, both(site.mask, site.lost(self.levels))


class DropoutHold(SeriesFault):
    """The driver repeats the last good reading while the contact is lost."""

    name = 'dropout_hold'
    group = 'dropout'
    formula = "x'(t) = x(t*), t* ≤ t the last step with contact, while the contact is lost"
    reading = 'lost packets bridged by the driver'
    levels = _SHARES
    level_text = _SHARE_TEXT

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Repeat the last step with contact."""
        earlier = site.past.shape[-1]
        steps = torch.arange(-earlier, site.signal.shape[-1], device=site.signal.device)
        lost = site.lost(self.levels, steps - site.start[:, None, None])
        last = torch.where(lost, -earlier - 1, steps).cummax(-1).values[..., earlier:]
        never = last < -earlier
        reading = torch.where(never, site.onset_value, site.at(last))
        return reading, both(site.mask, lost[..., earlier:])


class DropoutNan(SeriesFault):
    """The reading is missing (NaN) while the contact is lost."""

    name = 'dropout_nan'
    group = 'dropout'
    formula = "x' = NaN while the contact is lost"
    reading = 'lost packets that the driver marks'
    levels = _SHARES
    level_text = _SHARE_TEXT
    missing = True

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Mark as missing where lost."""
        return torch.full_like(site.signal, torch.nan), both(site.mask, site.lost(self.levels))
