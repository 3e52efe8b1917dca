"""A Kalman smoother on each channel of a series."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.modality import Modality
from lipfault.models.autoencoder.autoencoder import Autoencoder, Signals
from lipfault.models.blocks.baselines.base import ClosedFormBlock
from lipfault.models.layers.per_modality import PerModality

WINDOWS = 100
"""Clean windows, evenly spread, from which the noises of a channel are estimated."""

ITERATIONS = 5
"""Steps of expectation maximization; what `simdkalman` takes unless told otherwise."""


class Smoother(nn.Module):
    """Rauch-Tung-Striebel smoothing, a fixed linear map of the time steps of each channel.

    Model of a channel: its rate of change does a random walk (position and velocity in a state of
    two). With these and no missing values the smoothed window is linear in the observed one, so
    that the filter itself (`simdkalman`) is needed only to find the map.

    Args:
        channels: Channels of the series.
        steps: Time steps of a window.
    """

    matrix: Tensor

    def __init__(self, channels: int, steps: int) -> None:
        """Leave everything as it is until `fit`."""
        super().__init__()
        self.register_buffer('matrix', torch.eye(steps).repeat(channels, 1, 1))

    def fit(self, windows: Tensor) -> None:
        """Estimate both noises of each channel by expectation maximization.

        Args:
            windows: Standardized clean windows, (window, channel, time).

        Raises:
            LipfaultError: If `simdkalman` is not installed.
        """
        for channel in range(windows.shape[1]):
            observed = windows[:, channel].double().cpu().numpy()
            self.matrix[channel] = torch.from_numpy(smoothing_matrix(observed)).to(self.matrix)

    def forward(self, series: Tensor) -> Tensor:
        """Smoothed series, (batch, channel, time), float32."""
        channels, steps = self.matrix.shape[:2]
        flat = series.float().reshape(-1, channels * steps, 1)
        kernel = self.matrix.reshape(channels * steps, steps, 1)
        smoothed = nn.functional.conv1d(flat, kernel, groups=channels)
        return smoothed.reshape(-1, channels, steps)


def smoothing_matrix(windows: np.ndarray) -> np.ndarray:
    """The linear map of a Kalman smoother with the noises of these windows.

    Args:
        windows: Of one channel, mean about zero, (window, time).

    Returns:
        (time, time): smoothed = matrix @ observed.

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
    transition, look = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0]])
    first = KalmanFilter(transition, np.diag([1e-3, 1e-3]) * variance, look, 0.1 * variance)
    each = first.em(windows, n_iter=ITERATIONS)  # noises of each window
    noises = (each.process_noise.mean(axis=0), look, each.observation_noise.mean(axis=0))
    smoothed: np.ndarray = (
        KalmanFilter(transition, *noises)
        .smooth(
            np.eye(windows.shape[1]),
            initial_value=np.zeros(2),
            initial_covariance=np.eye(2) * 10 * variance,
            covariances=False,
        )
        .observations.mean
    )
    return smoothed.T


class KalmanBlock(ClosedFormBlock):
    """A Kalman smoother on every channel of every series; an image stays as it is.

    The classical remedy for noisy kinematics: it knows how fast a signal may change, and nothing of
    the other channels. The score is what was smoothed away.
    """

    def new_corrector(
        self, autoencoder: Autoencoder, modalities: Mapping[str, Modality]
    ) -> nn.Module:
        """Room for the map of each series."""
        series = {n: len(m.channels) for n, m in modalities.items() if m.size is None}
        return PerModality({n: Smoother(c, autoencoder.steps[n]) for n, c in series.items()})

    def restore(self, autoencoder: Autoencoder, observed: Signals) -> tuple[Signals, Signals]:
        """Smooth each series."""
        restored: Signals = self.corrector(observed)
        return autoencoder.encode(restored), restored

    @torch.no_grad()
    def fit_start(self, autoencoder: Autoencoder, standardized: Signals) -> None:
        """Take noises and normal residuals from clean windows."""
        smoothers: nn.ModuleDict = self.corrector.parts  # type: ignore[assignment]
        for name, smoother in smoothers.items():
            count = len(standardized[name])
            some = torch.linspace(0, count - 1, min(WINDOWS, count)).long()
            smoother.fit(standardized[name][some])  # type: ignore[operator]
        super().fit_start(autoencoder, standardized)
