"""Residuals of a frame from the scene, from its own neighbourhood, and from the frame before."""

import torch
from torch import Tensor
from torch.nn import functional

COUNT = 3
"""Number of the residuals."""


def scene_residuals(
    frame: Tensor, median: Tensor, previous: Tensor | None, noise: Tensor
) -> list[Tensor]:
    """Compute the residuals that closed forms give of a frame of a fixed camera.

    Args:
        frame: (batch, channel, height, width), standardized.
        median: (channel, height, width), median of clean frames.
        previous: The frame before, shaped as the frame, NaN where a value is missing; None where it
            is not known.
        noise: (channel,) sensor noise, standardized.

    Returns:
        Frame minus median scene, frame minus the median of 3 x 3 pixels, and frame minus the frame
        before, shaped as the frame. Where the frame before is not known the last one is the
        expected size of the difference of two frames of a still scene, sqrt(2) times the noise.
    """
    change = (2**0.5 * noise)[:, None, None].expand(frame.shape)
    if previous is not None:
        difference = frame - previous
        change = torch.where(difference.isnan(), change, difference)
    return [frame - median, frame - median_of_nine(frame), change]


def median_of_nine(frame: Tensor) -> Tensor:
    """Compute the median over the 3 x 3 pixels around each pixel; edges are repeated.

    A network of minima and maxima, several times as fast as sorting.

    Args:
        frame: (batch, channel, height, width).

    Returns:
        (batch, channel, height, width).

    Reference:
        Smith 1996, Implementing median filters in XC4000E FPGAs, Xcell 23 (sort the columns, then
        the median of the largest minimum, the median of medians and the smallest maximum)
    """
    padded = functional.pad(frame, (1, 1, 1, 1), mode='replicate')
    low, middle, high = _sorted(*(padded[..., row : row + frame.shape[2], :] for row in range(3)))
    width = frame.shape[3]
    lows, middles, highs = (
        [x[..., column : column + width] for column in range(3)] for x in (low, middle, high)
    )
    largest_low = torch.maximum(torch.maximum(lows[0], lows[1]), lows[2])
    smallest_high = torch.minimum(torch.minimum(highs[0], highs[1]), highs[2])
    return _sorted(largest_low, _sorted(*middles)[1], smallest_high)[1]


def _sorted(one: Tensor, two: Tensor, three: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sort three tensors elementwise."""
    one, two = torch.minimum(one, two), torch.maximum(one, two)
    two, three = torch.minimum(two, three), torch.maximum(two, three)
    one, two = torch.minimum(one, two), torch.maximum(one, two)
    return one, two, three
