"""Scale of the residuals of an image at each pixel."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


class PixelScale(nn.Module):
    """Divides each residual of an image by its root mean square on clean windows at each pixel.

    In the frames of a fixed camera the machine moves across some pixels only. A residual that is
    small for these pixels is large for a pixel of the background.

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
        """Set the scale to one."""
        self.scale.fill_(1.0)

    @torch.no_grad()
    def fit(self, windows: Iterable[Sequence[Tensor]], noise: Tensor) -> None:
        """Fit the scale on clean windows.

        Args:
            windows: Batches of the residuals, unscaled, each (batch, channel, height, width).
            noise: (channel,) sensor noise in the units of the residuals, the smallest scale.
        """
        total, count = torch.zeros_like(self.scale, dtype=torch.float64), 0
        for residuals in windows:
            total += torch.stack([r.double().square().sum(dim=0) for r in residuals])
            count += len(residuals[0])
        scale = (total / max(1, count)).sqrt().to(self.scale)
        self.scale.copy_(scale.maximum(noise.to(scale)[:, None, None]))

    def forward(self, residuals: Sequence[Tensor]) -> list[Tensor]:
        """Divide residuals by their scale.

        Args:
            residuals: Tensors (batch, channel, height, width).

        Returns:
            Tensors of the same shape, of unit root mean square on clean windows at each pixel.
        """
        return [r / s for r, s in zip(residuals, self.scale, strict=True)]
