"""Faults of the viewing direction and of the coding of the frame."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from lipfault.faults.image.site import ImageFault, ImageSite


class Knock(ImageFault):
    """Rotate and shift the view; outside of it the pixels of the border repeat.

    Formula:
        x'(p) = x(m + Q (p − m) + d), Q a rotation by ±θ, |d| = θ/60° of the shorter side

    Cause:
        knocked or sagging camera mount

    Levels:
        θ in degrees
    """

    name, group = 'knock', 'geometry'
    levels = (0.05, 0.2, 1, 5, 20)

    def _faulty(self, site: ImageSite) -> Tensor:
        degrees = site.level(self.levels)[:, 0]  # (n, 1, 1)
        # In float64, so that the float32 result is the same on every processor.
        angle = (degrees.double() * site.draws.sign('side')[:, None, None]).deg2rad()
        sine, cosine = angle.sin().float(), angle.cos().float()
        heading = 2 * math.pi * site.draws.uniform('heading')[:, None, None].double()
        # The shift grows with the rotation: 1/60 of the shorter side a degree.
        shift = degrees / 60 * site.scale
        middle = (site.height - 1) / 2, (site.width - 1) / 2
        down, right = site.row - middle[0], site.column - middle[1]
        row = cosine * down - sine * right + heading.sin().float() * shift
        column = sine * down + cosine * right + heading.cos().float() * shift
        return site.bilinear(row + middle[0], column + middle[1])


class Blocking(ImageFault):
    """Quantize the cosine coefficients of blocks of 8 × 8 pixels, as in a starved JPEG stream.

    Formula:
        x' = D⁻¹ (q (1 + u + v) round(D x / (q (1 + u + v)))), D the cosine transform

    Cause:
        compression starved of bandwidth

    Levels:
        q, coarseness

    Reference:
        Wallace 1992, https://doi.org/10.1109/30.125072 (JPEG); a linear table of steps instead of
        the standard's
    """

    name, group = 'blocking', 'stream'
    levels = (0.005, 0.015, 0.05, 0.15, 0.5)

    def _faulty(self, site: ImageSite) -> Tensor:
        # To whole blocks, by repeating the border as encoders do.
        margin = (0, -site.width % 8, 0, -site.height % 8)
        image = site.signal
        if any(margin):
            image = torch.nn.functional.pad(image, margin, mode='replicate')
        shape = image.shape
        blocks = image.view(*shape[:2], shape[2] // 8, 8, shape[3] // 8, 8)
        blocks = blocks.permute(3, 5, 0, 1, 2, 4).contiguous()  # (8, 8, n, C, down, right)
        basis = _cosines(image.device)
        # Coarser steps for higher frequencies, which the eye sees less.
        order = torch.arange(8, device=image.device).view(8, 1, 1, 1, 1, 1)
        step = site.level(self.levels) * (1 + order + order.view(1, 8, 1, 1, 1, 1))
        coefficients = _along(_along(blocks, basis, 1), basis, 0)
        coefficients = coefficients.div_(step).round_().mul_(step)
        blocks = _along(_along(coefficients, basis.T, 1), basis.T, 0)
        image = blocks.permute(2, 3, 4, 0, 5, 1).reshape(shape)
        return image[..., : site.height, : site.width]


@lru_cache(maxsize=16)
def _cosines(device: torch.device) -> Tensor:
    """Return (8, 8), the orthonormal cosine basis, a row for each frequency.

    Reference:
        Ahmed, Natarajan & Rao 1974, Discrete cosine transform,
        https://doi.org/10.1109/T-C.1974.223784
    """
    position = torch.arange(8, dtype=torch.float64)
    basis = torch.cos(math.pi / 8 * position[:, None] * (position + 0.5)) / 2
    basis[0] /= math.sqrt(2)
    return basis.float().to(device)


def _along(blocks: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """Multiply a matrix with one axis of length 8, term by term.

    A matrix product would round differently for different batch sizes. The last axes are the long
    ones, which makes each term one pass over contiguous memory.
    """
    shape = [1] * blocks.ndim
    shape[axis] = 8
    total = torch.zeros_like(blocks)
    for part, column in zip(blocks.unbind(axis), matrix.unbind(1), strict=True):
        total.addcmul_(part.unsqueeze(axis), column.reshape(shape))
    return total
