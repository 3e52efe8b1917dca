"""Offsets of the reading: bias, drifts, oscillation."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from lipfault.faults.series.site import SeriesFault, SeriesSite


class _Offset(SeriesFault):
    """Add an offset of either sign to each channel.

    Levels:
        amplitude A, multiples of the sensor noise (at most the range)
    """

    levels = (1.5, 3.5, 10, 30, 200)

    def _faulty(self, site: SeriesSite) -> Tensor:
        return site.signal + site.sign('sign') * site.amplitude(self.levels)


class Bias(_Offset):
    """Add a constant.

    Formula:
        x' = x ± A

    Cause:
        zero point lost: knocked mounting, wrong calibration, offset of an amplifier

    Reference:
        Dunia et al. 1996, https://doi.org/10.1002/aic.690421011, and Ni et al. 2009,
        https://doi.org/10.1145/1525856.1525863 (calibration: offset)
    """

    name, group = 'bias', 'offset'


class _Drift(_Offset, ABC):
    """Add an offset that grows from the onset until the horizon of the fault, and then stays."""

    group = 'drift'
    # Twice as large: the offset is reached at the end of the horizon only.
    levels = (3, 7, 20, 60, 500)

    def _faulty(self, site: SeriesSite) -> Tensor:
        offset = site.sign('sign') * site.amplitude(self.levels) * self._grown(site)
        return site.signal + offset

    @abstractmethod
    def _grown(self, site: SeriesSite) -> Tensor:
        """Return (n, 1 or C, T), the share of the amplitude that is reached."""


class LinearDrift(_Drift):
    """Add an offset that grows steadily.

    Formula:
        x' = x ± A u, u = min(τ/D, 1), τ since the onset, D the horizon

    Cause:
        ageing, slow loss of calibration

    Reference:
        Dunia et al. 1996, https://doi.org/10.1002/aic.690421011
    """

    name = 'drift_linear'

    def _grown(self, site: SeriesSite) -> Tensor:
        return site.progress


class ExponentialDrift(_Drift):
    """Add an offset that grows ever faster.

    Formula:
        x' = x ± A (exp(4u) − 1)/(exp(4) − 1), u = min(τ/D, 1)

    Cause:
        runaway: self-heating, a failing seal
    """

    name = 'drift_exponential'

    def _grown(self, site: SeriesSite) -> Tensor:
        # 4 e-folds: half of the amplitude is reached after 83 % of the horizon. In float64, so that
        # the float32 result is the same on every processor.
        return (torch.expm1(4 * site.progress.double()) / math.expm1(4)).float()


class LogarithmicDrift(_Drift):
    """Add an offset that grows fast at first and settles.

    Formula:
        x' = x ± A log(1 + 20u)/log(21), u = min(τ/D, 1)

    Cause:
        warm-up, creep of a strain gauge
    """

    name = 'drift_logarithmic'

    def _grown(self, site: SeriesSite) -> Tensor:
        # Half of the amplitude is reached after 18 % of the horizon.
        return (torch.log1p(20 * site.progress.double()) / math.log(21)).float()


class WalkDrift(_Drift):
    """Add an offset that follows Brownian motion.

    Lévy's construction gives its value at any instant without the steps before: a straight line
    plus ever finer hat functions, each with a random height.

    Formula:
        x' = x ± A W(u), W Brownian motion with W(0) = 0 and E W(1)² = 1, u = min(τ/D, 1)

    Cause:
        bias instability of a gyroscope, 1/f noise of an amplifier

    Reference:
        Lévy 1948, Processus stochastiques et mouvement brownien (construction); El-Sheimy et al.
        2008, https://doi.org/10.1109/TIM.2007.908635 (inertial sensors)
    """

    name = 'drift_walk'
    _octaves: ClassVar[int] = 7  # the finest hats are 1/128 of the horizon wide

    def _grown(self, site: SeriesSite) -> Tensor:
        count = site.signal.shape[1]
        # Height 0 is of the line, 2^k to 2^(k+1) - 1 are of the hats of octave k.
        heights = site.draws.normal('heights', (count, 2**self._octaves))
        walk = site.progress * heights[:, :, :1]
        for octave in range(self._octaves):
            position = site.progress * 2**octave
            cell = position.long().clamp_max(2**octave - 1)
            hat = 1 - (2 * (position - cell) - 1).abs()
            height = heights.gather(2, (cell + 2**octave).expand(-1, count, -1))
            walk = walk + hat * height * 2 ** (-octave / 2 - 1)
        return walk


class Oscillation(_Offset):
    """Add a sine; channels differ in phase.

    Formula:
        x' = x + A sin(2π f t + φ), f log-uniform between 1/50 and 2/5 of the rate

    Cause:
        mains hum, a resonating mount, an unstable control loop
    """

    name, group = 'oscillation', 'offset'
    levels = (2, 5, 15, 45, 300)

    def _faulty(self, site: SeriesSite) -> Tensor:
        # From 1/50 to 20/50 of the rate, below the Nyquist frequency of 25/50.
        octaves = math.log2(20) * site.draws.uniform('frequency')[:, None, None].double()
        turns = torch.exp2(octaves) / 50 * site.instant
        phase = site.draws.uniform('phase', (site.signal.shape[1], 1))
        # Modulo 1 in float64: late in a recording the number of turns is large.
        wave = torch.sin(2 * math.pi * (turns % 1 + phase)).float()
        return site.signal + site.amplitude(self.levels) * wave
