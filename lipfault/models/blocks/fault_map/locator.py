"""Locators: the fault map of one modality."""

from einops import rearrange
from torch import Tensor, nn

from lipfault.models.layers.padding import cropped
from lipfault.models.layers.patch_net import PATCH, PatchNet, pooled


class Locator(nn.Module):
    """Convolutional network from views of one modality to the logits of its fault map.

    Args:
        kind: `series` or `image`.
        channels: Channels of the signal.
        inputs: Channels of all views together.
        width: Hidden channels.
        patch: Time steps, or pixels in each direction, that share a hidden position; the map itself
            has the resolution of the signal.
        depth: Residual layers.
        conditioned: Whether the network is conditioned on a scalar per sample, such as the
            stillness of an image.
    """

    def __init__(
        self,
        kind: str,
        channels: int,
        inputs: int,
        width: int = 64,
        patch: int = PATCH,
        depth: int = 3,
        conditioned: bool = False,
    ) -> None:
        """Build the network for the kind of the modality."""
        super().__init__()
        self.net = PatchNet(kind, inputs, width, depth, patch, conditioned)
        if kind == 'series':
            self.end: nn.Conv1d | nn.Conv2d = nn.Conv1d(width, channels * patch, 1)
            self.pattern, self.sizes = 'b (c p) t -> b c (t p)', {'p': patch}
        else:
            self.end = nn.Conv2d(width, patch**2, 1)
            self.pattern = 'b (p q) h w -> b 1 (h p) (w q)'
            self.sizes = {'p': patch, 'q': patch}

    def forward(self, views: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute the fault map.

        Args:
            views: (batch, inputs, time) or (batch, inputs, height, width).
            condition: (batch, 1), the scalar of each sample.

        Returns:
            Logits of the fault map, (batch, channel, time) or (batch, 1, height, width), and the
            pooled hidden features, (batch, 2 x width).
        """
        hidden = self.net(views, condition)
        logits = rearrange(self.end(hidden), self.pattern, **self.sizes)
        return cropped(logits, views.shape[2:]), pooled(hidden)
