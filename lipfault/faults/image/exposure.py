"""Faults of brightness and colour."""

import torch
from torch import Tensor

from lipfault.faults.device import take_rows
from lipfault.faults.image.site import ImageFault, ImageSite


class OverExposure(ImageFault):
    """Scale the brightness up, with a little flare; highlights saturate.

    Formula:
        x' = min(x + g (x + 1/20), 1)

    Cause:
        exposure control stuck, lamp in view

    Levels:
        g, gain − 1

    Reference:
        after Hendrycks & Dietterich 2019, https://arxiv.org/abs/1903.12261 (brightness); own
        formula and levels
    """

    name, group = 'over_exposure', 'exposure'
    levels = (0.01, 0.04, 0.15, 0.6, 5.0)

    def _faulty(self, site: ImageSite) -> Tensor:
        gain = site.level(self.levels)
        # The engine clamps to the physical range, which is the minimum of the formula.
        return site.signal + gain * (site.signal + 1 / 20)


class UnderExposure(ImageFault):
    """Scale the brightness down.

    Formula:
        x' = x / (1 + g)

    Cause:
        lamp failed, aperture closed, exposure control stuck

    Levels:
        g, loss − 1
    """

    name, group = 'under_exposure', 'exposure'
    levels = (0.01, 0.04, 0.15, 0.6, 20.0)

    def _faulty(self, site: ImageSite) -> Tensor:
        return site.signal / (1 + site.level(self.levels))


class ColourShift(ImageFault):
    """Raise or lower each channel; on a grey camera the brightness.

    Formula:
        x'_c = x_c + a v_c, v_c = ±1 for each channel, not all equal where there are several

    Cause:
        white balance lost, black level drifted

    Levels:
        a
    """

    name, group = 'colour_shift', 'exposure'
    levels = (0.002, 0.01, 0.04, 0.12, 0.35)

    def _faulty(self, site: ImageSite) -> Tensor:
        side = site.draws.sign('side', (site.channels, 1, 1))
        odd = site.draws.integers('odd', 0, site.channels - 1)[:, None, None, None]
        index = torch.arange(site.channels, device=odd.device)[:, None, None]
        # Equal signs would change the brightness, not the colour: one of them is flipped.
        equal = (side == side[:, :1]).all(1, keepdim=True) & (site.channels > 1)
        side = torch.where(equal & (index == odd), -side, side)
        return site.signal + site.level(self.levels) * side


class ColourSwap(ImageFault):
    """Exchange the channels cyclically, wholly at strength 5, as a mixture below.

    Formula:
        x'_c = (1 − a) x_c + a x_{c+r}, r drawn

    Cause:
        wrong Bayer order, blue and red swapped by a driver

    Levels:
        a, share of the other channel's brightness
    """

    min_channels = 2
    name, group = 'colour_swap', 'swap'
    levels = (0.02, 0.06, 0.2, 0.5, 1.0)

    def _faulty(self, site: ImageSite) -> Tensor:
        # 1 to C - 1: a rotation by C would change nothing.
        step = site.draws.integers('step', 1, site.channels - 1)[:, None]
        partner = (torch.arange(site.channels, device=step.device) + step) % site.channels
        # Channels as rows of (n, 1, C, H W), so that whole channels are copied.
        foreign = take_rows(site.signal.flatten(2)[:, None], partner[:, None])
        foreign = foreign.view_as(site.signal)
        return torch.lerp(site.signal, foreign, site.level(self.levels))
