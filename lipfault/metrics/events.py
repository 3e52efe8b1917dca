"""Alarm events of a continuous stream: false alarms per hour, detected faults, delays."""

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.metrics.delay import delay_summary, detection_delays

GAP_S = 1.0
"""Alarms closer than this many seconds are one event: an operator is called once."""


@dataclass(frozen=True)
class Stream:
    """Scores of the windows of one episode, and its true events.

    Args:
        score: (window,) anomaly scores.
        end_s: (window,) end of each window in seconds, ascending.
        spans_s: (event, 2) start and end of each fault in seconds; none for a clean episode.
    """

    score: Tensor
    end_s: Tensor
    spans_s: Tensor

    @classmethod
    def clean(cls, score: Tensor, end_s: Tensor) -> 'Stream':
        """Make the stream of an episode without faults.

        Args:
            score: (window,) anomaly scores.
            end_s: (window,) end of each window in seconds, ascending.

        Returns:
            The stream.
        """
        return cls(score, end_s, torch.zeros(0, 2))

    @property
    def hours(self) -> float:
        """Return the time that the windows stand for: each the median distance of two windows."""
        if len(self.end_s) < 2:
            return 0.0
        return len(self.end_s) * float(self.end_s.double().diff().median()) / 3600


def alarm_events(alarm: Tensor, end_s: Tensor, gap_s: float = GAP_S) -> Tensor:
    """Merge alarms into events.

    Args:
        alarm: (window,) bool, of the windows of one episode.
        end_s: (window,) end of each window in seconds, ascending.
        gap_s: Two successive alarms less than this time apart belong to one event.

    Returns:
        (event, 2) float64, time of the first and of the last alarm of each event.

    Reference:
        Tatbul et al. 2018, Precision and recall for time series,
        https://arxiv.org/abs/1803.03639 (ranges instead of points)

    Example:
        >>> end_s, alarm = torch.arange(6.0), torch.tensor([1, 1, 0, 1, 0, 0]).bool()
        >>> alarm_events(alarm, end_s, 1.5).tolist()
        [[0.0, 1.0], [3.0, 3.0]]
    """
    times = end_s.double()[alarm]
    breaks = times.diff() >= gap_s
    start = torch.cat([torch.ones(min(1, len(times)), dtype=torch.bool), breaks])
    stop = torch.cat([breaks, torch.ones(min(1, len(times)), dtype=torch.bool)])
    return torch.stack([times[start], times[stop]], dim=1)


def false_events(events_s: Tensor, spans_s: Tensor, window_s: float) -> Tensor:
    """Select the alarm events during which no window holds a sample of a fault.

    Args:
        events_s: (event, 2) times of first and last alarm, from `alarm_events`.
        spans_s: (fault, 2) start and end of each fault in seconds.
        window_s: Length of a window in seconds.

    Returns:
        (false event, 2) float64, those of the events.
    """
    spans_s = spans_s.double()
    begins_before = events_s[:, :1] - window_s <= spans_s[:, 1]
    ends_after = events_s[:, 1:] >= spans_s[:, 0]
    return events_s[~(begins_before & ends_after).any(dim=1)]


def false_alarms_per_hour(
    streams: Sequence[Stream], threshold: float, window_s: float, gap_s: float = GAP_S
) -> float:
    """Return the number of false alarm events per hour.

    Args:
        streams: Scores of some episodes.
        threshold: A score above it is an alarm.
        window_s: Length of a window in seconds.
        gap_s: Two successive alarms less than this time apart belong to one event.

    Returns:
        Events over the time of the streams; NaN without time.
    """
    count = sum(
        len(false_events(alarm_events(s.score > threshold, s.end_s, gap_s), s.spans_s, window_s))
        for s in streams
    )
    hours = sum(s.hours for s in streams)
    return count / hours if hours else math.nan


def event_threshold(streams: Sequence[Stream], per_hour: float, gap_s: float = GAP_S) -> float:
    """Return the smallest threshold from which on there are few enough alarm events.

    The number of events is no monotone function of the threshold, since a lower one can merge
    events: the threshold is the smallest one above which every threshold keeps the rate.

    Args:
        streams: Scores of clean episodes.
        per_hour: Largest number of alarm events per hour.
        gap_s: Two successive alarms less than this time apart belong to one event.

    Returns:
        The threshold, one of the scores.

    Raises:
        LipfaultError: If there are no scores, one is not finite, or the rate is negative.

    Example:
        >>> stream = Stream.clean(torch.tensor([0.0, 5.0, 4.0, 0.0, 3.0]), 1800 * torch.arange(5.0))
        >>> event_threshold([stream], 0.4)
        4.0
    """
    if not per_hour >= 0:
        raise LipfaultError(f'alarm events per hour must not be negative, got {per_hour}')
    ranked: list[tuple[float, int, float]] = sorted(
        (
            (score, number, time)
            for number, s in enumerate(streams)
            for score, time in zip(s.score.tolist(), s.end_s.tolist(), strict=True)
        ),
        reverse=True,
    )
    if not ranked or not all(math.isfinite(score) for score, _, _ in ranked):
        raise LipfaultError('a threshold needs finite scores of at least one clean window')
    most, active, count = per_hour * sum(s.hours for s in streams), _Active(len(streams), gap_s), 0
    for place, (score, number, time) in enumerate(ranked):
        count += active.add(number, time)
        last_of_tie = place + 1 == len(ranked) or ranked[place + 1][0] < score
        # These alarms are on below this score, not at it.
        if last_of_tie and count > most:
            return score
    return ranked[-1][0]


class _Active:
    """Times of the alarms of each stream, with the change of the number of events by another.

    Args:
        streams: Number of streams.
        gap_s: Two successive alarms less than this time apart belong to one event.
    """

    def __init__(self, streams: int, gap_s: float) -> None:
        """Start without alarms."""
        self._times: list[list[float]] = [[] for _ in range(streams)]
        self._gap_s = gap_s

    def add(self, stream: int, time: float) -> int:
        """Switch on an alarm and return by how much the number of events grows: -1, 0 or 1."""
        times = self._times[stream]
        place = bisect_left(times, time)
        before = times[place - 1] if place else -math.inf
        after = times[place] if place < len(times) else math.inf
        insort(times, time)
        joined = (time - before < self._gap_s) + (after - time < self._gap_s)
        return 1 - joined + (after - before < self._gap_s)


def event_summary(
    streams: Sequence[Stream], threshold: float, window_s: float, gap_s: float = GAP_S
) -> dict[str, float]:
    """Summarize alarm events against faults at a threshold.

    Args:
        streams: Scores of some episodes.
        threshold: A score above it is an alarm, such as `event_threshold` of clean episodes.
        window_s: Length of a window in seconds.
        gap_s: Two successive alarms less than this time apart belong to one event.

    Returns:
        `false_alarms_per_hour`, and `detected` (event recall) and delays of `delay_summary`.
    """
    delays = [detection_delays(s.score > threshold, s.end_s, s.spans_s, window_s) for s in streams]
    rate = false_alarms_per_hour(streams, threshold, window_s, gap_s)
    return {'false_alarms_per_hour': rate} | delay_summary(torch.cat(delays))


def streams_of(score: Tensor, end_s: Tensor, episode: Tensor) -> list[Stream]:
    """Sort the windows of clean episodes into streams.

    Args:
        score: (window,) anomaly scores.
        end_s: (window,) end of each window in seconds from the start of its episode.
        episode: (window,) int, episode of each window.

    Returns:
        One stream for each episode, in order of time.
    """
    streams = []
    for number in sorted(set(episode.tolist())):
        rows = (episode == number).nonzero()[:, 0]
        rows = rows[end_s[rows].argsort()]
        streams.append(Stream.clean(score[rows], end_s[rows]))
    return streams
