"""The frame is noisy."""

import torch
from torch import Tensor

from lipfault.faults.image.site import ImageFault, ImageSite

_CORRUPTIONS = 'after Hendrycks & Dietterich 2019, arXiv:1903.12261; severities ours'


class GaussianNoise(ImageFault):
    """White noise on every pixel and channel."""

    name = 'gaussian_noise'
    group = 'image_noise'
    formula = "x' = x + max(s, 3 σ) n, n ~ N(0, 1), σ the sensor noise"
    reading = 'high gain in the dark, interference on the cable'
    levels = (0.03, 0.06, 0.12, 0.2, 0.35)
    level_text = 's, standard deviation'
    source = _CORRUPTIONS

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Add the noise."""
        scale = site.level(self.levels).maximum(3 * site.sensor.noise[:, None, None])
        return site.signal + scale * site.frame.normal('noise', site.signal.shape[1:]), (
            site.everywhere
        )


class ShotNoise(ImageFault):
    """Noise of counting photons, in its normal approximation."""

    name = 'shot_noise'
    group = 'image_noise'
    formula = "x' = x + √(x/N) n, n ~ N(0, 1)"
    reading = 'too few photons: dim light, short exposure'
    levels = (300, 100, 35, 12, 4)
    level_text = 'N, photons of a white pixel'
    source = _CORRUPTIONS

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Add noise by the root of the brightness."""
        scale = (site.signal.clamp_min(0) / site.level(self.levels)).sqrt()
        return site.signal + scale * site.frame.normal('noise', site.signal.shape[1:]), (
            site.everywhere
        )


class ImpulseNoise(ImageFault):
    """Salt and pepper: pixels black or white, others in the next frame."""

    name = 'impulse_noise'
    group = 'image_noise'
    formula = "x' = 0 or 1 at a share p of the pixels"
    reading = 'bit errors on the link'
    levels = (0.01, 0.03, 0.06, 0.12, 0.25)
    level_text = 'p, share of the pixels'
    source = _CORRUPTIONS

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Replace the pixels hit."""
        chance = site.frame.uniform('place', site.pixels)
        share = site.level(self.levels)
        value = (chance < share / 2).to(site.signal.dtype)
        return value.expand_as(site.signal), chance < share


class DeadPixels(ImageFault):
    """Pixels stuck at black or white, the same in every frame."""

    name = 'dead_pixels'
    group = 'pixels'
    formula = "x' = 0 or 1 at a share p of the pixels, fixed"
    reading = 'dead and hot pixels, radiation damage'
    levels = (0.003, 0.01, 0.03, 0.08, 0.2)
    level_text = 'p, share of the pixels, at least one'

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Replace the dead pixels."""
        chance = site.draws.uniform('place', site.pixels)
        share = site.level(self.levels).maximum(chance.amin((1, 2, 3), keepdim=True))
        hot = site.draws.uniform('hot', site.pixels) < 0.5
        return hot.to(site.signal.dtype).expand_as(site.signal), chance <= share


class DeadLines(ImageFault):
    """Rows or columns stuck at black or white."""

    name = 'dead_lines'
    group = 'pixels'
    formula = "x' = 0 or 1 on a share p of the rows (or columns)"
    reading = 'broken row driver or column amplifier'
    levels = (0.01, 0.04, 0.1, 0.2, 0.4)
    level_text = 'p, share of the lines, at least one'

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Replace the dead lines."""
        vertical = site.draws.uniform('vertical')[:, None, None, None] < 0.5
        dead, hot = self._lines(site, 'rows', (1, site.height, 1))
        dead_columns, hot_columns = self._lines(site, 'columns', (1, 1, site.width))
        value = torch.where(vertical, hot_columns, hot).to(site.signal.dtype)
        return value.expand_as(site.signal), torch.where(vertical, dead_columns, dead)

    def _lines(self, site: ImageSite, name: str, shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
        """Which lines are dead, and which of them white; (n, 1, H or 1, W or 1) bool each."""
        chance = site.draws.uniform(name, shape)
        share = site.level(self.levels).maximum(chance.amin((1, 2, 3), keepdim=True))
        return chance <= share, site.draws.uniform(f'{name} hot', shape) < 0.5
