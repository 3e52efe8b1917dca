"""The reading is noisy: additive, multiplicative, signal-dependent noise, spikes."""

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
    """Single readings far off; at least one in the window."""

    name = 'spikes'
    group = 'spikes'
    formula = "x' = x ± A (1 + v)/2 at a share of the steps, v ~ U(0, 1)"
    reading = 'flipped bits, arcing brushes, electrostatic discharge'
    levels = (0.08, 0.16, 0.3, 0.5, 0.8)
    level_text = 'A, share of the range; steps hit: 2, 3, 5, 8, 12 %'
    _rates = (0.02, 0.03, 0.05, 0.08, 0.12)

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Add the spikes where they hit."""
        chance = site.draws.uniform_at('place', site.counter)
        first = chance.masked_fill(~site.mask, 2).amin(-1, keepdim=True)
        hit = site.mask & ((chance < site.level(self._rates)) | (chance == first))
        size = 0.5 + 0.5 * site.draws.uniform_at('size', site.counter)
        side = 2 * (site.draws.uniform_at('side', site.counter) < 0.5) - 1
        return site.signal + side * size * site.amplitude(self.levels), hit
