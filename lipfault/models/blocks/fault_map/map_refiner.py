"""The map refiner: a fault map updated by the inpainted signal."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from lipfault.models.layers.padding import cropped, padded
from lipfault.models.layers.patch_net import PATCH
from lipfault.models.layers.running_scale import RunningScale, symlog


class MapRefiner(nn.Module):
    """Small convolutions that update the logits of a fault map by the inpainted signal.

    A position where the observed signal is far from the inpainted one is faulty, also where the
    locator has missed it. All channels of a series share the weights. The last layer starts at
    zero, so that the logits start unchanged.

    Args:
        kind: `series` or `image`.
        channels: Channels of the signal.
        width: Hidden channels.
        patch: Time steps, or pixels in each direction, that share a hidden position.
    """

    def __init__(self, kind: str, channels: int, width: int = 24, patch: int = PATCH) -> None:
        """Build the layers for the kind of the modality."""
        super().__init__()
        self.series, self.patch = kind == 'series', patch
        self.scale = RunningScale(channels)
        conv: type[nn.Conv1d] | type[nn.Conv2d] = nn.Conv1d if self.series else nn.Conv2d
        size = patch if self.series else patch**2
        self.layers = nn.Sequential(
            conv(4 * size, width, 3, padding=1),  # 4 views, see `forward`
            nn.GELU(),
            conv(width, width, 3, padding=1),
            nn.GELU(),
            conv(width, size, 1),
        )
        nn.init.zeros_(self.layers[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.layers[-1].bias)  # type: ignore[arg-type]

    def forward(
        self, logits: Tensor, masked: Tensor, difference: Tensor, is_clean: Tensor | None = None
    ) -> Tensor:
        """Update the logits of a fault map.

        Args:
            logits: Output of the locator, (batch, channel, time) or (batch, 1, height, width).
            masked: Mask of the corrector in [0, 1], shaped as the logits.
            difference: Observed minus inpainted signal, shaped as the signal.
            is_clean: (batch,) bool, given in training: these samples set the scale. In evaluation
                the scale stays as it is.

        Returns:
            Logits, shaped as the input.
        """
        if is_clean is not None and self.training:
            self.scale.update(difference.detach().float(), is_clean)
        scaled = symlog(self.scale(difference.float()))
        if not self.series:
            scaled = scaled.abs().mean(dim=1, keepdim=True)
        # tanh(logits / 4) is linear up to the logits that locators reach, and bounded beyond.
        views = torch.stack([scaled, scaled.abs(), functional.tanh(logits.float() / 4), masked], 2)
        return logits + self._update(views).reshape_as(logits)

    def _update(self, views: Tensor) -> Tensor:
        """The sum to each logit, from (batch, row, view, position ...)."""
        rows = padded(views.flatten(0, 1), self.patch)
        if not self.series:
            pixels: Tensor = self.layers(functional.pixel_unshuffle(rows, self.patch))
            return cropped(functional.pixel_shuffle(pixels, self.patch), views.shape[3:])
        patches = rearrange(rows, 'b v (t p) -> b (v p) t', p=self.patch)
        steps: Tensor = rearrange(self.layers(patches), 'b p t -> b 1 (t p)')
        return cropped(steps, views.shape[3:])
