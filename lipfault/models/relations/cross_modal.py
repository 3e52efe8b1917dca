"""What one modality should look like, given the others."""

import torch
from torch import Tensor, nn

from lipfault.models.layers.residual_layer import ResidualLayer


class CrossModalPredictor(nn.Module):
    """Predicts the latent of a modality from a summary of the other modalities.

    Dense layers spread the summary over the positions of the latent, a learned map of places tells
    the convolutions after them where they are.

    Args:
        inputs: Numbers in the summary.
        latent_shape: (latent channel, position ...) of what is predicted.
        width: Hidden units of the dense layers.
        depth: Dense layers before the one that spreads.
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
        latent_channels, *places = latent_shape
        conv: type[nn.Conv1d] | type[nn.Conv2d] = nn.Conv1d if len(places) == 1 else nn.Conv2d
        layers: list[nn.Module] = []
        for size in (inputs, *[width] * (depth - 1)):
            layers += [nn.Linear(size, width), nn.GELU()]
        spread = nn.Linear(width, channels * torch.Size(places).numel())
        self.dense = nn.Sequential(*layers, spread)
        self.place = nn.Parameter(0.1 * torch.randn(channels, *places))
        self.body = nn.Sequential(*(ResidualLayer(channels, conv) for _ in range(2)))
        self.end = conv(channels, latent_channels, 1)

    def forward(self, summary: Tensor) -> Tensor:
        """Latent (batch, latent channel, position ...) of a summary (batch, number)."""
        spread = self.dense(summary).view(-1, *self.place.shape)
        latent: Tensor = self.end(self.body(spread + self.place))
        return latent
