"""Inpainters: local detail for the signal that the corrector decodes."""

import torch
from einops import rearrange
from torch import Tensor, nn

from lipfault.models.layers.padding import cropped
from lipfault.models.layers.patch_net import PATCH, PatchNet


class Inpainter(nn.Module):
    """Convolutional network that refines a decoded signal by its unmasked surroundings.

    For a series its inputs are the unmasked channels at the same time; for an image also the
    observed pixels, which a fault may degrade without destroying them. The last layer starts at
    zero, so that the output starts as the decoded signal.

    Args:
        kind: `series` or `image`.
        channels: Channels of the signal.
        width: Hidden channels.
        patch: Time steps, or pixels in each direction, that share a hidden position.
        depth: Residual layers.

    Reference:
        Pathak et al. 2016, *Context Encoders: Feature Learning by Inpainting*,
        https://arxiv.org/abs/1604.07379.
    """

    def __init__(
        self, kind: str, channels: int, width: int, patch: int = PATCH, depth: int = 2
    ) -> None:
        """Build the network for the kind of the modality."""
        super().__init__()
        self.kind, self.patch, self.channels = kind, patch, channels
        conv: type[nn.Conv1d] | type[nn.Conv2d] = nn.Conv1d if kind == 'series' else nn.Conv2d
        inputs, outputs = (3, 1) if kind == 'series' else (3, 2)
        # The fault map has one channel for an image, the signal's channels for a series.
        extra, area = (0, patch) if kind == 'series' else (1, patch**2)
        self.net = PatchNet(kind, inputs * channels + extra, width, depth, patch)
        self.end = conv(width, outputs * channels * area, 1)
        nn.init.zeros_(self.end.weight)
        nn.init.zeros_(self.end.bias)  # type: ignore[arg-type]

    def forward(self, kept: Tensor, degraded: Tensor, mask: Tensor, decoded: Tensor) -> Tensor:
        """Refine a decoded signal.

        Args:
            kept: Standardized signal, zero where it is masked; (batch, channel, time) or
                (batch, channel, height, width).
            degraded: The observed signal, or `kept` again where masked pixels may not be used at
                all; without effect for a series.
            mask: (batch, channel, time) or (batch, 1, height, width), 1 where masked.
            decoded: Decoded signal of the corrector, shaped as the signal.

        Returns:
            The inpainted signal, shaped as the signal.
        """
        views = [kept, mask, decoded] if self.kind == 'series' else [kept, degraded, mask, decoded]
        detail = self.end(self.net(torch.cat(views, dim=1)))
        if self.kind == 'series':
            steps = rearrange(detail, 'b (c p) t -> b c (t p)', p=self.patch)
            series: Tensor = decoded + cropped(steps, decoded.shape[2:])
            return series
        pixels = cropped(nn.functional.pixel_shuffle(detail, self.patch), decoded.shape[2:])
        # One half weighs the degraded pixel against the decoded one, the other is added.
        weight, change = pixels[:, : self.channels], pixels[:, self.channels :]
        refined: Tensor = decoded + weight * (degraded - decoded) + change
        return refined
