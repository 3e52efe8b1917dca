"""A residual convolution that also knows what the rest of the signal looks like."""

from torch import Tensor, nn


class ResidualLayer(nn.Module):
    """x + f(x), f a convolution along places plus a broadcast of the mean over all places.

    Args:
        width: Channels.
        conv: `nn.Conv1d` for series, `nn.Conv2d` for images.
    """

    def __init__(self, width: int, conv: type[nn.Conv1d] | type[nn.Conv2d]) -> None:
        """Build the layer."""
        super().__init__()
        self.conv = conv(width, width, 3, padding=1)
        self.everywhere = nn.Linear(width, width)
        self.out = conv(width, width, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, width, place ...) of the same shape."""
        mean = self.everywhere(hidden.flatten(2).mean(dim=2))
        mixed = self.conv(hidden) + mean.view(*mean.shape, *[1] * (hidden.dim() - 2))
        out: Tensor = hidden + self.out(nn.functional.gelu(mixed))
        return out
