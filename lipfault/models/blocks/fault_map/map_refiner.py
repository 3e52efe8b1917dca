"""The last word on where a fault is, once it is known what should have been observed."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from lipfault.models.layers.patch_net import PATCH
from lipfault.models.layers.running_scale import RunningScale, symlog


class MapRefiner(nn.Module):
    """Small convolutions that move the logits of a fault map by what was inferred.

    A place where the observed signal is far from the inferred one is faulty, however little the
    locator made of it. The same weights serve every channel of a series. It starts by leaving the
    logits as they are.

    Args:
        kind: `series` or `image`.
        channels: Channels of the signal.
        width: Hidden channels.
        patch: Places (time steps, or pixels in each direction) that share a hidden position.
    """

    def __init__(self, kind: str, channels: int, width: int = 24, patch: int = PATCH) -> None:
        """Build the layers for the kind of the modality."""
        super().__init__()
        self.series, self.patch = kind == 'series', patch
        self.scale = RunningScale(channels)
        conv: type[nn.Conv1d] | type[nn.Conv2d] = nn.Conv1d if self.series else nn.Conv2d
        places = patch if self.series else patch**2
        self.layers = nn.Sequential(
            conv(4 * places, width, 3, padding=1),
            nn.GELU(),
            conv(width, width, 3, padding=1),
            nn.GELU(),
            conv(width, places, 1),
        )
        nn.init.zeros_(self.layers[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.layers[-1].bias)  # type: ignore[arg-type]

    def forward(
        self, logits: Tensor, hidden: Tensor, difference: Tensor, clean: Tensor | None = None
    ) -> Tensor:
        """Logits of the fault map, shaped as they came.

        Args:
            logits: The locator's, (batch, channel, time) or (batch, 1, height, width).
            hidden: What the corrector could not see, in [0, 1], shaped as the logits.
            difference: Observed minus inferred, shaped as the signal.
            clean: (batch,) bool, in training the samples without a fault: they set the scale.
        """
        if clean is not None:
            self.scale.update(difference.detach().float(), clean)
        scaled = symlog(self.scale(difference.float()))
        if not self.series:
            scaled = scaled.abs().mean(dim=1, keepdim=True)
        views = torch.stack([scaled, scaled.abs(), functional.tanh(logits.float() / 4), hidden], 2)
        return logits + self._moved(views).view_as(logits)

    def _moved(self, views: Tensor) -> Tensor:
        """What is added to each logit, from (batch, row, view, place ...)."""
        rows = views.flatten(0, 1)
        if not self.series:
            pixels: Tensor = self.layers(functional.pixel_unshuffle(rows, self.patch))
            return functional.pixel_shuffle(pixels, self.patch)
        patches = rearrange(rows, 'b v (t p) -> b (v p) t', p=self.patch)
        steps: Tensor = rearrange(self.layers(patches), 'b p t -> b (t p)')
        return steps
