"""The camera looks the wrong way, or its picture is coarsely coded."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from lipfault.faults.image.site import ImageFault, ImageSite


class Knock(ImageFault):
    """The view is turned and shifted; at the border the last pixels repeat."""

    name = 'knock'
    group = 'geometry'
    formula = "x'(p) = x(m + Q (p − m) + d), Q a rotation by ±θ, |d| = θ/60° of the shorter side"
    reading = 'knocked or sagging camera mount'
    levels = (1, 2.5, 5, 10, 20)
    level_text = 'θ in degrees'

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Turn and shift the view, bilinearly."""
        degrees = site.level(self.levels)[:, 0]
        angle = (degrees.double() * site.draws.sign('side')[:, None, None]).deg2rad()
        sine, cosine = angle.sin().float(), angle.cos().float()
        heading = 2 * math.pi * site.draws.uniform('heading')[:, None, None].double()
        shift = degrees / 60 * site.scale
        down = site.row - (site.height - 1) / 2
        right = site.column - (site.width - 1) / 2
        row = cosine * down - sine * right + heading.sin().float() * shift
        column = sine * down + cosine * right + heading.cos().float() * shift
        middle = (site.height - 1) / 2, (site.width - 1) / 2
        return site.look_between(row + middle[0], column + middle[1]), site.everywhere


class Blocking(ImageFault):
    """Blocks of 8 × 8 pixels with coarse cosine coefficients, as in a starved JPEG stream."""

    name = 'blocking'
    group = 'stream'
    formula = "x' = D⁻¹ (q (1 + u + v) round(D x / (q (1 + u + v)))), D the cosine transform"
    reading = 'compression starved of bandwidth'
    levels = (0.02, 0.05, 0.1, 0.2, 0.4)
    level_text = 'q, coarseness'
    source = (
        'Wallace 1992, doi:10.1109/30.125072 (JPEG); a linear table of steps in place of its own'
    )

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Round the coefficients."""
        margin = (0, -site.width % 8, 0, -site.height % 8)
        image = site.signal
        if any(margin):
            image = torch.nn.functional.pad(image, margin, mode='replicate')
        shape = image.shape
        blocks = image.view(*shape[:2], shape[2] // 8, 8, shape[3] // 8, 8)
        blocks = blocks.permute(3, 5, 0, 1, 2, 4).contiguous()  # (8, 8, n, C, down, right)
        basis = _cosines(image.device)
        order = torch.arange(8, device=image.device).view(8, 1, 1, 1, 1, 1)
        step = site.level(self.levels) * (1 + order + order.view(1, 8, 1, 1, 1, 1))
        coefficients = _along(_along(blocks, basis, 1), basis, 0)
        coefficients = coefficients.div_(step).round_().mul_(step)
        blocks = _along(_along(coefficients, basis.T, 1), basis.T, 0)
        image = blocks.permute(2, 3, 4, 0, 5, 1).reshape(shape)
        return image[..., : site.height, : site.width], site.everywhere


@lru_cache(maxsize=16)
def _cosines(device: torch.device) -> Tensor:
    """(8, 8) orthonormal cosine basis, a row for each frequency."""
    place = torch.arange(8, dtype=torch.float64)
    basis = torch.cos(math.pi / 8 * place[:, None] * (place + 0.5)) / 2
    basis[0] /= math.sqrt(2)
    return basis.float().to(device)


def _along(blocks: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """Multiply a matrix with one axis of length 8, term by term.

    A matrix product would round differently for different batch sizes. The last axes are the long
    ones, which makes each term one pass over contiguous numbers.
    """
    shape = [1] * blocks.ndim
    shape[axis] = 8
    total = torch.zeros_like(blocks)
    for part, column in zip(blocks.unbind(axis), matrix.unbind(1), strict=True):
        total.addcmul_(part.unsqueeze(axis), column.reshape(shape))
    return total
