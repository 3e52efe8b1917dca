"""A locator of images with convolutions at each pixel."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipfault.models.blocks.fault_map.locator import Locator

_WIDTH = 16
"""Hidden channels at each pixel."""


class FineLocator(nn.Module):
    """Adds convolutions at each pixel to the patches of a locator, for faults of single pixels.

    The last layer starts at zero, so that the logits start as those of the patches.

    Args:
        coarse: The locator of patches.
        inputs: Channels of all views together.
    """

    def __init__(self, coarse: Locator, inputs: int) -> None:
        """Build the layers."""
        super().__init__()
        self.coarse = coarse
        self.start = nn.Conv2d(inputs + 1, _WIDTH, 3, padding=1)
        self.middle = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.end = nn.Conv2d(_WIDTH, 1, 1)
        nn.init.zeros_(self.end.weight)
        nn.init.zeros_(self.end.bias)  # type: ignore[arg-type]

    def forward(self, views: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute the fault map.

        Args:
            views: (batch, inputs, height, width).
            condition: (batch, 1), the scalar of each sample.

        Returns:
            Logits of the fault map, (batch, 1, height, width), and pooled hidden features, those of
            the patches and the largest of the pixels, (batch, feature).
        """
        logits, pooled = self.coarse(views, condition)
        hidden = functional.gelu(self.start(torch.cat([views, logits / 4], dim=1)))
        hidden = functional.gelu(self.middle(hidden))
        return logits + self.end(hidden), pooled
