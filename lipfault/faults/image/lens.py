"""Something is in front of the sensor: occlusion, dirt, drops, scratches, dust, fog, glare."""

import math

import torch
from torch import Tensor

from lipfault.faults.device import both
from lipfault.faults.image.site import ImageFault, ImageSite


class Occlusion(ImageFault):
    """A rectangle of one colour hides part of the frame."""

    name = 'occlusion'
    group = 'occlusion'
    formula = "x' = colour inside a rectangle of area a, sides between 1 : 2 and 2 : 1"
    reading = 'a tool, a cable or a label in front of the lens'
    levels = (0.02, 0.05, 0.12, 0.25, 0.5)
    level_text = 'a, share of the frame, at least a pixel'
    source = 'Zhong et al. 2017, arXiv:1708.04896 (random erasing)'

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Cover the rectangle."""
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
        return colour.expand_as(site.signal), inside


class Dirt(ImageFault):
    """Dark smears with soft edges."""

    name = 'dirt'
    group = 'soiling'
    formula = "x' = (1 − α) x + 0.12 α, α = 0.9 min(max((f − θ)/0.15, 0), 1), f a smooth field"
    reading = 'grease, mud or weld spatter on the lens'
    levels = (0.8, 0.7, 0.6, 0.48, 0.3)
    level_text = 'θ, threshold of the field: about 3, 10, 25, 50, 90 % of the frame'

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Darken the smears."""
        field = 0.75 * site.smooth('coarse', 4) + 0.25 * site.smooth('fine', 13)
        threshold = site.level(self.levels).minimum(field.amax((2, 3), keepdim=True) - 0.1)
        cover = 0.9 * ((field - threshold) / 0.15).clamp(0, 1)
        return site.signal + (0.12 - site.signal) * cover, cover > 0


class Drops(ImageFault):
    """Drops of water, in each of which the scene stands upside down."""

    name = 'drops'
    group = 'soiling'
    formula = "x'(p) = x(c − 3 (p − c)) inside drops with centres c, brighter towards the rim"
    reading = 'coolant or rain on the lens'
    levels = (0.1, 0.25, 0.45, 0.7, 1.0)
    level_text = 'share of a grid of 4 × 4 cells that holds a drop, at least one'

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Look through the drops."""
        drops = site.bumps('drops', 4, site.level(self.levels), (0.25, 0.48))
        row = (site.row - 4 * drops.down).round().long()
        column = (site.column - 4 * drops.right).round().long()
        seen = site.look(row, column) + 0.2 * (1 - drops.profile)
        return seen, drops.profile > 0


class Scratches(ImageFault):
    """Thin bright lines."""

    name = 'scratches'
    group = 'soiling'
    formula = "x' = x + 0.6 α (1 − x), α = 1 on lines about 1 % of the shorter side wide"
    reading = 'scratched protective window'
    levels = (1, 2, 4, 7, 12)
    level_text = 'number of scratches'
    _most = 12

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Brighten the lines."""
        row, column = site.place('middle', self._most)
        angle = math.pi * site.draws.uniform('angle', (self._most, 1, 1)).double()
        sine, cosine = angle.sin().float(), angle.cos().float()
        half = (0.2 + 0.3 * site.draws.uniform('length', (self._most, 1, 1))) * site.scale
        down, right = site.row + 0.5 - row, site.column + 0.5 - column
        across = (down * cosine - right * sine).abs()
        along = (down * sine + right * cosine).abs()
        line = (1.2 + 0.005 * site.scale - across).clamp(0, 1) * (along < half)
        number = torch.arange(self._most, device=row.device)[:, None, None]
        line = (line * (number < site.level(self.levels))).amax(1, keepdim=True)
        return site.signal + 0.6 * line * (1 - site.signal), line > 0


class Dust(ImageFault):
    """Small dark specks out of focus."""

    name = 'dust'
    group = 'soiling'
    formula = "x' = x (1 − 0.7 α), α = 1 − d²/r² inside specks of radius r"
    reading = 'dust on the sensor or on the lens'
    levels = (0.05, 0.12, 0.25, 0.45, 0.8)
    level_text = 'share of a grid of 10 × 10 cells that holds a speck, at least one'

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Darken the specks."""
        specks = site.bumps('specks', 10, site.level(self.levels), (0.15, 0.45))
        return site.signal * (1 - 0.7 * specks.profile), specks.profile > 0


class Fog(ImageFault):
    """A veil of bright haze, uneven."""

    name = 'fog'
    group = 'haze'
    formula = "x' = (1 − t) x + 0.8 t, t = a (0.7 + 0.6 f), f a smooth field in [0, 1)"
    reading = 'steam, condensation, smoke'
    levels = (0.08, 0.18, 0.32, 0.5, 0.75)
    level_text = 'a, mean opacity'
    source = 'after Hendrycks & Dietterich 2019, arXiv:1903.12261; severities ours'

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Mix with the haze."""
        opacity = site.level(self.levels) * (0.7 + 0.6 * site.smooth('haze', 3))
        return site.signal + (0.8 - site.signal) * opacity, site.everywhere


class Glare(ImageFault):
    """A bright spot with a soft edge."""

    name = 'glare'
    group = 'haze'
    formula = "x' = x + a (1 − d²/r²)², r = 0.6 of the longer side, inside"
    reading = 'lamp, sun or welding arc shines into the lens'
    levels = (0.15, 0.3, 0.55, 0.9, 1.6)
    level_text = 'a, brightness at the centre'

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Add the spot."""
        row, column = site.place('centre')
        square = (site.row + 0.5 - row) ** 2 + (site.column + 0.5 - column) ** 2
        radius = 0.6 * max(site.height, site.width)
        spot = (1 - square / radius**2).clamp_min(0) ** 2
        return site.signal + site.level(self.levels) * spot, spot > 0
