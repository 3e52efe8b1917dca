"""Noise of the reading: additive, multiplicative, signal-dependent, spikes."""

from torch import Tensor

from lipfault.faults.series.site import SeriesFault, SeriesSite


class AdditiveNoise(SeriesFault):
    """Add white noise above the sensor's own.

    Formula:
        x' = x + min(k σ, 0.3 R) n, n ~ N(0, 1), σ the sensor noise, R the range

    Cause:
        electromagnetic interference, a loose ground

    Levels:
        k, multiples of the sensor noise

    Reference:
        Sharma et al. 2010, https://doi.org/10.1145/1754414.1754419 (noise)
    """

    name, group = 'noise_additive', 'noise'
    levels = (3, 6, 12, 25, 50)

    def _faulty(self, site: SeriesSite) -> Tensor:
        scale = site.level(self.levels) * site.sensor.noise[:, None]
        # Of a coarse sensor, 50 noises would exceed the range.
        scale = scale.minimum(0.3 * site.sensor.span[:, None])
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
    levels = (0.05, 0.1, 0.2, 0.4, 0.8)

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
    levels = (0.01, 0.02, 0.04, 0.08, 0.16)

    def _faulty(self, site: SeriesSite) -> Tensor:
        # In units of the channel: the root of (signal × range).
        root = (site.signal.abs() * site.sensor.span[:, None]).sqrt()
        noise = site.draws.normal_at('noise', site.counter)
        return site.signal + site.level(self.levels) * root * noise


class Spikes(SeriesFault):
    """Add outliers of one step, on each channel one in every period.

    Formula:
        x' = x ± A (1 + v)/2 at one step in each period P, v ~ U(0, 1)

    Cause:
        flipped bits, arcing brushes, electrostatic discharge

    Levels:
        A, share of the range; P: 50, 33, 20, 12, 8 steps, at most the horizon

    Reference:
        Sharma et al. 2010, https://doi.org/10.1145/1754414.1754419 (short); Ni et al. 2009,
        https://doi.org/10.1145/1525856.1525863 (spike)
    """

    name, group = 'spikes', 'spikes'
    levels = (0.08, 0.16, 0.3, 0.5, 0.8)
    _periods = (50, 33, 20, 12, 8)

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Return the readings with an outlier at every step, and the steps hit.

        Args:
            site: The affected windows.

        Returns:
            (n, C, T) float32 and (n, C, T) bool.
        """
        period = site.level(self._periods).long().minimum(site.horizon[:, None, None])
        # A different number for each period and channel, (n, C, T)
        block = site.age.div(period, rounding_mode='floor') * len(site.channel) + site.channel
        position = (site.draws.uniform_at('place', block) * period).long()
        side = 2 * (site.draws.uniform_at('side', block) < 0.5) - 1
        size = 0.5 + 0.5 * site.draws.uniform_at('size', block)
        hit = site.mask & (site.age % period == position)
        return site.signal + side * size * site.amplitude(self.levels), hit
