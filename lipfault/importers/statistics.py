"""Accumulate what the values of a stream show, in bounded memory."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

# Consecutive samples of a block, and blocks kept; beyond, every second block is kept, and so on.
_BLOCK, _BLOCKS = 512, 64

SENTINELS = (-9999.0, -999.0, -99.0, -1.0, 999.0, 9999.0, 32767.0, -32768.0, 65535.0, 2147483647.0)
"""Values that programs write for a missing reading."""

# A sentinel lies further from the other values than this many times their range.
_AWAY = 3.0


@dataclass
class SeriesStatistics:
    """Statistics of the channels of one series.

    Args:
        channels: Number of channels.
        missing: Values that mark a missing reading; they become NaN.
    """

    channels: int
    missing: tuple[float, ...] = ()
    samples: int = 0
    blocks: list[Values] = field(default_factory=list)
    _every: int = 1
    _seen: int = 0

    def __post_init__(self) -> None:
        """Start with no value."""
        shape = (self.channels,)
        self.low, self.high = np.full(shape, np.inf), np.full(shape, -np.inf)
        self.empty = np.zeros(shape, dtype=np.int64)
        self.infinite = np.zeros(shape, dtype=np.int64)
        self.whole = np.ones(shape, dtype=np.bool_)
        self.sentinels = np.zeros((len(SENTINELS), self.channels), dtype=np.int64)
        self.repeated = 0
        self._last: Values | None = None
        self._hashes = [hashlib.blake2b(digest_size=16) for _ in range(self.channels)]

    def add(self, values: Values) -> None:
        """Add consecutive samples of one episode.

        Args:
            values: (samples, channels) float64.
        """
        values = without(values, self.missing)
        finite = np.isfinite(values)
        self.samples += len(values)
        self.empty += np.isnan(values).sum(axis=0)
        self.infinite += np.isinf(values).sum(axis=0)
        self.whole &= ((values == np.rint(values)) | ~finite).all(axis=0)
        is_sentinel = np.zeros(values.shape, dtype=np.bool_)
        for number, sentinel in enumerate(SENTINELS):
            found = values == sentinel
            self.sentinels[number] += found.sum(axis=0)
            is_sentinel |= found
        good = finite & ~is_sentinel
        if len(values):
            self.low = np.minimum(self.low, np.where(good, values, np.inf).min(axis=0))
            self.high = np.maximum(self.high, np.where(good, values, -np.inf).max(axis=0))
        for channel, digest in enumerate(self._hashes):
            digest.update(np.ascontiguousarray(values[:, channel]).tobytes())
        self._count_repeated(values)
        self._keep(values)

    def end_episode(self) -> None:
        """Say that the next samples do not follow the last ones."""
        self._last = None

    def _count_repeated(self, values: Values) -> None:
        """Count samples all values of which are those of the sample before."""
        joined = values if self._last is None else np.concatenate((self._last, values))
        self.repeated += int((joined[1:] == joined[:-1]).all(axis=1).sum())
        self._last = values[-1:].copy()

    def _keep(self, values: Values) -> None:
        for start in range(0, len(values), _BLOCK):
            if self._seen % self._every == 0:
                self.blocks.append(values[start : start + _BLOCK].copy())
            self._seen += 1
            if len(self.blocks) > _BLOCKS:
                self.blocks, self._every = self.blocks[::2], 2 * self._every

    def found_sentinels(self) -> dict[float, int]:
        """Return values that mark missing readings by all appearances, with their numbers.

        A value of `SENTINELS` counts if it lies further from all other values of the channel than
        three times their range.
        """
        found: dict[float, int] = {}
        for number, sentinel in enumerate(SENTINELS):
            width = self.high - self.low
            away = np.maximum(self.low - sentinel, sentinel - self.high)
            odd = (self.sentinels[number] > 0) & (away > _AWAY * width) & (width > 0)
            if odd.any():
                found[sentinel] = int(self.sentinels[number][odd].sum())
        return found

    def limits(self) -> tuple[Values, Values]:
        """Return lowest and highest finite value of each channel that marks no missing reading."""
        low, high, odd = self.low.copy(), self.high.copy(), self.found_sentinels()
        for number, sentinel in enumerate(SENTINELS):
            if sentinel not in odd:
                # An ordinary value that happens to be one of the list.
                here = self.sentinels[number] > 0
                low[here] = np.minimum(low[here], sentinel)
                high[here] = np.maximum(high[here], sentinel)
        return low, high

    def duplicates(self) -> list[tuple[int, int]]:
        """Return pairs of equal channels; constant channels are left out."""
        first: dict[bytes, int] = {}
        pairs = []
        low, high = self.limits()
        for channel, digest in enumerate(self._hashes):
            if low[channel] < high[channel]:
                other = first.setdefault(digest.digest(), channel)
                if other != channel:
                    pairs.append((other, channel))
        return pairs


def without(values: npt.NDArray[Any], missing: tuple[float, ...]) -> Values:
    """Return values with NaN in place of those that mark a missing reading.

    Args:
        values: Values of any shape.
        missing: The values that do.

    Returns:
        float64 of the same shape; the same array if there is nothing to replace.
    """
    values = np.asarray(values, dtype=np.float64)
    if missing and (odd := np.isin(values, missing)).any():
        return np.where(odd, np.nan, values)
    return values
