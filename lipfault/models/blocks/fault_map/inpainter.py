"""Inpainters: local detail for what the corrector infers from afar."""

import torch
from einops import rearrange
from torch import Tensor, nn

from lipfault.models.layers.patch_net import PATCH, PatchNet


class Inpainter(nn.Module):
    """Convolutional network that refines a guess with what is known nearby.

    For a series it sees the channels that are left, at the same time; for an image also the
    observed pixels, which a fault may have degraded without destroying. It starts as the guess.

    Args:
        kind: `series` or `image`.
        channels: Channels of the signal.
        width: Hidden channels.
        patch: Places (time steps, or pixels in each direction) that share a hidden position.
        depth: Residual layers.
    """

    def __init__(
        self, kind: str, channels: int, width: int, patch: int = PATCH, depth: int = 2
    ) -> None:
        """Build the network for the kind of the modality."""
        super().__init__()
        self.kind, self.patch, self.channels = kind, patch, channels
        conv: type[nn.Conv1d] | type[nn.Conv2d] = nn.Conv1d if kind == 'series' else nn.Conv2d
        inputs, outputs = (3, 1) if kind == 'series' else (3, 2)
        extra, area = (0, patch) if kind == 'series' else (1, patch**2)
        self.net = PatchNet(kind, inputs * channels + extra, width, depth, patch)
        self.end = conv(width, outputs * channels * area, 1)
        nn.init.zeros_(self.end.weight)
        nn.init.zeros_(self.end.bias)  # type: ignore[arg-type]

    def forward(self, kept: Tensor, seen: Tensor, fault_map: Tensor, guess: Tensor) -> Tensor:
        """Refine a guess.

        Args:
            kept: Standardized signal, zero where it is hidden; (batch, channel, time) or
                (batch, channel, height, width).
            seen: The signal as observed, or `kept` again where it must not be looked at; unused
                for a series.
            fault_map: What is hidden, (batch, channel, time) or (batch, 1, height, width).
            guess: What the corrector infers, shaped as the signal.
        """
        views = (
            [kept, fault_map, guess] if self.kind == 'series' else [kept, seen, fault_map, guess]
        )
        detail = self.end(self.net(torch.cat(views, dim=1)))
        if self.kind == 'series':
            series: Tensor = guess + rearrange(detail, 'b (c p) t -> b c (t p)', p=self.patch)
            return series
        pixels = nn.functional.pixel_shuffle(detail, self.patch)
        trust, change = pixels[:, : self.channels], pixels[:, self.channels :]
        refined: Tensor = guess + trust * (seen - guess) + change
        return refined
