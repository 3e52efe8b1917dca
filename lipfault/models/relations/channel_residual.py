"""Residual of each channel of a series given the others, linear and in closed form."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional


class ChannelResidual(nn.Module):
    """Whitened residual of each channel given all other channels of the window.

    For a Gaussian with precision L, the conditional mean of the block x_c given the rest leaves the
    residual (L_cc)^-1 (L (x - mean))_c, whose covariance is (L_cc)^-1; whitened by the Cholesky
    factor of L_cc it has unit variance on clean windows. Deviations far below the range of motion
    become visible. The relation is linear, hence exact only for linearly related sensors; the
    locator combines it with nonlinear residuals.

    Computed in float64: sensors agree to a millionth of their variance.

    Args:
        channels: Channels of the series.
        steps: Length of the window.
        patch: Time steps averaged to one position.

    Reference:
        Conditional distribution of a Gaussian by its precision: Bishop 2006, *Pattern Recognition
        and Machine Learning*, section 2.3.1.
    """

    mean: Tensor
    whitener: Tensor

    def __init__(self, channels: int, steps: int, patch: int = 4) -> None:
        """Start with residuals of zero."""
        super().__init__()
        self.channels, self.steps, self.positions = channels, steps, max(1, steps // patch)
        size = channels * self.positions
        self.register_buffer('mean', torch.zeros(size, dtype=torch.float64))
        self.register_buffer('whitener', torch.zeros(size, size, dtype=torch.float64))

    def _pooled(self, series: Tensor) -> Tensor:
        """(batch, channel x position), float64."""
        return functional.adaptive_avg_pool1d(series.double(), self.positions).flatten(1)

    @torch.no_grad()
    def fit(self, series: Tensor, noise: Tensor) -> None:
        """Fit mean and covariance on clean windows.

        Args:
            series: (window, channel, time), standardized.
            noise: (channel,) standard deviation of the sensor noise in the same units; its
                variance keeps the covariance invertible, however few windows there are.
        """
        pooled = self._pooled(series)
        self.mean.copy_(pooled.mean(dim=0))
        centered = pooled - self.mean
        covariance = centered.T @ centered / len(centered)
        # Averaging over a patch divides the noise variance by its length, steps / positions.
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
        """Compute the whitened residuals.

        Args:
            series: (batch, channel, time), standardized.

        Returns:
            (batch, channel, time), constant within a patch, of unit variance on clean windows.
        """
        residual = (self._pooled(series) - self.mean) @ self.whitener.T
        residual = rearrange(residual, 'b (c p) -> b c p', p=self.positions)
        return functional.interpolate(residual, size=self.steps, mode='nearest').to(series.dtype)
