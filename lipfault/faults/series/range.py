"""Faults of the scale: gain, saturation, quantization, swapped channels, flipped sign."""

import torch
from torch import Tensor

from lipfault.faults.device import both, take_rows
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
    levels = (0.05, 0.15, 0.3, 0.6, 1.0)

    def _faulty(self, site: SeriesSite) -> Tensor:
        factor = 1 + site.level(self.levels)
        return site.signal * torch.where(site.sign('side') > 0, factor, 1 / factor)


class Saturation(SeriesFault):
    """Shrink the range towards zero and clip the reading to it.

    Formula:
        x' = min(max(x, z + q (low − z)), z + q (high − z)), z the value nearest zero

    Cause:
        sagging supply, amplifier in its stops

    Levels:
        q, share of the range that is left
    """

    name, group = 'saturation', 'scale'
    levels = (0.35, 0.2, 0.1, 0.05, 0.02)

    def _faulty(self, site: SeriesSite) -> Tensor:
        # Towards the value nearest zero, which is an end of a range without zero.
        left, rest = site.level(self.levels), site.sensor.rest[:, None]
        low = rest + left * (site.sensor.low[:, None] - rest)
        high = rest + left * (site.sensor.high[:, None] - rest)
        return site.signal.clamp(low, high)


class Quantization(SeriesFault):
    """Round the reading to coarse steps.

    Formula:
        x' = Δ round(x/Δ + v) − Δ v, v ~ U(0, 1) fixed

    Cause:
        lost low bits of a converter

    Levels:
        Δ, share of the range (at least 3 noises × severity)

    Reference:
        Widrow, Kollár & Liu 1996, Statistical theory of quantization,
        https://doi.org/10.1109/19.492748 (model)
    """

    name, group = 'quantization', 'scale'
    levels = (0.02, 0.05, 0.1, 0.2, 0.4)

    def _faulty(self, site: SeriesSite) -> Tensor:
        step = site.amplitude(self.levels)
        # A random offset of the grid: otherwise a reading of zero would always be exact.
        shift = site.draws.uniform('shift', (site.signal.shape[1], 1))
        return ((site.signal / step + shift).round() - shift) * step


class ChannelSwap(SeriesFault):
    """Exchange the readings of channels, wholly at severity 5, as crosstalk below.

    Formula:
        x'ᵢ = (1 − a) xᵢ + a (lowᵢ + Rᵢ (xⱼ − lowⱼ)/Rⱼ), j the next affected channel of the
        same unit

    Cause:
        connectors swapped (raw counts change places); crosstalk between wires

    Levels:
        a, share of the other channel's reading
    """

    name, group = 'channel_swap', 'swap'
    levels = (0.1, 0.25, 0.5, 0.75, 1.0)
    min_channels = 2

    def _faulty(self, site: SeriesSite) -> Tensor:
        low, span = site.sensor.low[:, None], site.sensor.span[:, None]
        # In shares of the range, (n, C, T): a converter's counts are exchanged, not the units.
        counts = (site.signal - low) / span
        partner = site.sensor.groups.next_alike(site.channels)[:, None]
        foreign = low + span * take_rows(counts[:, None], partner)[:, 0]
        return torch.lerp(site.signal, foreign, site.level(self.levels))


class SignFlip(SeriesFault):
    """Flip the sign, for part of the time below severity 5.

    Formula:
        x' = 2 z − x in blocks of time, z the value nearest zero

    Cause:
        swapped wires of a differential pair, wrong quadrature of an encoder

    Levels:
        share of the time flipped, in blocks of 2 to 10 % of the horizon
    """

    name, group = 'sign_flip', 'scale'
    levels = (0.1, 0.25, 0.5, 0.75, 1.0)

    def _faulty(self, site: SeriesSite) -> Tensor:
        return 2 * site.sensor.rest[:, None] - site.signal

    def _mask(self, site: SeriesSite) -> Tensor:
        return both(site.mask, site.lost(self.levels))
