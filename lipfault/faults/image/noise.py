"""Noise and defective pixels."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from lipfault.faults.image.site import ImageFault, ImageSite


class GaussianNoise(ImageFault):
    """Add white noise to every pixel and channel.

    Formula:
        x' = x + s n, n ~ N(0, 1)

    Cause:
        high gain in the dark, interference on the cable

    Levels:
        s, standard deviation

    Reference:
        after Hendrycks & Dietterich 2019, https://arxiv.org/abs/1903.12261, own levels
    """

    name, group = 'gaussian_noise', 'image_noise'
    levels = (0.01, 0.03, 0.08, 0.18, 0.35)

    def _faulty(self, site: ImageSite) -> Tensor:
        return site.signal + site.level(self.levels) * site.frame.normal(
            'noise', site.signal.shape[1:]
        )


class ShotNoise(ImageFault):
    """Add the noise of counting photons, in its normal approximation.

    Formula:
        x' = x + √(x/N) n, n ~ N(0, 1)

    Cause:
        too few photons: dim light, short exposure

    Levels:
        N, photons of a white pixel

    Reference:
        after Hendrycks & Dietterich 2019, https://arxiv.org/abs/1903.12261, own levels; model of
        Foi et al. 2008, https://doi.org/10.1109/TIP.2008.2001399
    """

    name, group = 'shot_noise', 'image_noise'
    levels = (1000, 200, 60, 15, 4)

    def _faulty(self, site: ImageSite) -> Tensor:
        scale = (site.signal.clamp_min(0) / site.level(self.levels)).sqrt()
        return site.signal + scale * site.frame.normal('noise', site.signal.shape[1:])


class _BlackOrWhite(ImageFault, ABC):
    """Replace some pixels by black or white ones."""

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Return (n, C, H, W) float32 values and (n, 1, H, W) bool mask of the replaced pixels."""
        white, mask = self._pixels(site)
        value = white.to(site.signal.dtype).expand_as(site.signal)
        return torch.lerp(site.signal, value, self._opacity(site)), mask

    def _opacity(self, site: ImageSite) -> Tensor:
        """Return (n, 1, 1, 1), below 1 where the share is less than one pixel."""
        return site.faint(site.level(self.levels))

    @abstractmethod
    def _pixels(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Return (n, 1, H, W) bool each, which pixels are white and which are replaced."""


class ImpulseNoise(_BlackOrWhite):
    """Set random pixels to black or white, other ones in the next frame.

    Formula:
        x' = 0 or 1 at a share p of the pixels

    Cause:
        bit errors on the link

    Levels:
        p, share of the pixels; less than one is a single pixel replaced in part

    Reference:
        after Hendrycks & Dietterich 2019, https://arxiv.org/abs/1903.12261, own levels
    """

    name, group = 'impulse_noise', 'image_noise'
    levels = (0.001, 0.004, 0.015, 0.06, 0.25)

    def _pixels(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        chance = site.frame.uniform('place', site.pixels)
        share = site.level(self.levels).maximum(chance.amin((1, 2, 3), keepdim=True))
        return site.frame.uniform('white', site.pixels) < 0.5, chance <= share


class DeadPixels(_BlackOrWhite):
    """Set pixels to black or white, the same ones in every frame.

    Formula:
        x' = 0 or 1 at a share p of the pixels, fixed

    Cause:
        dead and hot pixels, radiation damage

    Levels:
        p, share of the pixels; less than one is a single pixel replaced in part
    """

    name, group = 'dead_pixels', 'pixels'
    levels = (0.001, 0.004, 0.015, 0.06, 0.2)

    def _pixels(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        hot = site.draws.uniform('hot', site.pixels) < 0.5
        return hot, _share_of(site, 'place', site.pixels, self.levels)


class DeadLines(_BlackOrWhite):
    """Set rows or columns to black or white, the same ones in every frame.

    Formula:
        x' = 0 or 1 on a share p of the rows (or columns)

    Cause:
        broken row driver or column amplifier

    Levels:
        p, share of the lines; less than one is a single weak line
    """

    name, group = 'dead_lines', 'pixels'
    levels = (0.005, 0.015, 0.05, 0.15, 0.4)

    def _pixels(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        vertical = site.draws.uniform('vertical')[:, None, None, None] < 0.5
        dead, hot = self._lines(site, 'rows', (1, site.height, 1))
        dead_columns, hot_columns = self._lines(site, 'columns', (1, 1, site.width))
        # (n, 1, H, 1) and (n, 1, 1, W) broadcast to whole lines
        return torch.where(vertical, hot_columns, hot), torch.where(vertical, dead_columns, dead)

    def _opacity(self, site: ImageSite) -> Tensor:
        return (site.level(self.levels) * site.scale).clamp_max(1)

    def _lines(self, site: ImageSite, name: str, shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
        """Return which lines are dead, and which of them white; (n, 1, H or 1, W or 1) bool."""
        hot = site.draws.uniform(f'{name} hot', shape) < 0.5
        return _share_of(site, name, shape, self.levels), hot


def _share_of(
    site: ImageSite, name: str, shape: tuple[int, int, int], levels: tuple[float, ...]
) -> Tensor:
    """Draw a share of the pixels or lines, at least one; bool of (n, *shape)."""
    chance = site.draws.uniform(name, shape)
    # The smallest number is always within the share.
    share = site.level(levels).maximum(chance.amin((1, 2, 3), keepdim=True))
    return chance <= share
