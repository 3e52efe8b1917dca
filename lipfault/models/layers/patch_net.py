"""Residual convolutions over patches of a signal."""

import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.modality import Modality
from lipfault.models.layers.residual_layer import ResidualLayer

PATCH = 4
"""Places (time steps, or pixels in each direction) that usually share a hidden position."""


class PatchNet(nn.Module):
    """From views of one modality to hidden channels at each patch.

    Args:
        kind: `series` or `image`.
        inputs: Channels of all views together.
        width: Hidden channels.
        depth: Residual layers.
        patch: Places (time steps, or pixels in each direction) that share a hidden position.
        told: Whether it is told a number about each sample, for instance how still an image is.
    """

    def __init__(
        self, kind: str, inputs: int, width: int, depth: int, patch: int = PATCH, told: bool = False
    ) -> None:
        """Build the layers for the kind of the modality."""
        super().__init__()
        conv: type[nn.Conv1d] | type[nn.Conv2d] = nn.Conv1d if kind == 'series' else nn.Conv2d
        self.start = conv(inputs, width, patch, stride=patch)
        self.told = nn.Linear(1, width) if told else None
        self.body = nn.Sequential(*(ResidualLayer(width, conv) for _ in range(depth)))

    def forward(self, views: Tensor, told: Tensor | None = None) -> Tensor:
        """Hidden channels, (batch, width, patch) or (batch, width, row, column).

        Args:
            views: (batch, inputs, time) or (batch, inputs, height, width).
            told: (batch, 1), what it is told about each sample; 0 if not given.
        """
        start: Tensor = self.start(views)
        if self.told is not None and told is not None:
            start = start + self.told(told).view(*start.shape[:2], *[1] * (start.dim() - 2))
        hidden: Tensor = self.body(nn.functional.gelu(start))
        return hidden


def pooled(hidden: Tensor) -> Tensor:
    """Mean and largest value over all places, (batch, 2 x width), of (batch, width, place ...)."""
    places = hidden.flatten(2)
    return torch.cat([places.mean(dim=2), places.amax(dim=2)], dim=1)


def require_patches(modality: Modality, steps: int | None) -> None:
    """Refuse signals that are not a whole number of patches.

    Args:
        modality: What is known of them.
        steps: Length of the window of a series, in samples.

    Raises:
        LipfaultError: Saying what would fit.
    """
    if modality.size is not None:
        if any(side % PATCH for side in modality.size):
            raise LipfaultError(
                f'modality {modality.name!r}: for this block height and width must be multiples of '
                f'{PATCH}, got {modality.size}'
            )
    elif steps is not None and steps % PATCH:
        lower = steps // PATCH * PATCH
        fitting = ' or '.join(
            f'{n / modality.rate_hz:g} s ({n} samples)' for n in (lower, lower + PATCH) if n
        )
        raise LipfaultError(
            f'modality {modality.name!r}: for this block the window must be a multiple of {PATCH} '
            f'samples, got {steps}; train stage 1 with another data.window_s, {fitting}, '
            'or take another block.kind'
        )
