"""Which samples make up a window: pure arithmetic on rates and lengths."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipfault.errors import LipfaultError
from lipfault.modality import Modality

# Seconds and rates are decimal fractions; a sample this close to the end belongs to the window.
_CLOSE = 1e-6


@dataclass(frozen=True)
class Span:
    """Samples that a window takes of one modality.

    Args:
        history: Samples before the window.
        window: Samples of the window; 1 for an image.
    """

    history: int
    window: int

    @property
    def total(self) -> int:
        """Samples of history and window."""
        return self.history + self.window


@dataclass(frozen=True)
class Geometry:
    """Windows on a common grid of instants: window `i` ends at history_s + window_s + i stride_s.

    A window holds the samples up to and including its end: of a series the last `window_s`
    seconds, of an image stream the last frame; history is what comes directly before, `history_s`
    seconds of it. All modalities start at 0 s.

    Args:
        modalities: The modalities by name.
        window_s: Length of a window in seconds.
        stride_s: Distance between the ends of two windows in seconds.
        history_s: Length of the history in seconds.

    Raises:
        LipfaultError: If a length is not positive (history: negative), or a window holds not one
            sample of a series.

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
        """Refuse windows that hold nothing or do not move."""
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
        """Samples of history and window of one modality."""
        modality = self.modalities[name]
        history = math.floor(self.history_s * modality.rate_hz + _CLOSE)
        if modality.kind == 'image':
            return Span(history, 1)
        return Span(history, math.floor(self.window_s * modality.rate_hz + _CLOSE))

    def count(self, lengths: Mapping[str, int]) -> int:
        """Number of windows of an episode; 0 if it is shorter than one with its history.

        Args:
            lengths: The episode's number of samples by modality.
        """
        last = min(
            (lengths[name] - 1) / modality.rate_hz for name, modality in self.modalities.items()
        )
        room = last - self.window_s - self.history_s
        return max(0, math.floor(room / self.stride_s + _CLOSE) + 1)

    def end_s(self, window: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Instants in seconds at which the windows of the given numbers end."""
        return self.history_s + self.window_s + window.astype(np.float64) * self.stride_s

    def stop(self, name: str, window: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """One past the last sample of one modality in the windows of the given numbers."""
        rate = self.modalities[name].rate_hz
        return np.floor(self.end_s(window) * rate + _CLOSE).astype(np.int64) + 1
