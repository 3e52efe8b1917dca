"""Measure the clock of a stream: rate, jitter, gaps, and its place among the others."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lipfault.importers.clock import Order, Tally, Times

# Intervals kept for quantiles; beyond, every second one is kept, then every fourth, and so on.
_INTERVALS = 1 << 16

# Stamps kept of the start of an episode, for the phase.
_HEAD = 64

# A stream is regular if 95 % of its intervals differ from the median by less than this share of it.
_REGULAR = 0.25

# An interval beyond this many periods is a gap: at least one sample is missing.
GAP_PERIODS = 1.5

# A stated rate counts if the measured one differs by less than this share.
_STATED = 0.005


@dataclass(frozen=True)
class Span:
    """Stamps of one episode.

    Args:
        first_s: First stamp in seconds.
        last_s: Last stamp in seconds.
        count: Number of samples with increasing stamps.
        head: The first stamps.
    """

    first_s: float
    last_s: float
    count: int
    head: Times


@dataclass
class StreamClock:
    """Accumulates the stamps of one field over the episodes, in bounded memory for each episode.

    Args:
        name: Name of the field.
        stated_hz: Rate that the source states, or None.
        offset_s: Seconds added to the stamps.
    """

    name: str
    stated_hz: float | None = None
    offset_s: float = 0.0
    spans: dict[str, Span] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)
    longest_s: float = 0.0
    _kept: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    _every: int = 1
    _seen: int = 0
    _intervals: int = 0
    _periods: float = 0.0
    _seconds: float = 0.0
    _reference_s: float | None = None
    _gaps: int = 0

    def read(self, episode: str, chunks: Iterable[Times]) -> None:
        """Add the stamps of an episode.

        Args:
            episode: Id of the episode.
            chunks: Its stamps in the order of the source.
        """
        order = Order(self.tallies.setdefault(episode, Tally()))
        head: list[Times] = []
        first, last, count = math.nan, math.nan, 0
        for chunk in chunks:
            times = chunk[order.keep(chunk)] + self.offset_s
            if not len(times):
                continue
            if count < _HEAD:
                head.append(times[: _HEAD - count].copy())
            self._add(np.diff(times if math.isnan(last) else np.concatenate(([last], times))))
            first = float(times[0]) if math.isnan(first) else first
            last, count = float(times[-1]), count + len(times)
        if count:
            self.spans[episode] = Span(first, last, count, np.concatenate(head))

    def _add(self, intervals: Times) -> None:
        if not len(intervals):
            return
        if self._reference_s is None:
            self._reference_s = float(np.median(intervals))
        periods = np.rint(intervals / self._reference_s)
        self._periods += float(np.maximum(periods, 1).sum())
        self._gaps += int((intervals > GAP_PERIODS * self._reference_s).sum())
        self._seconds += float(intervals.sum())
        self._intervals += len(intervals)
        self.longest_s = max(self.longest_s, float(intervals.max()))
        start = -self._seen % self._every
        self._seen += len(intervals)
        self._kept = np.concatenate((self._kept, intervals[start :: self._every]))
        while len(self._kept) > _INTERVALS:
            self._kept, self._every = self._kept[::2], 2 * self._every

    @property
    def regular(self) -> bool:
        """Return whether the samples are those of a steady clock, up to gaps."""
        if not len(self._kept):
            return True
        median = float(np.median(self._kept))
        away = np.abs(self._kept - median * np.maximum(np.rint(self._kept / median), 1))
        return float(np.quantile(away, 0.95)) < _REGULAR * median

    @property
    def measured_hz(self) -> float | None:
        """Return the samples per second outside gaps, None for less than two samples.

        For a stream with irregular intervals gaps cannot be told apart from jitter, and the rate
        is the number of samples per second.
        """
        if not self._seconds:
            return None
        return (self._periods if self.regular else self._intervals) / self._seconds

    @property
    def rate_hz(self) -> float | None:
        """Return the stated rate where the measured one agrees, else the measured one."""
        measured, stated = self.measured_hz, self.stated_hz
        if measured is None or (stated and abs(measured / stated - 1) < _STATED):
            return stated
        return float(f'{measured:.6g}')

    @property
    def gaps(self) -> int:
        """Return the number of intervals in which a sample is missing; 0 if irregular."""
        return self._gaps if self.regular else 0

    def jitter_s(self, share: float) -> float:
        """Return a quantile of the distance of an interval from the median interval.

        Args:
            share: Which quantile, in [0, 1].

        Returns:
            Seconds; 0 for less than two samples.
        """
        if not len(self._kept):
            return 0.0
        return float(np.quantile(np.abs(self._kept - np.median(self._kept)), share))

    @property
    def tally(self) -> Tally:
        """Return the counts over all episodes."""
        all_of = list(self.tallies.values())
        return Tally(
            kept=sum(each.kept for each in all_of),
            repeated=sum(each.repeated for each in all_of),
            decreasing=sum(each.decreasing for each in all_of),
            invalid=sum(each.invalid for each in all_of),
            crowded=sum(each.crowded for each in all_of),
            back_s=max((each.back_s for each in all_of), default=0.0),
        )
