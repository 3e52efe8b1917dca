"""Faults of the scale: gain, saturation, quantization, swapped channels, flipped sign."""

import torch
from torch import Tensor

from lipfault.faults.device import take_rows
from lipfault.faults.fault import HUGE
from lipfault.faults.grid import nearest_level
from lipfault.faults.series.site import SeriesFault, SeriesSite


class Gain(SeriesFault):
    """Scale the reading up or down, each channel by its own draw.

    A reading of zero does not change.

    Formula:
        x' = x (1 + g) or x / (1 + g)

    Cause:
        wrong calibration factor, ageing amplifier

    Levels:
        g

    Reference:
        Ni et al. 2009, https://doi.org/10.1145/1525856.1525863 (calibration: gain)
    """

    name, group = 'gain', 'scale'
    levels = (0.01, 0.03, 0.1, 0.3, 1.0)

    def _faulty(self, site: SeriesSite) -> Tensor:
        factor = 1 + site.level(self.levels)
        return site.signal * torch.where(site.sign('side') > 0, factor, 1 / factor)


class Saturation(SeriesFault):
    """Compress the reading towards an end of a range that has shrunk.

    Formula:
        x' = z + L tanh((x − z)/L), L = q (high − z) or q (z − low), z the value nearest zero

    Cause:
        sagging supply, amplifier in its stops

    Levels:
        q, share of the range that is left
    """

    name, group = 'saturation', 'scale'
    levels = (3.0, 1.0, 0.3, 0.1, 0.02)

    def _faulty(self, site: SeriesSite) -> Tensor:
        # Towards the value nearest zero, which is an end of a range without zero.
        left, rest = site.level(self.levels), site.sensor.rest[:, None]
        above = site.signal >= rest
        room = torch.where(above, site.sensor.high[:, None] - rest, rest - site.sensor.low[:, None])
        # In float64, so that the float32 result is the same on every processor. No room at an end
        # that is z itself.
        limit = (left * room).double().clamp_min(1e-12)
        return (rest + limit * ((site.signal - rest) / limit).tanh()).float()


class Quantization(SeriesFault):
    """Round the reading to coarse steps.

    Formula:
        x' = Δ round(x/Δ + v) − Δ v, v ~ U(0, 1) fixed

    Cause:
        lost low bits of a converter

    Levels:
        Δ, multiples of the sensor noise (at most the range, at least a quantum)

    Reference:
        Widrow, Kollár & Liu 1996, Statistical theory of quantization,
        https://doi.org/10.1109/19.492748 (model)
    """

    name, group = 'quantization', 'scale'
    levels = (5, 12, 35, 100, 700)

    def _faulty(self, site: SeriesSite) -> Tensor:
        step = site.amplitude(self.levels)
        # A random offset of the grid: otherwise a reading of zero would always be exact.
        shift = site.draws.uniform('shift', (site.signal.shape[1], 1))
        # Constant codes: no part of a quantum is added when they are put on the sensor's grid.
        return nearest_level(site, ((site.signal / step + shift).round() - shift) * step)


class ChannelSwap(SeriesFault):
    """Exchange the readings of channels, wholly at strength 5, as crosstalk below.

    Formula:
        x'ᵢ = (1 − a) xᵢ + a (lowᵢ + Rᵢ (xⱼ − lowⱼ)/Rⱼ), a = min(k σᵢ/Rᵢ, 1), j the next affected
        channel of the same unit, R the range, σ the sensor noise

    Cause:
        connectors swapped (raw counts change places); crosstalk between wires

    Levels:
        k, multiples of the sensor noise by which a difference of a whole range changes the reading
    """

    name, group = 'channel_swap', 'swap'
    levels = (6, 20, 60, 300, HUGE)
    min_channels = 2

    def _faulty(self, site: SeriesSite) -> Tensor:
        low, span = site.sensor.low[:, None], site.sensor.span[:, None]
        # In shares of the range, (n, C, T): a converter's counts are exchanged, not the units.
        counts = (site.signal - low) / span
        partner = site.sensor.groups.next_alike(site.channels)[:, None]
        foreign = low + span * take_rows(counts[:, None], partner)[:, 0]
        # Not a share alike for all: sensors of fine resolution would be changed far more.
        share = (site.level(self.levels) * site.sensor.noise[:, None] / span).clamp_max(1)
        return torch.lerp(site.signal, foreign, share.expand_as(site.signal))


class SignFlip(SeriesFault):
    """Count a share of the increments backwards from the onset on, all of them at strength 5.

    Formula:
        x' = x − 2 a (x − x(t₀)), t₀ the onset

    Cause:
        swapped wires of a differential pair, wrong quadrature of an encoder

    Levels:
        a, share of the increments that are counted backwards
    """

    name, group = 'sign_flip', 'scale'
    levels = (0.01, 0.03, 0.1, 0.3, 1.0)
    needs_history = True

    def _faulty(self, site: SeriesSite) -> Tensor:
        return site.signal - 2 * site.level(self.levels) * (site.signal - site.onset_value)
