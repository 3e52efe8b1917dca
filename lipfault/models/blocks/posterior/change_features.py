"""Summaries of what a correction changes, as evidence for the classifiers."""

import torch
from torch import Tensor
from torch.nn import functional

CHANGES = 8
"""Features of the change by a correction that a classifier receives."""


def series_features(square: Tensor, log_size: Tensor) -> Tensor:
    """Summarize the change and the fault sizes of a series.

    Args:
        square: (batch, channel, time), squared change in units of the noise variance.
        log_size: (batch, channel, chunk), logarithm of the fault variance in the same units.

    Returns:
        (batch, 8), logarithms of mean and largest squared change, and of the largest sizes.
    """
    channels = square.mean(dim=2)
    second = channels.topk(min(3, channels.shape[1]), dim=1).values[:, -1]
    short = functional.avg_pool1d(square, min(8, square.shape[2])).flatten(1).amax(dim=1)
    change = torch.stack([channels.mean(dim=1), channels.amax(dim=1), second, short], dim=1)
    of_channel = log_size.mean(dim=2)
    sizes = [
        log_size.flatten(1).amax(dim=1),
        log_size.flatten(1).logsumexp(dim=1),
        of_channel.amax(dim=1),
        of_channel.mean(dim=1),
    ]
    return torch.cat([change.clamp_min(1e-3).log(), torch.stack(sizes, dim=1)], dim=1)


def image_features(square: Tensor) -> Tensor:
    """Summarize the change of an image.

    Args:
        square: (batch, channel, height, width), squared change in units of the noise variance.

    Returns:
        (batch, 8), logarithms of mean, quantiles and largest squared changes over squares of
        pixels.
    """
    square = square.mean(dim=1, keepdim=True)
    sides = [min(8, side) for side in square.shape[2:]]
    pooled = {
        n: functional.avg_pool2d(square, [min(n, side) for side in sides]).flatten(1)
        for n in (1, 2, 4, 8)
    }
    fours = pooled[4].sort(dim=1, descending=True).values
    quarter = fours.shape[1] // 4
    parts = [
        square.flatten(1).mean(dim=1),
        *(x.amax(dim=1) for x in pooled.values()),
        fours[:, min(8, fours.shape[1] - 1)],
        fours[:, quarter],
        fours[:, 2 * quarter],
    ]
    return torch.stack(parts, dim=1).clamp_min(1e-3).log()
