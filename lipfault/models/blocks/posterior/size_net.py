"""Networks that estimate the size of a fault in each channel and chunk of a window."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class SizeNet(nn.Module):
    """Dense layers, shared by all channels and chunks, with context from the other ones.

    Each channel and chunk has its own statistics and an embedding of the channel. Context are the
    mean and the largest hidden features over the chunks of the channel and over the channels of the
    chunk, and a dense layer over a few hidden features of all channels. The last layer starts at
    zero, so that the sizes start as they were.

    Args:
        channels: Channels of the series.
        statistics: Input features of each channel and chunk.
        width: Hidden features.
        mixed: Hidden features of each channel that the dense layer over all channels receives.
        mixing: Width of this layer.

    Reference:
        Zaheer et al. 2017, Deep sets, https://arxiv.org/abs/1703.06114 (pooled context)
    """

    def __init__(
        self, channels: int, statistics: int, width: int = 48, mixed: int = 6, mixing: int = 192
    ) -> None:
        """Build the layers."""
        super().__init__()
        self.embedding = nn.Parameter(0.1 * torch.randn(channels, 8))
        self.own = nn.Sequential(
            nn.Linear(statistics + 8, width), nn.GELU(), nn.Linear(width, width), nn.GELU()
        )
        self.reduce = nn.Linear(width, mixed)
        self.mix = nn.Sequential(
            nn.Linear(2 * channels * mixed, mixing), nn.GELU(), nn.Linear(mixing, channels * mixed)
        )
        self.expand = nn.Linear(mixed, width)
        self.context = nn.Sequential(
            nn.Linear(6 * width, width), nn.GELU(), nn.Linear(width, width), nn.GELU()
        )
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
        last: nn.Linear = self.head[-1]  # type: ignore[assignment]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, statistics: Tensor) -> Tensor:
        """Compute the change of the logarithmic size.

        Args:
            statistics: (batch, channel, chunk, feature).

        Returns:
            (batch, channel, chunk).
        """
        batch, _, chunks, _ = statistics.shape
        names = self.embedding[None, :, None].expand(batch, -1, chunks, -1)
        hidden = self.own(torch.cat([statistics, names], dim=-1))
        pooled = (
            hidden.mean(dim=2, keepdim=True),
            hidden.amax(dim=2, keepdim=True),
            hidden.mean(dim=1, keepdim=True),
            hidden.amax(dim=1, keepdim=True),
        )
        context = [hidden, *(x.expand_as(hidden) for x in pooled), self._mixed(hidden)]
        change: Tensor = self.head(hidden + self.context(torch.cat(context, dim=-1)))
        return change[..., 0]

    def _mixed(self, hidden: Tensor) -> Tensor:
        """Dense layer over all channels of a chunk and their means over time."""
        batch, channels, chunks, _ = hidden.shape
        few = self.reduce(hidden)
        both = torch.cat([few, few.mean(dim=2, keepdim=True).expand_as(few)], dim=-1)
        # (batch, channel, chunk, feature) to (batch, chunk, all features of all channels)
        mixed = self.mix(both.transpose(1, 2).flatten(2))
        mixed = mixed.view(batch, chunks, channels, -1).transpose(1, 2)
        expanded: Tensor = functional.gelu(self.expand(mixed))
        return expanded
