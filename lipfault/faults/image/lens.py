"""Objects in front of the sensor: occlusion, dirt, drops, scratches, dust, fog, glare."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from lipfault.faults.device import both
from lipfault.faults.image.site import ImageFault, ImageSite


class Occlusion(ImageFault):
    """Cover a part of the frame by a rectangle of one colour.

    Formula:
        x' = colour inside a rectangle of area a, sides between 1 : 2 and 2 : 1

    Cause:
        a tool, a cable or a label in front of the lens

    Levels:
        a, share of the frame; less than a pixel covers one in part

    Reference:
        Zhong et al. 2017, https://arxiv.org/abs/1708.04896 (random erasing)
    """

    name, group = 'occlusion', 'occlusion'
    levels = (0.001, 0.004, 0.02, 0.1, 0.5)

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Return the colour of the rectangle and its pixels.

        Args:
            site: The affected frames.

        Returns:
            (n, C, H, W) float32 and (n, 1, H, W) bool.
        """
        # 2^(u - 1/2) for the rows and its inverse for the columns: a ratio of 1/2 to 2.
        aspect = torch.exp2(site.draws.uniform('aspect')[:, None, None, None].double() - 0.5)
        side = site.level(self.levels).sqrt()
        rows = (side * aspect * site.height).round().clamp(1, site.height).float()
        columns = (side / aspect * site.width).round().clamp(1, site.width).float()
        corner = site.draws.uniform('corner', (2, 1, 1))
        top = (corner[:, :1] * (site.height - rows + 1)).floor()
        left = (corner[:, 1:] * (site.width - columns + 1)).floor()
        inside = both(
            (site.row >= top) & (site.row < top + rows),
            (site.column >= left) & (site.column < left + columns),
        )
        colour = site.draws.uniform('colour', (site.channels, 1, 1))
        covered = torch.lerp(
            site.signal, colour.expand_as(site.signal), site.faint(site.level(self.levels))
        )
        return covered, inside


class _Cover(ImageFault, ABC):
    """Change the frame where something covers the lens."""

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Return (n, C, H, W) float32 faulty frames, and the covered pixels, (n, 1, H, W) bool."""
        value, cover = self._covered(site)
        return value, cover > 0

    @abstractmethod
    def _covered(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Return (n, C, H, W) faulty frames and (n, 1, H, W) cover, 0 outside."""


class Dirt(_Cover):
    """Darken smears with soft edges.

    Formula:
        x' = (1 − α) x + 0.12 α, α = 0.9 min(max((f − max f + θ)/0.15, 0), 1), f a smooth field

    Cause:
        grease, mud or weld spatter on the lens

    Levels:
        θ, distance of the threshold from the maximum of the field
    """

    name, group = 'dirt', 'soiling'
    levels = (0.02, 0.06, 0.15, 0.3, 0.6)

    def _covered(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        field = 0.75 * site.smooth('coarse', 4) + 0.25 * site.smooth('fine', 13)
        # Below the maximum of the field, so that there is always a smear.
        threshold = field.amax((2, 3), keepdim=True) - site.level(self.levels)
        # Opaque to 90 %, with an edge 0.15 of the field wide; 0.12 is the brightness of dirt.
        cover = 0.9 * ((field - threshold) / 0.15).clamp(0, 1)
        return site.signal + (0.12 - site.signal) * cover, cover


class Drops(_Cover):
    """Put drops of water on the lens, each with a small picture of the scene upside down.

    Formula:
        x'(p) = x(c − 3 (p − c)) inside drops with centres c, brighter towards the rim

    Cause:
        coolant or rain on the lens

    Levels:
        share of a grid of 4 × 4 cells that holds a drop; less than one is a single faint drop
    """

    name, group = 'drops', 'soiling'
    levels = (0.01, 0.05, 0.2, 0.5, 1.0)

    def _covered(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        share = site.level(self.levels)
        drops = site.spots('drops', 4, share, (0.25, 0.48))
        # p - 4 (p - c) = c - 3 (p - c): mirrored at the centre, three times as wide.
        row = (site.row - 4 * drops.down).round().long()
        column = (site.column - 4 * drops.right).round().long()
        refracted = site.nearest(row, column) + 0.2 * (1 - drops.profile)
        return torch.lerp(site.signal, refracted, (16 * share).clamp_max(1)), drops.profile


class Scratches(_Cover):
    """Brighten thin lines.

    Formula:
        x' = x + 0.6 α (1 − x), α = 1 on lines about 1 % of the shorter side wide

    Cause:
        scratched protective window

    Levels:
        number of scratches; the last one is faint by the fraction
    """

    name, group = 'scratches', 'soiling'
    levels = (0.05, 0.2, 1, 4, 12)
    _most = 12

    def _covered(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        # All twelve are drawn, (n, 12, H, W), so that a strength adds scratches to those below it.
        row, column = site.points('middle', self._most)
        angle = math.pi * site.draws.uniform('angle', (self._most, 1, 1)).double()
        sine, cosine = angle.sin().float(), angle.cos().float()
        half = (0.2 + 0.3 * site.draws.uniform('length', (self._most, 1, 1))) * site.scale
        down, right = site.row + 0.5 - row, site.column + 0.5 - column
        across = (down * cosine - right * sine).abs()
        along = (down * sine + right * cosine).abs()
        # Half a width of 0.5 % of the shorter side, and 1.2 pixels for a soft edge.
        line = (1.2 + 0.005 * site.scale - across).clamp(0, 1) * (along < half)
        number = torch.arange(self._most, device=row.device)[:, None, None]
        line = (line * (site.level(self.levels) - number).clamp(0, 1)).amax(1, keepdim=True)
        return site.signal + 0.6 * line * (1 - site.signal), line


class Dust(_Cover):
    """Darken small specks that are out of focus.

    Formula:
        x' = x (1 − 0.7 α), α = 1 − d²/r² inside specks of radius r

    Cause:
        dust on the sensor or on the lens

    Levels:
        share of a grid of 10 × 10 cells that holds a speck; less than one is a single faint speck
    """

    name, group = 'dust', 'soiling'
    levels = (0.005, 0.02, 0.08, 0.3, 1.0)

    def _covered(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        # A speck is out of focus and absorbs 70 % of the light at its centre.
        share = site.level(self.levels)
        profile = site.spots('specks', 10, share, (0.15, 0.45)).profile
        opacity = profile * (100 * share).clamp_max(1)
        return site.signal * (1 - 0.7 * opacity), opacity


class Fog(ImageFault):
    """Mix the frame with uneven bright haze.

    Formula:
        x' = (1 − t) x + 0.8 t, t = a (0.7 + 0.6 f), f a smooth field in [0, 1)

    Cause:
        steam, condensation, smoke

    Levels:
        a, mean opacity

    Reference:
        after Hendrycks & Dietterich 2019, https://arxiv.org/abs/1903.12261, own levels
    """

    levels = (0.005, 0.02, 0.08, 0.25, 0.75)
    name, group = 'fog', 'haze'

    def _faulty(self, site: ImageSite) -> Tensor:
        # From 0.7 to 1.3 of the mean opacity; 0.8 is the brightness of the haze.
        opacity = site.level(self.levels) * (0.7 + 0.6 * site.smooth('haze', 3))
        return site.signal + (0.8 - site.signal) * opacity


class Glare(_Cover):
    """Add a bright spot with a soft edge.

    Formula:
        x' = x + a (1 − d²/r²)², r = 0.6 of the longer side, inside

    Cause:
        lamp, sun or welding arc shines into the lens

    Levels:
        a, brightness at the centre
    """

    name, group = 'glare', 'haze'
    levels = (0.01, 0.04, 0.15, 0.5, 1.6)

    def _covered(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        # (n, 1, 1, 1): one spot a frame
        row, column = site.points('centre')
        square = (site.row + 0.5 - row) ** 2 + (site.column + 0.5 - column) ** 2
        radius = 0.6 * max(site.height, site.width)
        spot = (1 - square / radius**2).clamp_min(0) ** 2
        return site.signal + site.level(self.levels) * spot, spot
