"""Noise of the reading: additive, multiplicative, signal-dependent, spikes."""

import math

import torch
from torch import Tensor

from lipfault.faults.series.site import SeriesFault, SeriesSite


class AdditiveNoise(SeriesFault):
    """Add white noise above the sensor's own.

    Formula:
        x' = x + min(k σ, 0.3 R) n, n ~ N(0, 1), σ the sensor noise, R the range

    Cause:
        electromagnetic interference, a loose ground

    Levels:
        k

    Reference:
        Sharma et al. 2010, https://doi.org/10.1145/1754414.1754419 (noise)
    """

    name, group = 'noise_additive', 'noise'
    levels = (1.5, 3.5, 10, 30, 200)

    def _faulty(self, site: SeriesSite) -> Tensor:
        # Of a coarse sensor, 200 noises would exceed the range.
        scale = site.amplitude(self.levels).minimum(0.3 * site.sensor.span[:, None])
        return site.signal + scale * site.draws.normal_at('noise', site.counter)


class MultiplicativeNoise(SeriesFault):
    """Multiply by a noisy gain, which does not change a reading of zero.

    Formula:
        x' = x (1 + a n), n ~ N(0, 1)

    Cause:
        unstable supply of a bridge, worn potentiometer track

    Levels:
        a, standard deviation of the gain
    """

    name, group = 'noise_multiplicative', 'noise'
    levels = (0.01, 0.03, 0.1, 0.3, 0.8)

    def _faulty(self, site: SeriesSite) -> Tensor:
        # One number for each channel and instant, so that overlapping windows agree.
        noise = site.draws.normal_at('noise', site.counter)
        return site.signal * (1 + site.level(self.levels) * noise)


class SignalNoise(SeriesFault):
    """Add noise that grows with the root of the signal, as in counting.

    Formula:
        x' = x + a √(|x| R) n, n ~ N(0, 1), R the range

    Cause:
        shot noise of a photodiode or encoder light that grows dim

    Levels:
        a, standard deviation at full scale, share of the range
    """

    name, group = 'noise_signal', 'noise'
    levels = (0.002, 0.006, 0.02, 0.06, 0.2)

    def _faulty(self, site: SeriesSite) -> Tensor:
        # In units of the channel: the root of (signal × range).
        root = (site.signal.abs() * site.sensor.span[:, None]).sqrt()
        noise = site.draws.normal_at('noise', site.counter)
        return site.signal + site.level(self.levels) * root * noise


class Spikes(SeriesFault):
    """Add outliers of one step, on each channel one in every period; rare ones are larger.

    Formula:
        x' = x ± k σ √P (1 + v)/2 at one step in each period of P steps, P log-uniform from 8 to
        50 (at most the horizon), v ~ U(0, 1), σ the sensor noise

    Cause:
        flipped bits, arcing brushes, electrostatic discharge

    Levels:
        k

    Reference:
        Sharma et al. 2010, https://doi.org/10.1145/1754414.1754419 (short); Ni et al. 2009,
        https://doi.org/10.1145/1525856.1525863 (spike)
    """

    name, group = 'spikes', 'spikes'
    levels = (2, 5, 15, 45, 300)

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Return the readings with an outlier at every step, and the steps hit.

        Args:
            site: The affected windows.

        Returns:
            (n, C, T) float32 and (n, C, T) bool.
        """
        period = self._period(site)
        # A different number for each period and channel, (n, C, T)
        block = site.age.div(period, rounding_mode='floor') * len(site.channel) + site.channel
        position = (site.draws.uniform_at('place', block) * period).long()
        side = 2.0 * (site.draws.uniform_at('side', block) < 0.5) - 1
        if site.side:
            side = torch.full_like(side, site.side)
        size = 0.5 + 0.5 * site.draws.uniform_at('size', block)
        hit = site.mask & (site.age % period == position)
        # Times the root of the period, so that the RMS change does not depend on the period.
        largest = (site.amplitude(self.levels) * period.sqrt()).minimum(site.sensor.span[:, None])
        return site.signal + side * size * largest, hit

    @staticmethod
    def _period(site: SeriesSite) -> Tensor:
        """Return (n, 1, 1) int64 steps between outliers, at most the horizon."""
        # In float64, so that the result is the same on every processor.
        octaves = math.log2(50 / 8) * site.draws.uniform('period')[:, None, None].double()
        return (8 * torch.exp2(octaves)).long().minimum(site.horizon[:, None, None])
