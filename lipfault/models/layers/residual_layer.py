"""A residual convolution with global context."""

from torch import Tensor, nn


class ResidualLayer(nn.Module):
    """Adds to x a convolution over positions plus a broadcast of the mean over all positions.

    The mean gives each position the context of the whole signal, which a kernel of three does not
    reach.

    Args:
        width: Channels.
        conv: `nn.Conv1d` for series, `nn.Conv2d` for images.

    Reference:
        Residual layers: He et al. 2016, https://arxiv.org/abs/1512.03385. Global context by
        pooling: Hu et al. 2018, https://arxiv.org/abs/1709.01507.
    """

    def __init__(self, width: int, conv: type[nn.Conv1d] | type[nn.Conv2d]) -> None:
        """Build the layer."""
        super().__init__()
        self.conv = conv(width, width, 3, padding=1)
        self.context = nn.Linear(width, width)
        self.out = conv(width, width, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Apply the layer.

        Args:
            hidden: (batch, width, position ...).

        Returns:
            A tensor of the same shape.
        """
        mean = self.context(hidden.flatten(2).mean(dim=2))
        # (batch, width) to (batch, width, 1 ...), which broadcasts over the positions
        mixed = self.conv(hidden) + mean.view(*mean.shape, *[1] * (hidden.dim() - 2))
        out: Tensor = hidden + self.out(nn.functional.gelu(mixed))
        return out
