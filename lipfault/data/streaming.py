"""Signals that are written block by block, for episodes that are not held in memory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lipfault.data.layout import PRESENT_SUFFIX, STAMP_SUFFIX, STAMPED_VERSION
from lipfault.data.stored_array import CHECKSUM, ChunkChecksums
from lipfault.data.validation import (
    dtype_of,
    require_finite,
    require_layout,
    require_range,
    sample_shape,
)
from lipfault.errors import LipfaultError
from lipfault.modality import Modality

# Entries of a mask or of stamps in a chunk.
_CHUNK_ENTRIES = 4096


@dataclass(frozen=True)
class Block:
    """Consecutive samples of a streamed signal.

    Args:
        samples: (steps, ...) uint8 frames or float32 values, as of `Episode.signals`.
        present: (steps,) bool, false where a sample is missing; None if none is.
        stamp_s: (steps,) float64, original time stamp of each sample in seconds of the source's
            clock, NaN where a sample is missing; None if the recording keeps none.
    """

    samples: npt.NDArray[Any]
    present: npt.NDArray[np.bool_] | None = None
    stamp_s: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True)
class SignalStream:
    """A signal of known length that is read once, in order.

    Its values are stored as given: the writer does not round them.

    Args:
        length: Number of samples.
        blocks: The samples in blocks of bounded size.
    """

    length: int
    blocks: Iterable[Block]

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.length


def write_stream(
    group: h5py.Group,
    modality: Modality,
    stream: SignalStream,
    options: Mapping[str, Any],
    where: str,
) -> None:
    """Check and write a streamed signal, its presence mask and its stamps.

    Args:
        group: Group of the episode.
        modality: Description of the signal.
        stream: The signal.
        options: Options of `h5py.Group.create_dataset`, such as chunks and compression.
        where: File, episode and modality, for messages.

    Raises:
        LipfaultError: If a sample violates the format or the length is another than stated.
    """
    shape = (stream.length, *sample_shape(modality))
    data = group.create_dataset(
        modality.name, shape, dtype_of(modality), fletcher32=True, **options
    )
    checksums = ChunkChecksums(data.chunks[0])
    done = 0
    for block in stream.blocks:
        stop = done + len(block.samples)
        if stop > stream.length:
            break
        _check(modality, block, where, done)
        data[done:stop] = block.samples
        checksums.add(block.samples)
        _write_entries(group, modality.name, block, done, stream.length)
        done = stop
    else:
        stop = done
    if stop != stream.length:
        raise LipfaultError(f'{where}: a stream of {stream.length} samples gave {stop}')
    data.attrs[CHECKSUM] = checksums.done()


def _check(modality: Modality, block: Block, where: str, start: int) -> None:
    """Reject samples that do not fit the modality."""
    require_layout(modality, block.samples.shape, block.samples.dtype, where)
    if modality.kind == 'series':
        require_finite(modality, block.samples, block.present, where, start)
        require_range(modality, block.samples, block.present, where, start)


def _write_entries(group: h5py.Group, name: str, block: Block, start: int, length: int) -> None:
    """Write mask and stamps of a block; the arrays are made when they are first needed."""
    chunks, stop = (min(length, _CHUNK_ENTRIES),), start + len(block.samples)
    mask = name + PRESENT_SUFFIX
    if block.present is not None and not block.present.all():
        if mask not in group:
            _fill(
                group.create_dataset(
                    mask, (length,), np.bool_, chunks=chunks, fillvalue=True, fletcher32=True
                )
            )
        group[mask][start:stop] = block.present
    if block.stamp_s is not None:
        stamps = name + STAMP_SUFFIX
        if stamps not in group:
            _fill(
                group.create_dataset(
                    stamps, (length,), np.float64, chunks=chunks, fillvalue=np.nan,
                    compression='lzf', shuffle=True, fletcher32=True,
                )
            )  # fmt: skip
            group.file.attrs['format_version'] = STAMPED_VERSION
        group[stamps][start:stop] = block.stamp_s


def _fill(entries: h5py.Dataset) -> None:
    """Store the fill value in all chunks: a reader refuses an array with a chunk not stored."""
    for start in range(0, len(entries), _CHUNK_ENTRIES):
        entries[start : start + _CHUNK_ENTRIES] = entries.fillvalue
