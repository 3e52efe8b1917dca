"""First pass over a source: the clock of each stream, and what its values show."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lipfault.errors import LipfaultError
from lipfault.importers.clock import Tally, in_order
from lipfault.importers.selection import Part, Selection
from lipfault.importers.source import Samples, Source, StampedSource
from lipfault.importers.statistics import SeriesStatistics
from lipfault.importers.timing import StreamClock

# Episodes and consecutive frames of each from which the noise of images is estimated.
_EPISODES, _FRAMES = 4, 16


@dataclass
class PartScan:
    """What the first pass has found on the channels of one field.

    Args:
        part: The channels.
        clock: Its stamps.
        statistics: Its values, None for an image.
        frames: Some consecutive frames, empty for a series.
    """

    part: Part
    clock: StreamClock
    statistics: SeriesStatistics | None = None
    frames: list[npt.NDArray[Any]] = field(default_factory=list)


@dataclass
class Scan:
    """What the first pass has found.

    Args:
        parts: For each modality its parts.
        broken: Reason for each episode that cannot be read.
    """

    parts: dict[str, list[PartScan]]
    broken: dict[str, str] = field(default_factory=dict)


def scan(
    source: Source,
    selections: Sequence[Selection],
    episodes: Sequence[str],
    seen: Callable[[], None] = lambda: None,
) -> Scan:
    """Read stamps of all episodes, all values of series and a few frames.

    Args:
        source: The source.
        selections: The modalities.
        episodes: The episodes to read.
        seen: Called after each episode.

    Returns:
        The findings. An episode that cannot be read or lacks a field is in `broken`.
    """
    found = Scan(
        {each.entry.name: [_start(each, part) for part in each.parts] for each in selections}
    )
    for episode in episodes:
        try:
            for selection in selections:
                for part_scan in found.parts[selection.entry.name]:
                    _read(source, episode, part_scan)
        except LipfaultError as error:
            found.broken[episode] = str(error)
        seen()
    return found


def _start(selection: Selection, part: Part) -> PartScan:
    entry = selection.entry
    clock = StreamClock(part.field.name, part.field.rate_hz, entry.offset)
    if selection.kind == 'image':
        return PartScan(part, clock)
    return PartScan(part, clock, SeriesStatistics(len(part.channels), entry.missing))


def _read(source: Source, episode: str, scan: PartScan) -> None:
    """Read one field of one episode."""
    name = scan.part.field.name
    if scan.statistics is None:
        scan.clock.read(episode, stamps(source, episode, name))
        if len(scan.frames) < _EPISODES:
            chunk = next(iter(source.read(episode, name)), None)
            if chunk is not None:
                scan.frames.append(chunk.values[:_FRAMES].copy())
    else:
        scan.clock.read(episode, _values(source, episode, scan))
        scan.statistics.end_episode()
    if episode not in scan.clock.spans:
        raise LipfaultError(f'{source.path}, episode {episode!r}: lacks samples of {name!r}')


def _values(source: Source, episode: str, scan: PartScan) -> Iterator[npt.NDArray[np.float64]]:
    """Add the values to the statistics and yield the stamps."""
    kept = source.read(episode, scan.part.field.name)
    for chunk in kept:
        yield chunk.times_s
        ordered = list(in_order([chunk], Tally()))
        if ordered and scan.statistics is not None:
            scan.statistics.add(channels_of(ordered[0], scan.part))


def channels_of(samples: Samples, part: Part) -> npt.NDArray[Any]:
    """Return the values of the channels of a part.

    Args:
        samples: Samples with all channels of the field.
        part: The channels.

    Returns:
        (samples, channels of the part).
    """
    if part.whole:
        return samples.values
    values: npt.NDArray[Any] = samples.values[:, list(part.channels)]
    return values


def stamps(source: Source, episode: str, name: str) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the stamps of a field, without decoding where the source can.

    Args:
        source: The source.
        episode: Id of the episode.
        name: Name of the field.
    """
    if isinstance(source, StampedSource):
        yield from source.stamps(episode, name)
    else:
        for chunk in source.read(episode, name):
            yield chunk.times_s
