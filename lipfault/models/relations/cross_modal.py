"""Prediction of one modality from the others."""

import torch
from torch import Tensor, nn

from lipfault.models.layers.residual_layer import ResidualLayer


class CrossModalPredictor(nn.Module):
    """Predicts the latent of a modality from a summary of the other modalities.

    Dense layers map the summary to hidden channels at each position of the latent; a learned
    position embedding makes the convolutions after them position dependent.

    Args:
        inputs: Features of the summary.
        latent_shape: (latent channel, position ...) of the predicted latent.
        width: Hidden units of the dense layers.
        depth: Dense layers in all.
        channels: Hidden channels at each position.
    """

    def __init__(
        self,
        inputs: int,
        latent_shape: tuple[int, ...],
        width: int = 512,
        depth: int = 3,
        channels: int = 64,
    ) -> None:
        """Build the layers."""
        super().__init__()
        latent_channels, *grid = latent_shape
        conv: type[nn.Conv1d] | type[nn.Conv2d] = nn.Conv1d if len(grid) == 1 else nn.Conv2d
        layers: list[nn.Module] = []
        for size in (inputs, *[width] * (depth - 1)):
            layers += [nn.Linear(size, width), nn.GELU()]
        last = nn.Linear(width, channels * torch.Size(grid).numel())
        self.dense = nn.Sequential(*layers, last)
        self.position = nn.Parameter(0.1 * torch.randn(channels, *grid))
        self.body = nn.Sequential(*(ResidualLayer(channels, conv) for _ in range(2)))
        self.end = conv(channels, latent_channels, 1)

    def forward(self, summary: Tensor) -> Tensor:
        """Predict a latent.

        Args:
            summary: (batch, inputs).

        Returns:
            (batch, latent channel, position ...).
        """
        hidden = self.dense(summary).view(-1, *self.position.shape)
        latent: Tensor = self.end(self.body(hidden + self.position))
        return latent
