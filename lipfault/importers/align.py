"""Bring the parts of a modality to its grid in one episode."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lipfault.errors import LipfaultError
from lipfault.importers.clock import Aligned, Grid, Tally, in_order, nearest, phase
from lipfault.importers.describe import Description
from lipfault.importers.resample import Resampling
from lipfault.importers.scan import PartScan, channels_of
from lipfault.importers.source import Samples, Source
from lipfault.importers.statistics import without
from lipfault.importers.timing import GAP_PERIODS, Span

# Rates that differ by less than this share count as equal.
_SAME_RATE = 0.005

# Part of a sample by which stamps of float32 may miss the end of an episode.
_SLACK = 0.05

# Bytes of the values of a block.
_BLOCK_BYTES = 1 << 23


@dataclass(frozen=True)
class Stream:
    """A part of a modality with the way in which it comes to the grid.

    Args:
        scan: Findings of the first pass.
        rate_hz: Rate of the grid.
        resampling: How it is resampled; None if each instant takes the sample nearest to it.
    """

    scan: PartScan
    rate_hz: float
    resampling: Resampling | None

    def grid(self, span: Span, origin_s: float) -> Grid:
        """Return the grid of an episode up to its last sample.

        Args:
            span: Stamps of the part in the episode.
            origin_s: Common start of all modalities.

        Returns:
            The grid; samples that are taken as they are may lie half a period behind or before the
            common start.
        """
        shift = 0.0
        if self.resampling is None:
            shift = phase(span.head, origin_s, self.rate_hz)
        places = (span.last_s - origin_s) * self.rate_hz - shift
        return Grid(origin_s + shift / self.rate_hz, self.rate_hz, math.floor(places + _SLACK) + 1)

    def blocks(
        self, source: Source, episode: str, grid: Grid, size: int, tally: Tally
    ) -> Iterator[Aligned]:
        """Read the part on a grid.

        Args:
            source: The source.
            episode: Id of the episode.
            grid: The instants.
            size: Instants of a block.
            tally: Counts of dropped samples; added to.

        Yields:
            Blocks of `size` instants, the last one shorter; NaN in a series where nothing is
            present.
        """
        part, clock = self.scan.part, self.scan.clock
        chunks = in_order(source.read(episode, part.field.name), tally, clock.offset_s)
        missing = () if self.scan.statistics is None else self.scan.statistics.missing
        if part.field.kind == 'image':
            shape = (*(part.field.size or ()), len(part.channels))
            dtype = np.dtype(part.field.dtype)
            yield from nearest(chunks, grid, size, lambda n: np.zeros((n, *shape), dtype), tally)
            return
        chosen = (
            Samples(chunk.times_s, without(channels_of(chunk, part), missing)) for chunk in chunks
        )
        if self.resampling is not None:
            yield from self.resampling.blocks(chosen, grid, size)
            return
        count = len(part.channels)
        yield from nearest(chosen, grid, size, lambda n: np.full((n, count), np.nan), tally)


def streams(description: Description, parts: Sequence[PartScan]) -> list[Stream]:
    """Decide how the parts of a modality come to its rate.

    A series with steady stamps at the rate of the modality is taken as it is: each instant gets the
    sample nearest to it. One of another rate, or with irregular stamps, is resampled.

    Args:
        description: The modality.
        parts: Findings on its parts.

    Returns:
        The streams.

    Raises:
        LipfaultError: If frames would have to be invented, or no rate can be measured.
    """
    rate, name = description.modality.rate_hz, description.modality.name
    found = []
    for scan in parts:
        own = scan.clock.rate_hz or rate
        same = abs(own / rate - 1) < _SAME_RATE
        if scan.part.field.kind == 'image':
            if rate > own * (1 + _SAME_RATE):
                raise LipfaultError(
                    f'{name}: the film has {own:g} frames a second, the mapping asks for {rate:g}: '
                    f'frames are never invented; state a rate of at most {own:g}'
                )
            found.append(Stream(scan, rate, None))
        elif same and scan.clock.regular:
            found.append(Stream(scan, rate, None))
        else:
            found.append(Stream(scan, rate, Resampling(own, _gap_s(scan, own))))
    return found


def _gap_s(scan: PartScan, rate_hz: float) -> float:
    """Return the longest interval to interpolate: of irregular stamps four mean periods."""
    return (GAP_PERIODS if scan.clock.regular else 4.0) / rate_hz


@dataclass(frozen=True)
class Placement:
    """Grids of an episode.

    Args:
        origin_s: Common start in seconds of the source's clock.
        counts: Number of samples of each modality.
        grids: Grid of each part of each modality.
        cut_s: Seconds of the longest modality outside the common span.
        duration_s: Common span in seconds.
    """

    origin_s: float
    counts: Mapping[str, int]
    grids: Mapping[str, Sequence[Grid]]
    cut_s: float
    duration_s: float


def place(plans: Mapping[str, Sequence[Stream]], episode: str) -> Placement:
    """Find the span that all modalities cover, and their grids in it.

    Args:
        plans: Streams of each modality.
        episode: Id of the episode, which all streams cover.

    Returns:
        The grids, all starting together up to half a period.

    Raises:
        LipfaultError: If the modalities have no second in common.
    """
    spans = {
        name: [stream.scan.clock.spans[episode] for stream in parts]
        for name, parts in plans.items()
    }
    everything = [span for parts in spans.values() for span in parts]
    origin = max(span.first_s for span in everything)
    grids = {
        name: [stream.grid(span, origin) for stream, span in zip(parts, spans[name], strict=True)]
        for name, parts in plans.items()
    }
    flat = [grid for parts in grids.values() for grid in parts]
    duration = min(grid.count / grid.rate_hz for grid in flat)
    if duration <= 0:
        ends = {name: (parts[0].first_s, parts[0].last_s) for name, parts in spans.items()}
        listed = ', '.join(f'{name} {a:.3f} to {b:.3f} s' for name, (a, b) in ends.items())
        raise LipfaultError(
            f'episode {episode!r}: the modalities have no second in common: {listed}; an `offset` '
            'in the mapping moves a clock'
        )
    rates = {name: parts[0].rate_hz for name, parts in grids.items()}
    counts = {
        name: max(1, min(math.floor(duration * rate + _SLACK), *(g.count for g in grids[name])))
        for name, rate in rates.items()
    }
    whole = max(span.last_s for span in everything) - min(span.first_s for span in everything)
    slowest = 1 / min(rates.values())
    cut = max(0.0, whole + slowest - duration)
    final = {
        name: [Grid(grid.origin_s, grid.rate_hz, counts[name]) for grid in parts]
        for name, parts in grids.items()
    }
    return Placement(origin, counts, final, cut, duration)


def block_size(description: Description) -> int:
    """Return how many samples a block of a modality holds: some 8 MiB, at most 4096.

    Args:
        description: The modality.
    """
    modality = description.modality
    values = math.prod(modality.size or ()) * len(modality.channels)
    return max(1, min(4096, _BLOCK_BYTES // max(1, values)))
