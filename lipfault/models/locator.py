"""Locators: where in a signal is the fault."""

import torch
from einops import rearrange
from torch import Tensor, nn

from lipfault.models.residual_layer import ResidualLayer
from lipfault.models.running_scale import RunningScale, symlog


class Locator(nn.Module):
    """Convolutional network from views of one modality to the logits of its fault map.

    A view is a standardized signal or residual of the shape of the signal. Residual views are
    brought to unit scale on clean samples and compressed (symlog), so that a fault of any size is
    in reach of the network.

    Args:
        kind: `series` or `image`.
        channels: Channels of the signal.
        views: Number of views.
        width: Hidden channels.
        patch: Places (time steps, or pixels in each direction) that share a hidden position; the
            map itself has the resolution of the signal.
        depth: Residual layers.
        told: Whether it is told a number about each sample, for instance how still an image is.
    """

    def __init__(
        self,
        kind: str,
        channels: int,
        views: int = 3,
        width: int = 64,
        patch: int = 4,
        depth: int = 3,
        told: bool = False,
    ) -> None:
        """Build the network for the kind of the modality."""
        super().__init__()
        conv: type[nn.Conv1d] | type[nn.Conv2d] = nn.Conv1d if kind == 'series' else nn.Conv2d
        self.kind, self.patch, self.width = kind, patch, width
        self.scale = RunningScale(views * channels)
        self.start = conv(views * channels, width, patch, stride=patch)
        self.told = nn.Linear(1, width) if told else None
        self.body = nn.Sequential(*(ResidualLayer(width, conv) for _ in range(depth)))
        maps = channels * patch if kind == 'series' else patch**2
        self.end = conv(width, maps, 1)

    def forward(
        self, views: Tensor, clean: Tensor | None = None, told: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Find the fault.

        Args:
            views: (batch, view x channel, time) or (batch, view x channel, height, width).
            clean: (batch,) bool, in training the samples without a fault: they set the scale.
            told: (batch, 1), what it is told about each sample.

        Returns:
            Logits of the fault map, (batch, channel, time) or (batch, 1, height, width), and what
            the network saw, pooled: (batch, 2 x width).
        """
        if clean is not None:
            self.scale.update(views, clean)
        start = self.start(symlog(self.scale(views)))
        if self.told is not None and told is not None:
            start = start + self.told(told).view(*start.shape[:2], *[1] * (start.dim() - 2))
        hidden = self.body(nn.functional.gelu(start))
        places = hidden.flatten(2)
        pooled = torch.cat([places.mean(dim=2), places.amax(dim=2)], dim=1)
        pattern = (
            'b (c p) t -> b c (t p)' if self.kind == 'series' else 'b (p q) h w -> b 1 (h p) (w q)'
        )
        sizes = {'p': self.patch} if self.kind == 'series' else {'p': self.patch, 'q': self.patch}
        return rearrange(self.end(hidden), pattern, **sizes), pooled
