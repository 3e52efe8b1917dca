"""Second pass over a source: write the recording."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lipfault.data.episode import Episode
from lipfault.data.streaming import Block, SignalStream
from lipfault.data.writer import Compression, write_recording
from lipfault.errors import LipfaultError
from lipfault.importers.align import Placement, Stream, block_size, place, streams
from lipfault.importers.clock import Aligned, Tally
from lipfault.importers.describe import Description
from lipfault.importers.prefetch import prefetched
from lipfault.importers.scan import Scan
from lipfault.importers.source import DescribedSource, Source

# Stamps are kept if one lies further than this share of a period from the grid.
_ON_GRID = 1e-3


@dataclass
class Counts:
    """What has become of the samples of a modality.

    Args:
        samples: Samples of the recording.
        missing: Of these, missing ones.
        repeated: Frames or readings equal to the one before in all their values.
        tally: Samples of the source that were dropped.
    """

    samples: int = 0
    missing: int = 0
    repeated: int = 0
    tally: Tally = field(default_factory=Tally)


@dataclass
class Conversion:
    """A source, described and ready to be written.

    Args:
        source: The source.
        scan: Findings of the first pass.
        descriptions: The modalities.
        keep_stamps: Whether original stamps are kept; those of a stream whose stamps lie on the
            grid say nothing new and are left out.
        counts: What has become of the samples, by modality; filled while writing.
    """

    source: Source
    scan: Scan
    descriptions: Mapping[str, Description]
    keep_stamps: bool = True
    counts: dict[str, Counts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Decide how each modality comes to its rate."""
        self.plans: dict[str, list[Stream]] = {
            name: streams(description, self.scan.parts[name])
            for name, description in self.descriptions.items()
        }
        self.counts = {name: Counts() for name in self.descriptions}

    def write(
        self,
        path: str | Path,
        placements: Mapping[str, Placement],
        attributes: Mapping[str, str | int | float],
        *,
        compression: Compression = 'lzf',
        overwrite: bool = False,
        written: Callable[[], None] = lambda: None,
    ) -> int:
        """Write a recording, completely or not at all.

        Args:
            path: The file.
            placements: Grids of each episode to write.
            attributes: Free attributes of the file.
            compression: Filter of the arrays.
            overwrite: Whether an existing file may be replaced.
            written: Called before each episode but the first, and after the last.

        Returns:
            Number of episodes.

        Raises:
            LipfaultError: If the source is damaged or the disk refuses a write.
        """
        modalities = [each.modality for each in self.descriptions.values()]
        estimated = {name: each.estimated for name, each in self.descriptions.items()}
        return write_recording(
            path,
            modalities,
            self._episodes(placements, written),
            {**attributes, 'estimated': json.dumps(estimated)},
            compression=compression,
            overwrite=overwrite,
        )

    def placements(self, episodes: Sequence[str]) -> dict[str, Placement]:
        """Find the grids of each episode.

        Args:
            episodes: Ids of the episodes, none of them broken.

        Returns:
            The grids by episode; an episode without a common span is added to `scan.broken`.
        """
        found = {}
        for episode in episodes:
            try:
                found[episode] = place(self.plans, episode)
            except LipfaultError as error:
                self.scan.broken[episode] = f'{self.source.path}, {error}'
        return found

    def _episodes(
        self, placements: Mapping[str, Placement], written: Callable[[], None]
    ) -> Iterator[Episode]:
        for episode, placement in placements.items():
            parameters = {'start_s': placement.origin_s, **self._parameters(episode)}
            signals = {
                name: SignalStream(placement.counts[name], self._blocks(episode, name, placement))
                for name in self.descriptions
            }
            yield Episode(episode, signals, parameters)
            written()

    def _parameters(self, episode: str) -> dict[str, float | str]:
        source = self.source
        return source.parameters(episode) if isinstance(source, DescribedSource) else {}

    def _blocks(self, episode: str, name: str, placement: Placement) -> Iterator[Block]:
        """Yield the samples of a modality in an episode as they are written."""
        description, plan = self.descriptions[name], self.plans[name]
        counts, size = self.counts[name], block_size(self.descriptions[name])
        parts = [
            stream.blocks(self.source, episode, grid, size, counts.tally)
            for stream, grid in zip(plan, placement.grids[name], strict=True)
        ]
        blocks: Iterator[tuple[Aligned, ...]] = zip(*parts, strict=True)
        is_image = description.modality.kind == 'image'
        if is_image:
            # Decoding takes turns with writing otherwise.
            blocks = prefetched(blocks)
        convert = _image if is_image else _series
        last: npt.NDArray[Any] | None = None
        for aligned in blocks:
            samples, present = convert(description, plan, aligned)
            counts.samples += len(samples)
            counts.missing += int((~present).sum())
            counts.repeated += _repeated(samples, present, last)
            last = samples[-1]
            yield Block(samples, present, self._stamps(name, aligned))

    def _stamps(self, name: str, aligned: Sequence[Aligned]) -> npt.NDArray[np.float64] | None:
        """Return the stamps of the first part if they are to be kept."""
        if not self.keep_stamps or all(on_grid(stream) for stream in self.plans[name]):
            return None
        return aligned[0].stamp_s


def on_grid(stream: Stream) -> bool:
    """Return whether the stamps of a stream lie on its grid in all episodes.

    Args:
        stream: The stream.
    """
    clock = stream.scan.clock
    if stream.resampling is not None or clock.gaps or clock.tally.dropped:
        return False
    rate = stream.rate_hz
    return clock.jitter_s(1.0) * rate < _ON_GRID and all(
        abs((span.last_s - span.first_s) * rate - (span.count - 1)) < _ON_GRID
        for span in clock.spans.values()
    )


def _series(
    description: Description, plan: Sequence[Stream], aligned: Sequence[Aligned]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Join the parts of a series; interpolated values are put on the grid of the sensor."""
    values = np.concatenate([each.values for each in aligned], axis=1)
    present = np.logical_and.reduce([each.present for each in aligned])
    present &= np.isfinite(values).all(axis=1)
    if any(stream.resampling is not None for stream in plan):
        steps = np.asarray(description.modality.steps)
        values = np.rint(values / steps) * steps
    values = values.astype(np.float32)
    values[~present] = np.nan
    return values, present


def _image(
    description: Description, plan: Sequence[Stream], aligned: Sequence[Aligned]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Return frames of 8 bits."""
    (frames,) = aligned
    values = frames.values
    if values.dtype != np.uint8:
        scaled = values.astype(np.float32) * (255.0 / description.white)
        values = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return values, frames.present


def _repeated(
    samples: npt.NDArray[Any], present: npt.NDArray[np.bool_], last: npt.NDArray[Any] | None
) -> int:
    """Count samples that equal the one before in all their values."""
    count = 0
    for number in range(len(samples)):
        before = samples[number - 1] if number else last
        if before is not None and present[number]:
            count += int(np.array_equal(samples[number], before))
    return count
