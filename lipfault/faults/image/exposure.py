"""Brightness and colour are wrong."""

import torch
from torch import Tensor

from lipfault.faults.device import take_rows
from lipfault.faults.image.site import ImageFault, ImageSite


class OverExposure(ImageFault):
    """Too bright; highlights burn out."""

    name = 'over_exposure'
    group = 'exposure'
    formula = "x' = min(g x + (g − 1)/20, 1)"
    reading = 'exposure control stuck, lamp in view'
    levels = (1.15, 1.4, 2.0, 3.0, 6.0)
    level_text = 'g, gain'

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Scale up, with a little flare."""
        gain = site.level(self.levels)
        return (site.signal * gain).add_((gain - 1) / 20), site.everywhere


class UnderExposure(ImageFault):
    """Too dark."""

    name = 'under_exposure'
    group = 'exposure'
    formula = "x' = x / g"
    reading = 'lamp failed, aperture closed, exposure control stuck'
    levels = (1.15, 1.5, 2.5, 5.0, 20.0)
    level_text = 'g, loss'

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Scale down."""
        return site.signal / site.level(self.levels), site.everywhere


class ColourShift(ImageFault):
    """Each channel is raised or lowered; on a grey camera the brightness."""

    name = 'colour_shift'
    group = 'exposure'
    formula = "x'_c = x_c + a v_c, v_c = ±1 for each channel, not all equal where there are several"
    reading = 'white balance lost, black level drifted'
    levels = (0.03, 0.07, 0.12, 0.2, 0.35)
    level_text = 'a'

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Shift each channel."""
        side = site.draws.sign('side', (site.channels, 1, 1))
        odd = site.draws.integers('odd', 0, site.channels - 1)[:, None, None, None]
        index = torch.arange(site.channels, device=odd.device)[:, None, None]
        equal = (side == side[:, :1]).all(1, keepdim=True) & (site.channels > 1)
        side = torch.where(equal & (index == odd), -side, side)
        return site.signal + site.level(self.levels) * side, site.everywhere


class ColourSwap(ImageFault):
    """Channels change places, wholly at severity 5, mixed below."""

    name = 'colour_swap'
    group = 'swap'
    formula = "x'_c = (1 − a) x_c + a x_{c+r}, r drawn"
    reading = 'wrong Bayer order, blue and red swapped by a driver'
    levels = (0.15, 0.3, 0.5, 0.75, 1.0)
    level_text = "a, share of the other channel's brightness"
    min_channels = 2

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Rotate the channels."""
        step = site.draws.integers('step', 1, site.channels - 1)[:, None]
        partner = (torch.arange(site.channels, device=step.device) + step) % site.channels
        foreign = take_rows(site.signal.flatten(2)[:, None], partner[:, None])
        foreign = foreign.view_as(site.signal)
        return torch.lerp(site.signal, foreign, site.level(self.levels)), site.everywhere
