"""Sample indices of windows, computed from rates and lengths alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lipfault.errors import LipfaultError
from lipfault.modality import Modality

# Tolerance in samples: seconds and rates are decimal fractions, whose products in float64 fall
# short of an integer by up to about 1e-9.
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Span:
    """Numbers of samples that a window takes of one modality.

    Args:
        history: Samples before the window.
        window: Samples of the window; 1 for an image.
    """

    history: int
    window: int

    @property
    def total(self) -> int:
        """Number of samples of history and window."""
        return self.history + self.window


@dataclass(frozen=True)
class Geometry:
    """Windows on a common time grid: window `i` ends at history_s + window_s + i stride_s.

    A window holds the samples up to and including its end: of a series the last `window_s`
    seconds, of an image stream the last frame. The history holds the `history_s` seconds directly
    before the window. All modalities start at 0 s.

    Args:
        modalities: The modalities by name.
        window_s: Length of a window in seconds.
        stride_s: Distance between the ends of consecutive windows in seconds.
        history_s: Length of the history in seconds.

    Raises:
        LipfaultError: If a length is not positive (history: negative), or a window is shorter than
            one sample of a series.

    Example:
        >>> imu = Modality('imu', 'series', 100.0, ('a',), ('g',), (-2.0,), (2.0,), (0.01,))
        >>> Geometry({'imu': imu}, window_s=1.0, stride_s=0.1, history_s=0.5).span('imu')
        Span(history=50, window=100)
    """

    modalities: Mapping[str, Modality]
    window_s: float
    stride_s: float
    history_s: float

    def __post_init__(self) -> None:
        """Reject lengths that give empty or repeated windows."""
        for key in ('window_s', 'stride_s'):
            if not 0 < getattr(self, key) < math.inf:
                raise LipfaultError(f'{key} must be positive, got {getattr(self, key)}')
        if not 0 <= self.history_s < math.inf:
            raise LipfaultError(f'history_s must not be negative, got {self.history_s}')
        for name, modality in self.modalities.items():
            if self.span(name).window < 1:
                raise LipfaultError(
                    f'window_s={self.window_s} holds no sample of {name!r} at '
                    f'{modality.rate_hz:g} Hz'
                )

    def span(self, name: str) -> Span:
        """Return the numbers of history and window samples of one modality.

        Args:
            name: Name of the modality.

        Returns:
            The span; an image window is always one frame.
        """
        modality = self.modalities[name]
        history = math.floor(self.history_s * modality.rate_hz + _TOLERANCE)
        if modality.kind == 'image':
            return Span(history, 1)
        return Span(history, math.floor(self.window_s * modality.rate_hz + _TOLERANCE))

    def description(self) -> dict[str, Any]:
        """Describe modalities and windows in plain types, for tasks and checkpoints.

        Returns:
            `modalities` by name as of `Modality.to_dict`, and `steps`, the number of samples in a
            window of each series.
        """
        series = [name for name, modality in self.modalities.items() if modality.kind == 'series']
        fields = {name: modality.to_dict() for name, modality in self.modalities.items()}
        return {'modalities': fields, 'steps': {n: self.span(n).window for n in series}}

    def count(self, lengths: Mapping[str, int]) -> int:
        """Count the windows of an episode.

        Args:
            lengths: Number of samples of the episode by modality.

        Returns:
            Number of windows, 0 if the episode is shorter than one window with its history.
        """
        # Sample k is taken at k / rate, so the last one is at (length - 1) / rate.
        last = min(
            (lengths[name] - 1) / modality.rate_hz for name, modality in self.modalities.items()
        )
        room = last - self.window_s - self.history_s
        return max(0, math.floor(room / self.stride_s + _TOLERANCE) + 1)

    def end_s(self, window: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the end times of windows.

        Args:
            window: (n,) int64, indices of windows in their episode.

        Returns:
            (n,) float64, ends in seconds from the start of the episode.
        """
        return self.history_s + self.window_s + window.astype(np.float64) * self.stride_s

    def stop(self, name: str, window: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the sample index one past the end of windows.

        Args:
            name: Name of the modality.
            window: (n,) int64, indices of windows in their episode.

        Returns:
            (n,) int64, sample indices of the modality.
        """
        rate = self.modalities[name].rate_hz
        return np.floor(self.end_s(window) * rate + _TOLERANCE).astype(np.int64) + 1
