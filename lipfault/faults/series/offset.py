"""Something is added to the reading: bias, drifts, oscillation."""

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from lipfault.faults.series.site import SeriesFault, SeriesSite

_SHARES = (0.01, 0.03, 0.07, 0.15, 0.3)
_SHARE_TEXT = 'amplitude A, share of the range (at least 3 noises × severity)'


class Bias(SeriesFault):
    """A constant is added."""

    name = 'bias'
    group = 'offset'
    formula = "x' = x ± A"
    reading = 'zero point lost: knocked mounting, wrong calibration, offset of an amplifier'
    levels = _SHARES
    level_text = _SHARE_TEXT
    source = 'Dunia et al. 1996, doi:10.1002/aic.690421011'

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Add the constant."""
        return site.signal + site.sign('sign') * site.amplitude(self.levels), site.mask


class _Drift(SeriesFault):
    """An offset that grows from the onset until the fault's horizon, and stays."""

    group = 'drift'
    levels = _SHARES
    level_text = _SHARE_TEXT

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Add the grown offset."""
        offset = site.sign('sign') * site.amplitude(self.levels) * self._grown(site)
        return site.signal + offset, site.mask

    @abstractmethod
    def _grown(self, site: SeriesSite) -> Tensor:
        """(n, 1 or C, T) share of the amplitude reached."""


class LinearDrift(_Drift):
    """The offset grows steadily."""

    name = 'drift_linear'
    formula = "x' = x ± A u, u = min(τ/D, 1), τ since the onset, D the horizon"
    reading = 'ageing, slow loss of calibration'
    source = 'Dunia et al. 1996, doi:10.1002/aic.690421011'

    def _grown(self, site: SeriesSite) -> Tensor:
        return site.progress


class ExponentialDrift(_Drift):
    """The offset grows ever faster."""

    name = 'drift_exponential'
    formula = "x' = x ± A (exp(4u) − 1)/(exp(4) − 1), u = min(τ/D, 1)"
    reading = 'runaway: self-heating, a failing seal'

    def _grown(self, site: SeriesSite) -> Tensor:
        # In float64, so that the float32 result is the same on every processor.
        return (torch.expm1(4 * site.progress.double()) / math.expm1(4)).float()


class LogarithmicDrift(_Drift):
    """The offset grows at first and settles."""

    name = 'drift_logarithmic'
    formula = "x' = x ± A log(1 + 20u)/log(21), u = min(τ/D, 1)"
    reading = 'warm-up, creep of a strain gauge'

    def _grown(self, site: SeriesSite) -> Tensor:
        return (torch.log1p(20 * site.progress.double()) / math.log(21)).float()


class WalkDrift(_Drift):
    """The offset wanders like Brownian motion.

    Lévy's construction gives its value at any instant without the steps before: a straight line
    plus ever finer hats, each with a random height.
    """

    name = 'drift_walk'
    formula = "x' = x ± A W(u), W Brownian motion with W(0) = 0 and E W(1)² = 1, u = min(τ/D, 1)"
    reading = 'bias instability of a gyroscope, 1/f noise of an amplifier'
    source = 'Lévy 1948, Processus stochastiques et mouvement brownien (construction)'
    _octaves: ClassVar[int] = 7

    def _grown(self, site: SeriesSite) -> Tensor:
        count = site.signal.shape[1]
        heights = site.draws.normal('heights', (count, 2**self._octaves))
        walk = site.progress * heights[:, :, :1]
        for octave in range(self._octaves):
            place = site.progress * 2**octave
            cell = place.long().clamp_max(2**octave - 1)
            hat = 1 - (2 * (place - cell) - 1).abs()
            height = heights.gather(2, (cell + 2**octave).expand(-1, count, -1))
            walk = walk + hat * height * 2 ** (-octave / 2 - 1)
        return walk


class Oscillation(SeriesFault):
    """A sine is added."""

    name = 'oscillation'
    group = 'offset'
    formula = "x' = x + A sin(2π f t + φ), f log-uniform between 1/50 and 2/5 of the rate"
    reading = 'mains hum, a resonating mount, an unstable control loop'
    levels = (0.01, 0.02, 0.05, 0.1, 0.2)
    level_text = _SHARE_TEXT

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Add the sine; channels differ in phase."""
        octaves = math.log2(20) * site.draws.uniform('frequency')[:, None, None].double()
        turns = torch.exp2(octaves) / 50 * (site.clock[:, None] + site.time)[:, None]
        phase = site.draws.uniform('phase', (site.signal.shape[1], 1))
        wave = torch.sin(2 * math.pi * (turns % 1 + phase)).float()
        return site.signal + site.amplitude(self.levels) * wave, site.mask
