"""Summaries of residuals and fault maps, at the resolution of the latent."""

import torch
from torch import Tensor
from torch.nn import functional


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


def peak(values: Tensor) -> Tensor:
    """Largest value of each channel of a series by magnitude, (batch, channel); one of an image."""
    if values.dim() == 4:
        values = values.flatten(1)[:, None]
    return values.abs().amax(dim=2)
