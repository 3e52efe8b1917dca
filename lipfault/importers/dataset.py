"""Import a data set: open, map, scan, check against the limits, and write."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipfault import __version__
from lipfault.data.writer import Compression
from lipfault.domains import NonNegative, Share, validated
from lipfault.errors import LipfaultError
from lipfault.importers.align import Placement
from lipfault.importers.convert import BrokenEpisode, Conversion
from lipfault.importers.describe import describe
from lipfault.importers.description import Description
from lipfault.importers.entry import Entry
from lipfault.importers.merged import MergedSource
from lipfault.importers.propose import completed, propose
from lipfault.importers.readers.registry import open_source
from lipfault.importers.report import stream_report
from lipfault.importers.scan import Scan, scan
from lipfault.importers.selection import select
from lipfault.importers.source import Source

Progress = Callable[[str, int], Callable[[], None]]
"""Called with the name and the number of steps of a pass; returns what is called at each step."""


@validated
@dataclass(frozen=True)
class Limits:
    """Limits beyond which an episode is refused instead of repaired.

    Args:
        dropped: Largest share of samples with a repeated, decreasing or invalid stamp.
        back_s: Largest step back of a clock in seconds.
        cut: Largest share of an episode outside the span that all modalities cover.
        missing: Largest share of missing samples of a modality, by the gaps of its stamps.
    """

    dropped: Share = 0.05
    back_s: NonNegative = 1.0
    cut: Share = 0.2
    missing: Share = 0.5


@dataclass
class Prepared:
    """A data set after the first pass.

    Args:
        source: The open source.
        mapping: Its mapping.
        scan: Findings of the first pass.
        descriptions: The modalities.
        conversion: The second pass.
        placements: Grids of each episode that can be written.
        notes: What the source says about itself, and what has been repaired.
    """

    source: Source
    mapping: Mapping[str, Entry]
    scan: Scan
    descriptions: dict[str, Description]
    conversion: Conversion
    placements: dict[str, Placement]
    notes: list[str]

    @property
    def proposal(self) -> list[Entry]:
        """Return the mapping with what the first pass has found."""
        return completed(self.mapping, self.descriptions)


@contextmanager
def opened(
    paths: Sequence[str | Path], reader: str | None = None, options: Mapping[str, Any] | None = None
) -> Iterator[Source]:
    """Open one source, or several on a common clock.

    Args:
        paths: Files or folders.
        reader: Name of a reader or class path of one of your own; recognized if not given.
        options: Options of the reader.

    Yields:
        The source; closed afterwards.

    Raises:
        LipfaultError: If a path cannot be opened or no episode is common.
    """
    sources: list[Source] = []
    try:
        for path in paths:
            sources.append(open_source(path, reader, **(options or {})))
            if not sources[-1].episodes or not sources[-1].fields:
                raise LipfaultError(f'{path}: holds no episode with a field that can be imported')
        yield sources[0] if len(sources) == 1 else MergedSource(sources)
    finally:
        for source in sources:
            source.close()


def prepare(
    source: Source,
    mapping: Mapping[str, Entry] | None = None,
    *,
    episodes: Sequence[str] = (),
    limits: Limits = Limits(),
    keep_stamps: bool = True,
    progress: Progress = lambda name, count: lambda: None,
) -> Prepared:
    """Read the stamps of a source and what its values show.

    Args:
        source: The source.
        mapping: Entries by modality; each field becomes a modality if not given.
        episodes: Ids of the episodes to read; all if empty.
        limits: What is refused.
        keep_stamps: Whether original stamps are kept.
        progress: Reports the steps.

    Returns:
        The data set, ready to be written. Episodes that cannot be written are in `scan.broken`.

    Raises:
        LipfaultError: If the mapping does not fit, or no episode can be read.
    """
    proposed = mapping is None
    mapping = propose(source.fields) if mapping is None else mapping
    selections = select(mapping, source.fields)
    wanted = _chosen(source, episodes)
    found = scan(source, selections, wanted, progress('Reading', len(wanted)))
    good = [each for each in wanted if each not in found.broken]
    if not good:
        raise LipfaultError(f'no episode can be imported; the first: {found.broken[wanted[0]]}')
    parts = {each.entry.name: found.parts[each.entry.name] for each in selections}
    descriptions = {each.entry.name: describe(each, parts[each.entry.name]) for each in selections}
    if proposed:
        mapping = {entry.name: entry for entry in completed(mapping, descriptions)}
        for each in select(mapping, source.fields):
            for part in parts[each.entry.name]:
                if part.statistics is not None:
                    part.statistics.missing = each.entry.missing
            descriptions[each.entry.name] = describe(each, parts[each.entry.name])
    conversion = Conversion(source, found, descriptions, keep_stamps)
    placements = conversion.placements(good)
    _refuse(conversion, placements, limits)
    notes = list(getattr(source, 'notes', ()))
    return Prepared(source, mapping, found, descriptions, conversion, placements, notes)


def _chosen(source: Source, episodes: Sequence[str]) -> list[str]:
    """Return the episodes to read; reject unknown ones."""
    for episode in episodes:
        if episode not in source.episodes:
            known = list(source.episodes)
            listed = ', '.join(known[:8]) + (f', ... ({len(known)})' if len(known) > 8 else '')
            raise LipfaultError(
                f'{source.path}: there is no episode {episode!r}; there are {listed}'
            )
    return list(episodes or source.episodes)


def _refuse(conversion: Conversion, placements: dict[str, Placement], limits: Limits) -> None:
    """Move episodes beyond the limits to the broken ones."""
    for episode in list(placements):
        reason = _beyond(conversion, placements[episode], episode, limits)
        if reason is not None:
            conversion.scan.broken[episode] = (
                f'{conversion.source.path}, episode {episode!r}: {reason}'
            )
            del placements[episode]


def _beyond(
    conversion: Conversion, placement: Placement, episode: str, limits: Limits
) -> str | None:
    """Return what is beyond a limit in an episode, None if nothing is."""
    for name, parts in conversion.plans.items():
        for stream in parts:
            tally = stream.scan.clock.tallies[episode]
            span = stream.scan.clock.spans[episode]
            if tally.back_s > limits.back_s:
                return (
                    f'{name}: the clock steps back by {tally.back_s:.6g} s, more than '
                    f'{limits.back_s:g} s: a clock that was set, or local time at the end of '
                    'daylight saving; split the episode there, or give stamps in UTC'
                )
            share = tally.dropped / max(1, tally.dropped + tally.kept)
            if share > limits.dropped:
                return (
                    f'{name}: {share:.1%} of the stamps are repeated, decreasing or invalid, more '
                    f'than {limits.dropped:.0%}'
                )
            expected = (span.last_s - span.first_s) * (stream.scan.clock.rate_hz or 0.0) + 1
            if 1 - span.count / expected > limits.missing:
                return (
                    f'{name}: {1 - span.count / expected:.0%} of the samples are missing, more '
                    f'than {limits.missing:.0%}'
                )
    share = placement.cut_s / (placement.cut_s + placement.duration_s)
    if share > limits.cut:
        spans = ', '.join(
            f'{name} {parts[0].scan.clock.spans[episode].first_s - placement.origin_s:.3f} to '
            f'{parts[0].scan.clock.spans[episode].last_s - placement.origin_s:.3f} s'
            for name, parts in conversion.plans.items()
        )
        return (
            f'the modalities have only {placement.duration_s:.3f} s in common, {share:.0%} would '
            f'be cut off, more than {limits.cut:.0%}: {spans}'
        )
    return None


def write(
    prepared: Prepared,
    path: str | Path,
    *,
    skip_broken: bool = False,
    compression: Compression = 'lzf',
    overwrite: bool = False,
    progress: Progress = lambda name, count: lambda: None,
) -> int:
    """Write a prepared data set as a recording, completely or not at all.

    Args:
        prepared: The data set.
        path: The file.
        skip_broken: Whether episodes that cannot be read are left out.
        compression: Filter of the arrays.
        overwrite: Whether an existing file may be replaced.
        progress: Reports the steps.

    Returns:
        Number of episodes.

    Raises:
        LipfaultError: If an episode cannot be read and is not to be left out, or the file cannot
            be written.
    """
    broken, good = prepared.scan.broken, prepared.placements
    if not good:
        raise LipfaultError(f'no episode can be imported; the first: {next(iter(broken.values()))}')
    if broken and not skip_broken:
        first = next(iter(broken.values()))
        raise LipfaultError(
            f'{len(broken)} of {len(broken) + len(good)} episodes cannot be imported; the first: '
            f'{first}. Leave them out with --skip_broken=true'
        )
    step = progress('Writing', len(good))
    while True:
        try:
            return prepared.conversion.write(
                path, good, _attributes(prepared), compression=compression, overwrite=overwrite,
                written=step,
            )  # fmt: skip
        except BrokenEpisode as error:
            # Damage inside a film shows only when it is decoded; nothing has been kept so far.
            if not skip_broken or len(good) == 1:
                raise
            broken[error.episode] = str(error)
            del good[error.episode]


def _attributes(prepared: Prepared) -> dict[str, str]:
    """Return the attributes of the file."""
    clocks = {
        name: [stream_report(prepared, stream) for stream in plan]
        for name, plan in prepared.conversion.plans.items()
    }
    return {
        'source': prepared.source.path.name,
        'generator': f'lipfault {__version__}',
        'clocks': json.dumps(clocks),
    }
