"""Arrays of a recording, with a checksum for each chunk that is verified on reading."""

import math
import zlib
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lipfault.errors import LipfaultError

CHECKSUM = 'crc32'
"""Attribute of an array: CRC-32 of the samples of each chunk."""

# Bytes that one stored byte can give: the limit of deflate. A file that claims more is damaged.
_EXPANSION = 1032

# Bytes that any file may claim: reading them takes a fraction of a second.
_SLACK = 1 << 26


def chunk_checksums(samples: npt.NDArray[Any], steps: int) -> npt.NDArray[np.uint32]:
    """Compute the CRC-32 of each chunk of an array.

    HDF5's own Fletcher-32 belongs to the stored bytes: two chunks that changed places pass it, and
    so does a chunk of zeros, whose checksum is zero.

    Args:
        samples: (length, ...) samples, little-endian.
        steps: Samples in a chunk.

    Returns:
        (chunk,) uint32, over the decoded samples; the last chunk may be shorter.

    Reference:
        Deutsch, "GZIP file format specification version 4.3", 1996, section 8,
        https://doi.org/10.17487/RFC1952 (CRC-32).

    Example:
        >>> chunk_checksums(np.zeros(3, np.uint8), 2)
        array([1104745215, 3523407757], dtype=uint32)
    """
    data = np.ascontiguousarray(samples)
    starts = range(0, len(data), steps)
    return np.array([zlib.crc32(data[start : start + steps].data) for start in starts], dtype='<u4')


class ChunkChecksums:
    """Computes `chunk_checksums` of samples that come in parts.

    Args:
        steps: Samples in a chunk.
    """

    def __init__(self, steps: int) -> None:
        """Start with no sample."""
        self._steps, self._filled, self._checksum = steps, 0, 0
        self._found: list[int] = []

    def add(self, samples: npt.NDArray[Any]) -> None:
        """Add the next samples.

        Args:
            samples: (steps, ...) samples, little-endian.
        """
        data, start = np.ascontiguousarray(samples), 0
        while start < len(data):
            stop = min(len(data), start + self._steps - self._filled)
            self._checksum = zlib.crc32(data[start:stop].data, self._checksum)
            self._filled += stop - start
            start = stop
            if self._filled == self._steps:
                self._end_chunk()

    def done(self) -> npt.NDArray[np.uint32]:
        """Return the checksums (chunk,) uint32; the last chunk may be shorter."""
        if self._filled:
            self._end_chunk()
        return np.array(self._found, dtype='<u4')

    def _end_chunk(self) -> None:
        self._found.append(self._checksum)
        self._filled, self._checksum = 0, 0


class StoredArray:
    """Array of a file that raises an error where its samples differ from their checksums.

    Args:
        dataset: The array, which stays open; without the attribute `crc32` nothing is verified
            besides what HDF5 verifies.
        verified: For each chunk 1 where its checksum was verified, empty at first; changed in
            place. A chunk is verified at its first read.

    Raises:
        ValueError: If chunks are missing or the checksums do not fit the array.
    """

    def __init__(self, dataset: h5py.Dataset, verified: bytearray) -> None:
        """Read the checksums."""
        self._verified = verified
        self._dataset, self._length = dataset, len(dataset)
        self._steps = int((dataset.chunks or dataset.shape)[0])
        self._checksums: list[int] | None = None
        if CHECKSUM in dataset.attrs:
            self._checksums = self._read_checksums()
            verified.extend(bytes(len(self._checksums) - len(verified)))
        else:
            _require_chunks(dataset)

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Read consecutive samples.

        Args:
            start: First sample.
            stop: One past the last sample.

        Returns:
            (stop - start, ...) samples.

        Raises:
            ValueError: If they differ from their checksums.
        """
        if self._checksums is None:
            return np.asarray(self._dataset[start:stop])
        first, last = start // self._steps, -(-stop // self._steps)
        if all(self._verified[first:last]):
            return np.asarray(self._dataset[start:stop])
        # HDF5 decodes whole chunks in any case.
        offset = first * self._steps
        block = self._dataset[offset : min(last * self._steps, self._length)]
        for chunk, part in enumerate(range(0, len(block), self._steps), first):
            if zlib.crc32(block[part : part + self._steps]) != self._checksums[chunk]:
                begin, end = offset + part, offset + min(part + self._steps, len(block))
                raise ValueError(
                    f'samples {begin} to {end - 1} differ from their checksum; a program that '
                    f'changes samples must remove the attribute {CHECKSUM!r} of the array'
                )
            self._verified[chunk] = 1
        return np.asarray(block[start - offset : stop - offset])

    def _read_checksums(self) -> list[int]:
        """Return the checksum of each chunk; reject a wrong number or type."""
        found = np.asarray(self._dataset.attrs[CHECKSUM])
        wanted = (math.ceil(self._length / self._steps),)
        if found.shape != wanted or found.dtype.kind != 'u':
            raise ValueError(
                f'attribute {CHECKSUM!r} must be {wanted} uint32, got {found.shape} {found.dtype}'
            )
        return list(found.tolist())


def _require_chunks(dataset: h5py.Dataset) -> None:
    """Reject an array of which a part is not stored: HDF5 reads zeros there."""
    if dataset.chunks is None:
        missing = int(dataset.id.get_storage_size() < dataset.size * dataset.dtype.itemsize)
    else:
        sides = zip(dataset.shape, dataset.chunks, strict=True)
        missing = math.prod(-(-n // c) for n, c in sides) - dataset.id.get_num_chunks()
    if missing:
        raise ValueError(f'{missing} chunks of samples are not stored; write all of them')


def require_own_storage(dataset: h5py.Dataset, where: str) -> None:
    """Reject an array whose samples lie in other files or arrays.

    Args:
        dataset: The array.
        where: File, episode and array, for messages.

    Raises:
        LipfaultError: If the array is virtual, in external files, or has no shape.
    """
    if dataset.is_virtual or dataset.external:
        raise LipfaultError(f'{where} refers to other files; copy its samples into the file')
    if dataset.shape is None:
        raise LipfaultError(f'{where} is empty: its data space is null')


def claimed_bytes(dataset: h5py.Dataset) -> int:
    """Return the memory that the samples of an array take, of at least one chunk.

    Args:
        dataset: The array.

    Returns:
        Bytes.
    """
    return int(max(dataset.size, math.prod(dataset.chunks or ())) * dataset.dtype.itemsize)


def require_plausible_size(claimed: int, stored: int, where: object) -> None:
    """Reject a file that claims more samples than its size can hold.

    Args:
        claimed: Bytes of all arrays in memory.
        stored: Bytes of the file.
        where: Path of the file, for messages.

    Raises:
        LipfaultError: If compression cannot give so much.
    """
    if claimed > max(_SLACK, _EXPANSION * stored):
        raise LipfaultError(
            f'{where}: claims {claimed / 1e9:.3g} GB of samples in a file of {stored / 1e6:.3g} '
            f'MB, more than compression can give ({_EXPANSION}:1); the file is damaged'
        )
