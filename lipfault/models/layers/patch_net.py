"""Residual convolutions over patches of a signal."""

import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.modality import Modality
from lipfault.models.layers.residual_layer import ResidualLayer

PATCH = 4
"""Time steps, or pixels in each direction, that share a hidden position by default."""


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
        self.start = conv(inputs, width, patch, stride=patch)
        self.condition = nn.Linear(1, width) if conditioned else None
        self.body = nn.Sequential(*(ResidualLayer(width, conv) for _ in range(depth)))

    def forward(self, views: Tensor, condition: Tensor | None = None) -> Tensor:
        """Compute the hidden channels.

        Args:
            views: (batch, inputs, time) or (batch, inputs, height, width).
            condition: (batch, 1), the scalar of each sample; 0 if not given.

        Returns:
            (batch, width, patch) or (batch, width, row, column).
        """
        start: Tensor = self.start(views)
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


def require_patches(modality: Modality, steps: int | None) -> None:
    """Check that signals are a whole number of patches.

    Args:
        modality: Description of the modality.
        steps: Length of the window of a series, in samples.

    Raises:
        LipfaultError: If they are not, with the sizes that fit.
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
