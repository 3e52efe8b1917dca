"""Statistics of the channels of a modality over a whole recording."""

from typing import Any

import numpy as np
import numpy.typing as npt

from lipfault.modality import Modality

# Every so many frames of an image enter the standard deviation: its pixels are many.
_FRAME_STEP = 16

# Least ratio of stated noise to standard deviation that is reported. Noise is a part of the signal,
# so that the ratio is at most 1; an estimate of the noise may be off by a factor.
_NOISY = 2.0


class ChannelStatistics:
    """Range and standard deviation of each channel, accumulated over parts of a recording.

    Args:
        modality: The modality.
    """

    def __init__(self, modality: Modality) -> None:
        """Start with no sample."""
        count = len(modality.channels)
        self._modality, self._count = modality, 0
        self._low, self._high = np.full(count, np.inf), np.full(count, -np.inf)
        self._shift: npt.NDArray[np.float64] | None = None
        self._sum, self._squares = np.zeros(count), np.zeros(count)

    def add(self, samples: npt.NDArray[Any]) -> None:
        """Add samples.

        Args:
            samples: (steps, channel) float32, finite, or (frames, height, width, channel) uint8.
        """
        if not len(samples):
            return
        axes = tuple(range(samples.ndim - 1))
        unit = 255.0 if self._modality.kind == 'image' else 1.0
        self._low = np.minimum(self._low, samples.min(axes) / unit)
        self._high = np.maximum(self._high, samples.max(axes) / unit)
        chosen = samples[::_FRAME_STEP] if self._modality.kind == 'image' else samples
        values = chosen.reshape(-1, samples.shape[-1]).astype(np.float64) / unit
        # Squares of large values with a small spread would cancel.
        self._shift = values[0] if self._shift is None else self._shift
        values -= self._shift
        self._count += len(values)
        self._sum += values.sum(0)
        self._squares += np.square(values).sum(0)

    def remarks(self) -> list[str]:
        """Describe the channels whose samples do not fit their description.

        Returns:
            One sentence for each: a channel is constant, or the stated noise exceeds the standard
            deviation of the signal.
        """
        if not self._count:
            return []
        variance = self._squares / self._count - np.square(self._sum / self._count)
        deviations = np.sqrt(np.maximum(variance, 0.0))
        modality = self._modality
        columns = zip(
            modality.channels, self._low, self._high, modality.noise, deviations, strict=True
        )
        found = []
        for channel, low, high, noise, deviation in columns:
            place = f'modality {modality.name!r}, channel {channel!r}'
            if low == high:
                found.append(f'{place}: all samples are {low:g}; a constant channel shows no fault')
            elif noise > _NOISY * deviation:
                found.append(
                    f'{place}: the noise {noise:g} is {noise / deviation:.1f} times the standard '
                    f'deviation {deviation:.3g} of the signal, which includes it'
                )
        return found
