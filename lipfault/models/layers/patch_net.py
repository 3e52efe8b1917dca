"""Residual convolutions over patches of a signal."""

import math

import torch
from torch import Tensor, nn

from lipfault.modality import Modality
from lipfault.models.layers.padding import padded
from lipfault.models.layers.residual_layer import ResidualLayer

PATCH = 4
"""Time steps, or pixels in each direction, that share a hidden position by default."""

LARGEST_FRAME = 256
"""Pixels of the longer side of a frame up to which `PATCH` is used, those of the largest shipped
configuration; larger frames have larger patches, as many in each direction at most."""


def patch_of(modality: Modality) -> int:
    """Choose the patch of the local networks of one modality.

    Args:
        modality: Description of the modality.

    Returns:
        Time steps, or pixels in each direction, that share a hidden position.
    """
    if modality.size is None:
        return PATCH
    return PATCH << max(0, math.ceil(math.log2(max(modality.size) / LARGEST_FRAME)))


class PatchNet(nn.Module):
    """Convolutional network from views of one modality to hidden channels at each patch.

    Args:
        kind: `series` or `image`.
        inputs: Channels of all views together.
        width: Hidden channels.
        depth: Residual layers.
        patch: Time steps, or pixels in each direction, that share a hidden position.
        conditioned: Whether the network is conditioned on a scalar per sample, such as the
            stillness of an image.
    """

    def __init__(
        self,
        kind: str,
        inputs: int,
        width: int,
        depth: int,
        patch: int = PATCH,
        conditioned: bool = False,
    ) -> None:
        """Build the layers for the kind of the modality."""
        super().__init__()
        conv: type[nn.Conv1d] | type[nn.Conv2d] = nn.Conv1d if kind == 'series' else nn.Conv2d
        self.patch = patch
        self.start = conv(inputs, width, patch, stride=patch)
        self.condition = nn.Linear(1, width) if conditioned else None
        self.body = nn.Sequential(*(ResidualLayer(width, conv) for _ in range(depth)))

    def forward(self, views: Tensor, condition: Tensor | None = None) -> Tensor:
        """Compute the hidden channels.

        Args:
            views: (batch, inputs, time) or (batch, inputs, height, width), of any length or size;
                the last values are repeated to a whole number of patches.
            condition: (batch, 1), the scalar of each sample; 0 if not given.

        Returns:
            (batch, width, patch) or (batch, width, row, column).
        """
        start: Tensor = self.start(padded(views, self.patch))
        if self.condition is not None and condition is not None:
            # (batch, width) to (batch, width, 1 ...), which broadcasts over the patches
            shift = self.condition(condition)
            start = start + shift.view(*start.shape[:2], *[1] * (start.dim() - 2))
        hidden: Tensor = self.body(nn.functional.gelu(start))
        return hidden


def pooled(hidden: Tensor) -> Tensor:
    """Pool hidden channels over all positions.

    Args:
        hidden: (batch, width, position ...).

    Returns:
        Mean and maximum of each channel, (batch, 2 x width).
    """
    positions = hidden.flatten(2)
    return torch.cat([positions.mean(dim=2), positions.amax(dim=2)], dim=1)
