"""Residual of each sample of a series given its neighbours, linear and in closed form."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional


class NeighbourResidual(nn.Module):
    """Whitened residual of each sample given the samples around it.

    The linear regression of x_c(t) on x_c(t + k), 0 < |k| <= reach, and on the other channels at
    t + k, |k| <= 1, the same for all t. The residual has unit variance on clean windows. Sensors
    sample faster than their machine moves, so that noise, spikes, steps and gaps far smaller than
    the motion become visible; `ChannelResidual` covers lasting deviations.

    Computed in float64: neighbours agree to a millionth of their variance.

    Args:
        channels: Channels of the series.
        reach: Samples on either side from which a sample is predicted.
    """

    kernel: Tensor

    def __init__(self, channels: int, reach: int = 4) -> None:
        """Start with residuals of zero."""
        super().__init__()
        self.reach = reach
        shape = (channels, channels, 2 * reach + 1)
        self.register_buffer('kernel', torch.zeros(shape, dtype=torch.float64))

    @torch.no_grad()
    def fit(self, series: Tensor, noise: Tensor) -> None:
        """Fit the regression on clean windows.

        Args:
            series: (window, channel, time), standardized, longer than twice the reach.
            noise: (channel,) standard deviation of the sensor noise in the same units; half its
                variance keeps the covariance invertible, however few windows there are, and a
                residual counts as at least half of it.
        """
        covariance = self._covariance(series.double())
        taps = 2 * self.reach + 1
        floor = noise.double().square()
        ridged = covariance + torch.diag(floor.repeat_interleave(taps) / 2)
        channel, tap = torch.meshgrid(
            torch.arange(series.shape[1]), torch.arange(taps) - self.reach, indexing='ij'
        )
        channel, tap = channel.flatten(), tap.flatten()
        for own in range(series.shape[1]):
            target = own * taps + self.reach
            inputs = torch.where(channel == own, tap != 0, tap.abs() <= 1).nonzero()[:, 0]
            inputs = inputs.to(covariance.device)
            weight = torch.linalg.solve(ridged[inputs][:, inputs], ridged[inputs, target])
            row = covariance.new_zeros(len(covariance))
            row[inputs], row[target] = -weight, 1.0
            deviation = (row @ covariance @ row).clamp_min(floor[own] / 4).sqrt()
            self.kernel[own] = (row / deviation).view(-1, taps)

    def _covariance(self, series: Tensor) -> Tensor:
        """(channel x tap, channel x tap) covariance of neighbouring samples."""
        taps, count = 2 * self.reach + 1, 0
        total = series.new_zeros(series.shape[1] * taps, series.shape[1] * taps)
        for windows in torch.split(series, 512):  # bounds the memory of the unfolded windows
            around = rearrange(windows.unfold(2, taps, 1), 'n c t k -> (n t) (c k)')
            total += around.T @ around
            count += len(around)
        return total / count

    def forward(self, series: Tensor) -> Tensor:
        """Compute the whitened residuals.

        Args:
            series: (batch, channel, time), standardized.

        Returns:
            (batch, channel, time), zero within `reach` of either end.
        """
        residual = functional.conv1d(series.double(), self.kernel)
        return functional.pad(residual, (self.reach, self.reach)).to(series.dtype)
