"""How large the residuals of an image usually are, pixel by pixel."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


class PixelScale(nn.Module):
    """Divides each residual of an image by its root mean square on clean windows at each pixel.

    A camera that does not move sees the machine in some places and still background in others. What
    is a small residual where the machine moves is a large one before the background.

    Args:
        residuals: Number of residuals.
        channels: Channels of the image.
        size: (height, width) in pixels.
    """

    scale: Tensor

    def __init__(self, residuals: int, channels: int, size: tuple[int, int]) -> None:
        """Start at one."""
        super().__init__()
        self.register_buffer('scale', torch.ones(residuals, channels, *size))

    def reset(self) -> None:
        """Start at one again."""
        self.scale.fill_(1.0)

    @torch.no_grad()
    def fit(self, windows: Iterable[Sequence[Tensor]], noise: Tensor) -> None:
        """Take the scale from clean windows.

        Args:
            windows: Batches of the residuals, unscaled, each (batch, channel, height, width).
            noise: (channel,) sensor noise in the units of the residuals, the least that a residual
                is divided by.
        """
        total, count = torch.zeros_like(self.scale, dtype=torch.float64), 0
        for residuals in windows:
            total += torch.stack([r.double().square().sum(dim=0) for r in residuals])
            count += len(residuals[0])
        usual = (total / max(1, count)).sqrt().to(self.scale)
        self.scale.copy_(usual.maximum(noise.to(usual)[:, None, None]))

    def forward(self, residuals: Sequence[Tensor]) -> list[Tensor]:
        """Residuals (batch, channel, height, width) in units of what is usual at their place."""
        return [r / s for r, s in zip(residuals, self.scale, strict=True)]
