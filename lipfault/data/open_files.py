"""Bounded pool of open files and arrays in one process."""

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import h5py

from lipfault.data.hdf5_access import open_file
from lipfault.data.stored_array import StoredArray

# Share of the descriptors of a process: workers, loggers and libraries need the rest.
_SHARE = 4

# Most files open whatever the limit of descriptors.
_MOST_FILES = 256

# Fewest chunks that HDF5 keeps of each array: a window with its history lies in about as many, so
# that windows in order decode a chunk once.
_CHUNKS = 4

# Slots of the hash table of a chunk cache, of 8 bytes, for each chunk, so that few collide; and the
# most slots of an array, since the table is made when the array is opened.
_SLOTS, _MOST_SLOTS = 4, 1 << 15

CACHE_BYTES = 1 << 28
"""Bytes of all chunk caches together, 256 MiB: shared by all arrays, so that few arrays are kept
decoded as a whole, and of many arrays a few chunks each."""

# Bytes of an open array besides its chunks, an estimate on the safe side.
_HANDLE_BYTES = 1 << 14


class OpenFiles:
    """Files and arrays that stay open for reading, those read last, in each process its own.

    The number of files is bounded by the limit of descriptors, the memory of chunk caches by a
    budget: each array gets an equal share, at least a few chunks.

    Args:
        most_files: Most files open at a time; by default a quarter of the descriptors that the
            process may have, at most 256.
        cache_bytes: Bytes of all chunk caches together.
    """

    def __init__(self, most_files: int | None = None, cache_bytes: int = CACHE_BYTES) -> None:
        """Start with no open file."""
        self._most_files, self._cache_bytes = most_files or _affordable(), cache_bytes
        self._announced = 0
        self._forget()

    def announce(self, count: int) -> None:
        """Share the chunk caches among more arrays.

        Args:
            count: Number of arrays that may be read.
        """
        self._announced += count

    def array(self, path: Path, name: str, chunk_bytes: int) -> StoredArray:
        """Return an array, opened if it is not open.

        Args:
            path: Path of the file.
            name: Path of the array in the file.
            chunk_bytes: Bytes of a chunk of the array; of larger ones HDF5 keeps none.

        Returns:
            The array, valid until the next call.

        Raises:
            LipfaultError: If the file does not exist.
            ValueError: If the array is not stored completely.
        """
        if self._pid != os.getpid():
            # A forked worker inherits the handles; closing them there would close the parent's.
            self._forget()
        key = (path, name)
        if key in self._arrays:
            self._arrays.move_to_end(key)
            self._files.move_to_end(path)
            return self._arrays[key][0]
        share = self._cache_bytes // max(1, self._announced) - _HANDLE_BYTES
        chunks = max(_CHUNKS, share // chunk_bytes) if chunk_bytes else 1
        cache_bytes = chunks * max(1, chunk_bytes)
        verified = self._verified.setdefault(key, bytearray())
        array = StoredArray(_open_array(self._file(path), name, chunks, cache_bytes), verified)
        size = _HANDLE_BYTES + cache_bytes
        self._arrays[key] = (array, size)
        self._bytes += size
        while self._bytes > self._cache_bytes and len(self._arrays) > 1:
            self._bytes -= self._arrays.popitem(last=False)[1][1]
        return array

    def close(self, path: Path) -> None:
        """Close a file and its arrays; the next read opens it again.

        Args:
            path: Path of the file.
        """
        if self._pid != os.getpid():
            self._forget()
        file = self._files.pop(path, None)
        if file is None:
            return
        for key in [key for key in self._arrays if key[0] == path]:
            self._bytes -= self._arrays.pop(key)[1]
        # The file may be another one when it is opened again.
        for key in [key for key in self._verified if key[0] == path]:
            del self._verified[key]
        file.close()

    def __getstate__(self) -> dict[str, Any]:
        """Return the limits without the handles."""
        limits = ('_most_files', '_cache_bytes', '_announced')
        return {name: getattr(self, name) for name in limits}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the limits with no open file."""
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        """Start with no handle, in this process."""
        self._pid, self._bytes = os.getpid(), 0
        # Least recently used first.
        self._files: OrderedDict[Path, h5py.File] = OrderedDict()
        self._arrays: OrderedDict[tuple[Path, str], tuple[StoredArray, int]] = OrderedDict()
        self._verified: dict[tuple[Path, str], bytearray] = {}

    def _file(self, path: Path) -> h5py.File:
        """Return a file, opened if it is not open."""
        if path in self._files:
            self._files.move_to_end(path)
            return self._files[path]
        while len(self._files) >= self._most_files:
            self.close(next(iter(self._files)))
        self._files[path] = open_file(path)
        return self._files[path]


def _affordable() -> int:
    """Return the number of files that a process may keep open."""
    # Windows has no such call, and no limit below the default; -1 is no limit.
    limit = os.sysconf('SC_OPEN_MAX') if hasattr(os, 'sysconf') else -1
    return _MOST_FILES if limit < 0 else max(1, min(_MOST_FILES, limit // _SHARE))


def _open_array(file: h5py.File, name: str, chunks: int, cache_bytes: int) -> h5py.Dataset:
    """Open an array with a chunk cache of its own; h5py has this option for whole files only."""
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    # An odd number, as chunks of equal distance would share the slots of a power of two.
    access.set_chunk_cache(min(_SLOTS * chunks, _MOST_SLOTS) + 1, cache_bytes, 0.75)
    # h5py caches shape and reader of what is marked as read-only.
    return h5py.Dataset(h5py.h5d.open(file.id, name.encode(), access), readonly=True)
