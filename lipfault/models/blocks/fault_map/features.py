"""Summaries of residuals and fault maps, at the resolution of the latent."""

import torch
from torch import Tensor
from torch.nn import functional

from lipfault.models.layers.running_scale import RunningScale

RANKED = 12
"""How many of the largest scores of a modality are handed on."""

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


class Evidence(RunningScale):
    """How unusual the residuals of one modality are, wherever that is.

    Energies and peaks are compared on a logarithmic scale, in standard deviations of what clean
    samples show: how large a residual is varies so little between clean windows that a tenth more
    is telling. Of these scores only the largest are handed on, in order: a network that sees them
    all learns by heart which were large in training.

    Args:
        kind: `series` or `image`.
        channels: Channels of the signal.
        latent_shape: (latent channel, position ...).
        residuals: Number of residuals, each shaped as the signal.
    """

    def __init__(
        self, kind: str, channels: int, latent_shape: tuple[int, ...], residuals: int
    ) -> None:
        """Know nothing of clean samples."""
        looks = map_size(kind, channels, latent_shape) + peaks(kind, channels, latent_shape)
        super().__init__(residuals * looks, center=True)
        self.numbers = RANKED + 2 * residuals

    def scores(self, residuals: list[Tensor], latent: Tensor, clean: Tensor | None) -> Tensor:
        """The `RANKED` largest scores, and the largest of each look, (batch, `numbers`).

        Args:
            residuals: Shaped as the signal.
            latent: For the shape.
            clean: (batch,) bool, in training the samples without a fault: they set the scale.
        """
        looks = [look for r in residuals for look in (energy(r, latent), peak(r, latent))]
        logarithms = torch.cat([x.float().clamp_min(1e-6).log() for x in looks], dim=1)
        if clean is not None:
            self.update(logarithms, clean)
        scores = self(logarithms).abs()
        each = torch.split(scores, [x.shape[1] for x in looks], dim=1)
        ranked = functional.pad(scores, (0, RANKED)).topk(RANKED, dim=1).values
        return torch.cat([ranked, *(x.amax(dim=1, keepdim=True) for x in each)], dim=1)


def size(whitened: Tensor) -> Tensor:
    """Root mean square of (batch, number), (batch, 1)."""
    return whitened.square().mean(dim=1, keepdim=True).clamp_min(1e-12).sqrt()


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
