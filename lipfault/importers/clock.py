"""Rules for time stamps: order, common grid, and the slot of each sample."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lipfault.importers.source import Samples

Times = npt.NDArray[np.float64]
Make = Callable[[int], npt.NDArray[Any]]


@dataclass
class Tally:
    """Samples that a rule has dropped.

    Args:
        kept: Samples kept.
        repeated: Samples with the stamp of the one before; the first is kept.
        decreasing: Samples with a stamp before one already read.
        invalid: Samples whose stamp is NaN or Inf.
        crowded: Samples nearest to a point of the grid that another sample is nearer to.
        back_s: Largest step back in seconds.
    """

    kept: int = 0
    repeated: int = 0
    decreasing: int = 0
    invalid: int = 0
    crowded: int = 0
    back_s: float = 0.0

    @property
    def dropped(self) -> int:
        """Return the number of samples whose stamps are wrong."""
        return self.repeated + self.decreasing + self.invalid


@dataclass
class Order:
    """Keeps the samples whose stamps increase.

    Rule: a sample is dropped if its stamp is not finite, equal to the highest stamp before it
    (repeated), or below it (decreasing). Samples are never sorted, since a stamp that runs back
    says that the clock is wrong, not the order.

    Args:
        tally: Counts of what has been dropped.
    """

    tally: Tally = field(default_factory=Tally)
    _highest: float = -math.inf

    def keep(self, times: Times) -> npt.NDArray[np.bool_]:
        """Return which samples of the next chunk to keep.

        Args:
            times: Stamps (samples,) in the order of the source.

        Returns:
            (samples,) bool.
        """
        finite = np.isfinite(times)
        safe = np.where(finite, times, -np.inf)
        before = np.maximum.accumulate(np.concatenate(([self._highest], safe)))[:-1]
        keep = finite & (times > before)
        repeated = finite & (times == before)
        decreasing = finite & (times < before)
        self.tally.kept += int(keep.sum())
        self.tally.invalid += int((~finite).sum())
        self.tally.repeated += int(repeated.sum())
        self.tally.decreasing += int(decreasing.sum())
        if decreasing.any():
            self.tally.back_s = max(self.tally.back_s, float((before - times)[decreasing].max()))
        if len(times):
            self._highest = max(self._highest, float(safe.max()))
        return keep


def in_order(chunks: Iterable[Samples], tally: Tally, offset_s: float = 0.0) -> Iterator[Samples]:
    """Drop samples whose stamps do not increase, by the rule of `Order`.

    Args:
        chunks: Samples of a source.
        tally: Counts of what has been dropped; added to.
        offset_s: Seconds added to the stamps.

    Yields:
        Chunks with increasing stamps; no empty ones.
    """
    order = Order(tally)
    for chunk in chunks:
        keep = order.keep(chunk.times_s)
        times, values = chunk.times_s, chunk.values
        if not keep.all():
            times, values = times[keep], values[keep]
        if len(times):
            yield Samples(times + offset_s, values)


@dataclass(frozen=True)
class Grid:
    """Regular instants of one modality in an episode.

    Args:
        origin_s: Stamp of the first instant in seconds of the source's clock.
        rate_hz: Instants per second.
        count: Number of instants.
    """

    origin_s: float
    rate_hz: float
    count: int

    def position(self, times: Times) -> Times:
        """Return the place of each stamp on the grid, 0 at the first instant.

        Args:
            times: Stamps in seconds.

        Returns:
            (samples,) float64, in samples.
        """
        return (times - self.origin_s) * self.rate_hz

    def times(self, start: int, stop: int) -> Times:
        """Return instants of the grid.

        Args:
            start: Number of the first.
            stop: One past the last.

        Returns:
            (stop - start,) float64 in seconds of the source's clock.
        """
        return self.origin_s + np.arange(start, stop) / self.rate_hz


@dataclass(frozen=True)
class Aligned:
    """Samples of consecutive instants of a grid.

    Args:
        values: (instants, ...) of the dtype of the source; undefined where nothing is present.
        present: (instants,) bool.
        stamp_s: Original stamp of each, NaN where nothing is present.
    """

    values: npt.NDArray[Any]
    present: npt.NDArray[np.bool_]
    stamp_s: Times


def phase(stamps: Times, origin_s: float, rate_hz: float) -> float:
    """Return how far the samples of a stream lie behind the grid points next to them.

    Args:
        stamps: First stamps of the stream.
        origin_s: Start of the grid.
        rate_hz: Rate of the grid.

    Returns:
        Circular mean of the distances in samples, in (-0.5, 0.5].
    """
    angles = 2 * np.pi * (stamps - origin_s) * rate_hz
    return math.atan2(float(np.sin(angles).mean()), float(np.cos(angles).mean())) / (2 * np.pi)


def nearest(
    chunks: Iterable[Samples], grid: Grid, size: int, make: Make, tally: Tally
) -> Iterator[Aligned]:
    """Give each instant of a grid the sample nearest to it, if one is within half a period.

    No value is changed and none is used twice; an instant without a sample is missing.

    Args:
        chunks: Samples with increasing stamps.
        grid: The instants.
        size: Instants of a block.
        make: Makes an array for the values of a number of instants.
        tally: Counts; `crowded` is added to.

    Yields:
        Blocks of `size` instants, the last one shorter.
    """
    block = _Block.empty(grid, 0, size, make)
    for chunk in chunks:
        slots, ready = _nearest_of_each(chunk, grid, tally)
        while len(slots):
            inside = int(np.searchsorted(slots, block.stop))
            block.put(slots[:inside], ready, tally)
            slots, ready = slots[inside:], Samples(ready.times_s[inside:], ready.values[inside:])
            if len(slots):
                yield block.done()
                block = _Block.empty(grid, block.stop, size, make)
    while block.count:
        yield block.done()
        block = _Block.empty(grid, block.stop, size, make)


@dataclass
class _Block:
    """A block of instants that is being filled."""

    grid: Grid
    start: int
    count: int
    values: npt.NDArray[Any]
    present: npt.NDArray[np.bool_]
    stamp_s: Times

    @classmethod
    def empty(cls, grid: Grid, start: int, size: int, make: Make) -> Self:
        count = min(size, grid.count - start)
        nothing, unknown = np.zeros(count, dtype=np.bool_), np.full(count, np.nan)
        return cls(grid, start, count, make(count), nothing, unknown)

    @property
    def stop(self) -> int:
        return self.start + self.count

    def put(self, slots: npt.NDArray[np.int64], samples: Samples, tally: Tally) -> None:
        """Place the samples of the next instants."""
        count = len(slots)
        if not count:
            return
        places = slots - self.start
        first = int(places[0])
        skip = 0
        if self.present[first]:
            # The chunk before ended with a sample of the same instant.
            tally.crowded += 1
            both = np.array([self.stamp_s[first], samples.times_s[0]])
            old, new = np.abs(self.grid.position(both) - slots[0])
            skip = int(old <= new)
        places = places[skip:]
        if not len(places):
            return
        # Those of consecutive instants are copied at once.
        ends = int(places[0]), int(places[-1]) + 1
        where = slice(*ends) if ends[1] - ends[0] == len(places) else places
        self.values[where] = samples.values[skip:count]
        self.present[where] = True
        self.stamp_s[where] = samples.times_s[skip:count]

    def done(self) -> Aligned:
        return Aligned(self.values, self.present, self.stamp_s)


def _nearest_of_each(
    samples: Samples, grid: Grid, tally: Tally
) -> tuple[npt.NDArray[np.int64], Samples]:
    """Return the instants that have a sample, and the nearest sample of each."""
    position = grid.position(samples.times_s)
    slots = np.rint(position).astype(np.int64)
    inside = (slots >= 0) & (slots < grid.count)
    if len(slots) and inside.all() and (np.diff(slots) > 0).all():
        return slots, samples
    distance = np.abs(position - slots)
    order = np.lexsort((distance, slots))
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = np.diff(slots[order]) > 0
    keep = np.sort(order[first])
    tally.crowded += int(inside.sum()) - int(inside[keep].sum())
    keep = keep[inside[keep]]
    return slots[keep], Samples(samples.times_s[keep], samples.values[keep])
