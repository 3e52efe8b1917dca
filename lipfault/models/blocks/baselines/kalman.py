"""A Kalman smoother on each channel of a series."""

import numpy as np
import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.modality import Signals
from lipfault.models.blocks.baselines.base import ClosedFormBlock
from lipfault.models.layers.per_modality import PerModality

WINDOWS = 100
"""Clean windows, evenly spread, on which the noise covariances of a channel are estimated."""

ITERATIONS = 5
"""Iterations of expectation maximization, the default of `simdkalman`."""


class Smoother(nn.Module):
    """Rauch-Tung-Striebel smoothing as a fixed linear map of the time steps of each channel.

    State space model of a channel: position and velocity, whose velocity is a random walk. With
    fixed noise covariances and no missing values the smoothed window is linear in the observed one,
    so that the filter (`simdkalman`) is needed only to compute the map.

    Args:
        channels: Channels of the series.
        steps: Time steps of a window.

    Reference:
        Rauch, Tung and Striebel 1965, *Maximum likelihood estimates of linear dynamic systems*,
        https://doi.org/10.2514/3.3166.
    """

    matrix: Tensor

    def __init__(self, channels: int, steps: int) -> None:
        """Start at the identity."""
        super().__init__()
        self.register_buffer('matrix', torch.eye(steps).repeat(channels, 1, 1))

    def fit(self, windows: Tensor) -> None:
        """Estimate both noise covariances of each channel by expectation maximization.

        Args:
            windows: Standardized clean windows, (window, channel, time).

        Raises:
            LipfaultError: If `simdkalman` is not installed.
        """
        for channel in range(windows.shape[1]):
            observed = windows[:, channel].double().cpu().numpy()
            self.matrix[channel] = torch.from_numpy(smoothing_matrix(observed)).to(self.matrix)

    def forward(self, series: Tensor) -> Tensor:
        """Smooth a series.

        Args:
            series: (batch, channel, time).

        Returns:
            (batch, channel, time), float32.
        """
        channels, steps = self.matrix.shape[:2]
        # A grouped convolution with one output position per row: the matrix product by channel.
        flat = series.float().reshape(-1, channels * steps, 1)
        kernel = self.matrix.reshape(channels * steps, steps, 1)
        smoothed = nn.functional.conv1d(flat, kernel, groups=channels)
        return smoothed.reshape(-1, channels, steps)


def smoothing_matrix(windows: np.ndarray) -> np.ndarray:
    """Compute the linear map of a Kalman smoother with the noises of some windows.

    Args:
        windows: Windows of one channel, mean about zero, (window, time).

    Returns:
        (time, time) matrix of smoothed = matrix @ observed.

    Raises:
        LipfaultError: If `simdkalman` is not installed.
    """
    try:
        from simdkalman import KalmanFilter
    except ImportError as error:
        raise LipfaultError(
            f"block.kind kalman: pip install 'lipfault[baselines]': {error}"
        ) from error
    variance = float(windows.var()) + 1e-9
    transition, observation = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0]])
    first = KalmanFilter(transition, np.diag([1e-3, 1e-3]) * variance, observation, 0.1 * variance)
    each = first.em(windows, n_iter=ITERATIONS)  # one estimate per window
    noises = (each.process_noise.mean(axis=0), observation, each.observation_noise.mean(axis=0))
    smoothed: np.ndarray = (
        KalmanFilter(transition, *noises)
        .smooth(
            np.eye(windows.shape[1]),  # the smoothed unit vectors are the columns of the map
            initial_value=np.zeros(2),
            initial_covariance=np.eye(2) * 10 * variance,
            covariances=False,
        )
        .observations.mean
    )
    return smoothed.T


class KalmanBlock(ClosedFormBlock):
    """A Kalman smoother on every channel of every series; an image passes unchanged.

    The classical remedy for noisy kinematics models how fast a signal changes, and no relation to
    other channels. The score is the residual of the smoothing.
    """

    corrector: PerModality

    def build(self) -> None:
        """Build the detector, and a smoother for each series."""
        super().build()
        series = {n: len(m.channels) for n, m in self.modalities.items() if m.size is None}
        steps = self.autoencoder.steps
        self.corrector = PerModality({n: Smoother(c, steps[n]) for n, c in series.items()})

    def reconstruct(self, signals: Signals) -> tuple[Signals, Signals]:
        """Smooth each series.

        Args:
            signals: Observed signals, standardized.

        Returns:
            Latents of the smoothed signals, and the smoothed signals.
        """
        smoothed: Signals = self.corrector(signals)
        return self.autoencoder.encode(smoothed), smoothed

    @torch.no_grad()
    def fit_start(self, standardized: Signals) -> None:
        """Fit the smoothers, then the standard scores, on clean windows.

        Args:
            standardized: Clean signals, standardized.
        """
        smoothers = self.corrector.parts
        for name, smoother in smoothers.items():
            count = len(standardized[name])
            some = torch.linspace(0, count - 1, min(WINDOWS, count)).long()
            smoother.fit(standardized[name][some])  # type: ignore[operator]
        super().fit_start(standardized)
