"""Summaries of residuals and fault maps, at the resolution of the latent."""

import torch
from torch import Tensor
from torch.nn import functional

NOTHING = -20.0
"""Logit of a place that is certainly sound."""


def map_size(kind: str, channels: int, latent_shape: tuple[int, ...]) -> int:
    """Numbers in the summary of a fault map: series channel x position, image row x column."""
    places = torch.Size(latent_shape[1:]).numel()
    return places if kind == 'image' else channels * places


def mean_over_places(fault_map: Tensor, latent: Tensor) -> Tensor:
    """Mean of a map over each latent position, (batch, map size).

    Args:
        fault_map: (batch, channel, time) or (batch, 1, height, width).
        latent: (batch, latent channel, position ...), for the shape.
    """
    if fault_map.dim() == 4:
        rows, columns = latent.shape[2:]
        return functional.adaptive_avg_pool2d(fault_map, (rows, columns)).flatten(1)
    return functional.adaptive_avg_pool1d(fault_map, latent.shape[2]).flatten(1)


def energy(residual: Tensor, latent: Tensor) -> Tensor:
    """Root mean square of a residual over each latent position, (batch, map size).

    Args:
        residual: Shaped as its signal; the channels of an image are averaged.
        latent: For the shape.
    """
    square = residual.square()
    if residual.dim() == 4:
        square = square.mean(dim=1, keepdim=True)
    return mean_over_places(square, latent).clamp_min(1e-12).sqrt()


def peak(values: Tensor, latent: Tensor) -> Tensor:
    """Largest value by magnitude, (batch, number).

    Args:
        values: A residual. Of a series the largest of each channel is taken; of an image the
            largest over each latent position of the mean over 2 x 2 pixels, all channels together.
        latent: For the shape.
    """
    if values.dim() == 3:
        return values.abs().amax(dim=2)
    spots = functional.avg_pool2d(values, 2).square().mean(1, keepdim=True)
    rows, columns = latent.shape[2:]
    return functional.adaptive_max_pool2d(spots, (rows, columns)).flatten(1).clamp_min(1e-12).sqrt()


def peaks(kind: str, channels: int, latent_shape: tuple[int, ...]) -> int:
    """How many numbers `peak` gives."""
    return channels if kind == 'series' else torch.Size(latent_shape[1:]).numel()


def map_evidence(logits: Tensor, latent: Tensor, count: int) -> Tensor:
    """How sure a fault map is of its surest places, and how much it marks, (batch, count + 1).

    Args:
        logits: Of the map, (batch, channel, time) or (batch, 1, height, width).
        latent: For the shape.
        count: How many places: channels of a series, latent positions of an image. Each is worth
            the largest mean over 4 time steps, or over 2 x 2 pixels; places that do not exist are
            worth `NOTHING`.
    """
    logits = logits.float()
    if logits.dim() == 3:
        places = functional.avg_pool1d(logits, 4).amax(dim=2)
    else:
        rows, columns = latent.shape[2:]
        spots = functional.avg_pool2d(logits, 2)
        places = functional.adaptive_max_pool2d(spots, (rows, columns)).flatten(1)
    surest = functional.pad(places, (0, count), value=NOTHING).topk(count, dim=1).values
    share = logits.sigmoid().flatten(1).mean(dim=1, keepdim=True)
    return torch.cat([surest, share.clamp_min(1e-6).log()], dim=1)
