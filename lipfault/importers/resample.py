"""Resample a series to another rate, in bounded memory.

Values between two samples are interpolated linearly. To a lower rate, the interpolated signal is
first filtered by a finite impulse response, so that nothing above half the new rate is folded into
it. Nothing is interpolated across a gap.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipfault.errors import LipfaultError
from lipfault.importers.clock import Aligned, Grid, Times
from lipfault.importers.source import Samples

Values = npt.NDArray[np.float64]

# Length of the filter on each side in periods of the new rate, and its cut-off as a share of half
# the new rate.
_PERIODS, _CUTOFF = 8, 0.9


@dataclass(frozen=True)
class Resampling:
    """How a series is brought to a grid.

    Args:
        rate_hz: Rate of the samples.
        gap_s: Longest interval that is interpolated; a longer one is a gap.
    """

    rate_hz: float
    gap_s: float

    def blocks(self, chunks: Iterable[Samples], grid: Grid, size: int) -> Iterator[Aligned]:
        """Resample to a grid.

        Args:
            chunks: Samples (samples, channels) with increasing stamps; NaN marks missing values.
            grid: The instants.
            size: Instants of a block.

        Yields:
            Blocks of `size` instants, the last one shorter. The stamps are those of the instants.
        """
        factor = max(1, math.ceil(self.rate_hz / grid.rate_hz * (1 - 1e-6)))
        if factor == 1:
            source = _interpolated(chunks, grid, self.gap_s)
            for start, stop, values in _cut(source, grid.count, size):
                yield _aligned(values, grid.times(start, stop))
            return
        taps = _filter(factor)
        half = len(taps) // 2
        fine = Grid(
            origin_s=grid.origin_s - half / (factor * grid.rate_hz),
            rate_hz=factor * grid.rate_hz,
            count=(grid.count - 1) * factor + len(taps),
        )
        source = _decimated(_interpolated(chunks, fine, self.gap_s), taps, factor)
        for start, stop, values in _cut(source, grid.count, size):
            yield _aligned(values, grid.times(start, stop))


def _aligned(values: Values, times: Times) -> Aligned:
    present = np.asarray(np.isfinite(values).all(axis=1))
    return Aligned(values, present, np.where(present, times, np.nan))


def _interpolated(chunks: Iterable[Samples], grid: Grid, gap_s: float) -> Iterator[Values]:
    """Interpolate linearly at the instants of a grid; NaN in gaps and outside the samples."""
    done, channels = 0, 0
    before: Samples | None = None
    for chunk in chunks:
        times, values = chunk.times_s, np.asarray(chunk.values, dtype=np.float64)
        channels = values.shape[1]
        if before is not None:
            times = np.concatenate((before.times_s, times))
            values = np.concatenate((before.values, values))
        # All instants up to the last sample are known.
        stop = min(grid.count, math.floor(float(grid.position(times[-1:])[0]) + 1e-6) + 1)
        if stop > done:
            yield _between(times, values, grid.times(done, stop), gap_s)
            done = stop
        before = Samples(times[-1:], values[-1:])
    while done < grid.count and channels:
        stop = min(grid.count, done + 4096)
        yield np.full((stop - done, channels), np.nan)
        done = stop


def _between(times: Times, values: Values, wanted: Times, gap_s: float) -> Values:
    """Interpolate between neighbours that are close enough."""
    # A stamp of float32 may lie a microsecond from the instant that it means.
    slack = 1e-3 * gap_s
    right = np.clip(np.searchsorted(times, wanted), 1 if len(times) > 1 else 0, len(times) - 1)
    left = np.maximum(right - 1, 0)
    width = times[right] - times[left]
    share = np.where(width > 0, (wanted - times[left]) / np.where(width > 0, width, 1), 0.0)
    inside = (wanted >= times[0] - slack) & (wanted <= times[-1] + slack)
    share = np.clip(share, 0.0, 1.0)[:, None]
    # A neighbour of weight 0 does not count, even if its value is missing.
    low, high = values[left], values[right]
    mixed = np.where(share == 0, low, np.where(share == 1, high, (1 - share) * low + share * high))
    on_sample = (share[:, 0] == 0) | (share[:, 0] == 1)
    mixed[~inside | ((width > gap_s) & ~on_sample)] = np.nan
    result: Values = mixed
    return result


def _filter(factor: int) -> Values:
    """Return the filter for a lower rate: a windowed sinc of linear phase."""
    try:
        from scipy.signal import firwin
    except ModuleNotFoundError as error:
        raise LipfaultError(
            'a lower rate needs the package scipy: pip install "lipfault[importers]"'
        ) from error
    taps: Values = firwin(2 * _PERIODS * factor + 1, _CUTOFF / factor, window=('kaiser', 6.0))
    return taps


def _decimated(chunks: Iterable[Values], taps: Values, factor: int) -> Iterator[Values]:
    """Filter and keep every `factor`-th instant.

    The filter is normalized by the weights of what is present; an instant is missing if anything
    within one period of it is.
    """
    rest: Values | None = None
    length = len(taps)
    for chunk in chunks:
        joined = chunk if rest is None else np.concatenate((rest, chunk))
        count = (len(joined) - length) // factor + 1
        if count > 0:
            yield _filtered(joined[: (count - 1) * factor + length], taps, factor)
            joined = joined[count * factor :]
        rest = joined


def _filtered(values: Values, taps: Values, factor: int) -> Values:
    """Return the filtered values at the centres that the taps fit around."""
    from scipy.signal import upfirdn

    length = len(taps)
    present = np.asarray(np.isfinite(values).all(axis=1))
    weights = _valid(upfirdn(taps, present.astype(np.float64)), length, factor)
    filled = np.where(present[:, None], values, 0.0)
    sums = _valid(upfirdn(taps, filled, axis=0), length, factor)
    near = np.convolve(~present, np.ones(2 * factor + 1), 'same')[length // 2 :: factor]
    found: Values = sums / np.where(weights > 0.5, weights, np.nan)[:, None]
    found[near[: len(found)] > 0] = np.nan
    return found


def _valid(full: Values, length: int, factor: int) -> Values:
    """Return those outputs of a convolution that use whole inputs, at the lower rate."""
    kept: Values = full[length - 1 : len(full) - length + 1 : factor]
    return kept


def _cut(chunks: Iterable[Values], count: int, size: int) -> Iterator[tuple[int, int, Values]]:
    """Cut a stream of values into blocks of equal size."""
    done = 0
    waiting: list[Values] = []
    held = 0
    for chunk in chunks:
        waiting.append(chunk)
        held += len(chunk)
        while held >= min(size, count - done) > 0:
            joined, take = np.concatenate(waiting), min(size, count - done)
            yield done, done + take, joined[:take]
            waiting, held, done = [joined[take:]], len(joined) - take, done + take
