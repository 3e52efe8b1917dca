"""Whether each channel of a series agrees with the others: the linear answer, in closed form."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional


class ChannelResidual(nn.Module):
    """Whitened residual of each channel given all other channels of the window.

    For a Gaussian with precision L, the best guess of the block x_c from the rest leaves the
    residual (L_cc)^-1 (L (x - mean))_c, whose covariance is (L_cc)^-1; whitened by the Cholesky
    factor of L_cc it has unit variance on clean windows. A sensor that contradicts the others by
    far less than it moves stands out. Linear, so exact only where the sensors are related
    linearly; a network judges it together with nonlinear residuals.

    Computed in float64: sensors agree to a millionth of their variance.

    Args:
        channels: Channels of the series.
        steps: Length of the window.
        patch: Time steps averaged to one position.
    """

    mean: Tensor
    whitener: Tensor

    def __init__(self, channels: int, steps: int, patch: int = 4) -> None:
        """Start without knowledge: zero everywhere."""
        super().__init__()
        self.channels, self.steps, self.positions = channels, steps, max(1, steps // patch)
        size = channels * self.positions
        self.register_buffer('mean', torch.zeros(size, dtype=torch.float64))
        self.register_buffer('whitener', torch.zeros(size, size, dtype=torch.float64))

    def _pooled(self, series: Tensor) -> Tensor:
        return functional.adaptive_avg_pool1d(series.double(), self.positions).flatten(1)

    @torch.no_grad()
    def fit(self, series: Tensor, noise: Tensor) -> None:
        """Take the relations between the channels from clean windows.

        Args:
            series: (window, channel, time), standardized.
            noise: (channel,) standard deviation of the sensor noise in the same units; its
                variance keeps the covariance invertible, however few windows there are.
        """
        pooled = self._pooled(series)
        self.mean.copy_(pooled.mean(dim=0))
        centered = pooled - self.mean
        covariance = centered.T @ centered / len(centered)
        floor = noise.double().square() * self.positions / self.steps
        covariance += torch.diag(floor.repeat_interleave(self.positions) / 2)
        precision = torch.linalg.inv(covariance)
        for channel in range(self.channels):
            rows = slice(channel * self.positions, (channel + 1) * self.positions)
            block = precision[rows, rows]
            factor = torch.linalg.cholesky((block + block.T) / 2)
            self.whitener[rows] = torch.linalg.solve_triangular(
                factor, precision[rows], upper=False
            )

    def forward(self, series: Tensor) -> Tensor:
        """Whitened residuals of (batch, channel, time), same shape, constant within a patch."""
        residual = (self._pooled(series) - self.mean) @ self.whitener.T
        residual = rearrange(residual, 'b (c p) -> b c p', p=self.positions)
        return functional.interpolate(residual, size=self.steps, mode='nearest').to(series.dtype)
