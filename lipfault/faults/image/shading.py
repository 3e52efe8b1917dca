"""Faults of the response over channels, columns and the field of view."""

import torch
from torch import Tensor

from lipfault.faults.image.site import ImageFault, ImageSite


class WhiteBalance(ImageFault):
    """Scale each colour by its own gain.

    Formula:
        x'_c = x_c 2^(a v_c), v_c ~ U(−1, 1) without their mean, the largest |v_c| scaled to 1

    Cause:
        white balance that drifts with the light, ageing lamp

    Levels:
        a, largest gain in stops
    """

    min_channels = 2
    name, group = 'white_balance', 'exposure'
    levels = (0.05, 0.12, 0.3, 0.7, 1.5)

    def _faulty(self, site: ImageSite) -> Tensor:
        gain = site.draws.uniform('gain', (site.channels, 1, 1)).double()
        # An equal gain of all colours would change the brightness, not the colour.
        gain = gain - gain.mean(1, keepdim=True)
        gain = gain / gain.abs().amax(1, keepdim=True).clamp_min(1e-9)
        return site.signal * torch.exp2(gain * site.level(self.levels)).float()


class Stripes(ImageFault):
    """Add an offset to each column, the same in every frame.

    Formula:
        x'(c) = x(c) + s n_c, n_c ~ N(0, 1) fixed

    Cause:
        column amplifiers out of calibration: fixed-pattern noise

    Levels:
        s, standard deviation
    """

    name, group = 'stripes', 'pixels'
    levels = (0.006, 0.015, 0.04, 0.1, 0.25)

    def _faulty(self, site: ImageSite) -> Tensor:
        offset = site.draws.normal('columns', (1, 1, site.width))
        return site.signal + site.level(self.levels) * offset


class Vignetting(ImageFault):
    """Darken the frame towards its corners.

    Formula:
        x'(p) = x(p) (1 − a ρ²), ρ the distance from the centre, 1 at the corners

    Cause:
        slipped hood or filter ring, wrong lens for the sensor

    Levels:
        a, loss at the corners
    """

    name, group = 'vignetting', 'shading'
    levels = (0.05, 0.12, 0.3, 0.6, 1.0)

    def _faulty(self, site: ImageSite) -> Tensor:
        down = (site.row + 0.5) / site.height * 2 - 1
        right = (site.column + 0.5) / site.width * 2 - 1
        square = (down * down + right * right) / 2
        return site.signal * (1 - site.level(self.levels) * square)
