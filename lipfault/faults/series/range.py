"""The scale is wrong: gain, saturation, quantization, swapped channels, flipped sign."""

import torch
from torch import Tensor

from lipfault.faults.device import both, take_rows
from lipfault.faults.series.site import SeriesFault, SeriesSite


class Gain(SeriesFault):
    """The reading is scaled; a sensor at zero shows nothing."""

    name = 'gain'
    group = 'scale'
    formula = "x' = x (1 + g) or x / (1 + g)"
    reading = 'wrong calibration factor, ageing amplifier'
    levels = (0.05, 0.15, 0.3, 0.6, 1.0)
    level_text = 'g'

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Scale up or down, each channel by its own draw."""
        factor = 1 + site.level(self.levels)
        return site.signal * torch.where(site.sign('side') > 0, factor, 1 / factor), site.mask


class Saturation(SeriesFault):
    """The range shrinks towards zero and the reading is clipped to it."""

    name = 'saturation'
    group = 'scale'
    formula = "x' = min(max(x, z + q (low − z)), z + q (high − z)), z the value nearest zero"
    reading = 'sagging supply, amplifier in its stops'
    levels = (0.35, 0.2, 0.1, 0.05, 0.02)
    level_text = 'q, share of the range that is left'

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Clip to the range that is left."""
        left, rest = site.level(self.levels), site.sensor.rest[:, None]
        low = rest + left * (site.sensor.low[:, None] - rest)
        high = rest + left * (site.sensor.high[:, None] - rest)
        return site.signal.clamp(low, high), site.mask


class Quantization(SeriesFault):
    """The reading comes in coarse steps."""

    name = 'quantization'
    group = 'scale'
    formula = "x' = Δ round(x/Δ + v) − Δ v, v ~ U(0, 1) fixed"
    reading = 'lost low bits of a converter'
    levels = (0.02, 0.05, 0.1, 0.2, 0.4)
    level_text = 'Δ, share of the range (at least 3 noises × severity)'

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Round to the coarse steps."""
        step = site.amplitude(self.levels)
        shift = site.draws.uniform('shift', (site.signal.shape[1], 1))
        return ((site.signal / step + shift).round() - shift) * step, site.mask


class ChannelSwap(SeriesFault):
    """Channels take each other's readings, wholly at severity 5, as crosstalk below."""

    name = 'channel_swap'
    group = 'swap'
    formula = "x'ᵢ = (1 − a) xᵢ + a (lowᵢ + Rᵢ (xⱼ − lowⱼ)/Rⱼ), j the next channel concerned"
    reading = 'connectors swapped (raw counts change places); crosstalk between wires'
    levels = (0.1, 0.25, 0.5, 0.75, 1.0)
    level_text = "a, share of the other channel's reading"
    min_channels = 2

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Mix each channel with the next one concerned, in a cycle."""
        low, span = site.sensor.low[:, None], site.sensor.span[:, None]
        counts = (site.signal - low) / span
        partner = self._next(site.channels)[:, None]
        foreign = low + span * take_rows(counts[:, None], partner)[:, 0]
        return torch.lerp(site.signal, foreign, site.level(self.levels)), site.mask

    @staticmethod
    def _next(channels: Tensor) -> Tensor:
        """(n, C) int64, the following true channel, cyclically."""
        index = torch.arange(channels.shape[1], device=channels.device)
        twice = torch.cat([index, index + channels.shape[1]])
        places = torch.where(channels.repeat(1, 2), twice, 2 * channels.shape[1])
        following = places.flip(1).cummin(1).values.flip(1)
        return following[:, 1 : channels.shape[1] + 1] % channels.shape[1]


class SignFlip(SeriesFault):
    """The sign is wrong, for part of the time below severity 5."""

    name = 'sign_flip'
    group = 'scale'
    formula = "x' = 2 z − x in blocks of time, z the value nearest zero"
    reading = 'swapped wires of a differential pair, wrong quadrature of an encoder'
    levels = (0.1, 0.25, 0.5, 0.75, 1.0)
    level_text = 'share of the time flipped, in blocks of 2 to 10 % of the horizon'

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Mirror the reading at zero."""
        mirrored = 2 * site.sensor.rest[:, None] - site.signal
        return mirrored, both(site.mask, site.lost(self.levels))
