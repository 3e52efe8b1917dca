"""The reading is noisy: additive, multiplicative, signal-dependent noise, spikes."""

import torch
from torch import Tensor

from lipfault.faults.series.site import SeriesFault, SeriesSite


class AdditiveNoise(SeriesFault):
    """White noise above the sensor's own."""

    name = 'noise_additive'
    group = 'noise'
    formula = "x' = x + min(k σ, 0.3 R) n, n ~ N(0, 1), σ the sensor noise, R the range"
    reading = 'electromagnetic interference, a loose ground'
    levels = (3, 6, 12, 25, 50)
    level_text = 'k, multiples of the sensor noise'

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Add the noise."""
        scale = site.level(self.levels) * site.sensor.noise[:, None]
        scale = scale.minimum(0.3 * site.sensor.span[:, None])
        return site.signal + scale * site.draws.normal_at('noise', site.counter), site.mask


class MultiplicativeNoise(SeriesFault):
    """The gain is noisy, so a sensor at zero shows nothing."""

    name = 'noise_multiplicative'
    group = 'noise'
    formula = "x' = x (1 + a n), n ~ N(0, 1)"
    reading = 'unstable supply of a bridge, worn potentiometer track'
    levels = (0.05, 0.1, 0.2, 0.4, 0.8)
    level_text = 'a, standard deviation of the gain'

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Multiply with the noisy gain."""
        noise = site.draws.normal_at('noise', site.counter)
        return site.signal * (1 + site.level(self.levels) * noise), site.mask


class SignalNoise(SeriesFault):
    """Noise that grows with the root of the signal, as in counting."""

    name = 'noise_signal'
    group = 'noise'
    formula = "x' = x + a √(|x| R) n, n ~ N(0, 1), R the range"
    reading = 'shot noise of a photodiode or encoder light that grows dim'
    levels = (0.01, 0.02, 0.04, 0.08, 0.16)
    level_text = 'a, standard deviation at full scale, share of the range'

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Add noise by the size of the signal."""
        noise = site.draws.normal_at('noise', site.counter)
        root = (site.signal.abs() * site.sensor.span[:, None]).sqrt()
        return site.signal + site.level(self.levels) * root * noise, site.mask


class Spikes(SeriesFault):
    """Single readings far off, on each channel one in every period."""

    name = 'spikes'
    group = 'spikes'
    formula = "x' = x ± A (1 + v)/2 at one step in each period P, v ~ U(0, 1)"
    reading = 'flipped bits, arcing brushes, electrostatic discharge'
    levels = (0.08, 0.16, 0.3, 0.5, 0.8)
    level_text = 'A, share of the range; P: 50, 33, 20, 12, 8 steps, at most the horizon'
    _periods = (50, 33, 20, 12, 8)

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Add the spikes where they hit."""
        count = site.signal.shape[1]
        period = site.level(self._periods).long().minimum(site.horizon[:, None, None])
        channel = torch.arange(count, device=site.signal.device)[:, None]
        block = site.age.div(period, rounding_mode='floor') * count + channel
        place = (site.draws.uniform_at('place', block) * period).long()
        side = 2 * (site.draws.uniform_at('side', block) < 0.5) - 1
        size = 0.5 + 0.5 * site.draws.uniform_at('size', block)
        hit = site.mask & (site.age % period == place)
        return site.signal + side * size * site.amplitude(self.levels), hit
