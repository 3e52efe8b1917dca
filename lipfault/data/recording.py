"""Read a recording file on demand, from any number of processes."""

import errno
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lipfault.data.episode import EpisodeInfo
from lipfault.data.known_cells import with_sensors
from lipfault.data.layout import (
    FORMAT,
    PRESENT_SUFFIX,
    STAMP_SUFFIX,
    VERSIONS,
    attrs_to_modality,
    parse_parameters,
)
from lipfault.data.validation import (
    require_finite,
    require_layout,
    require_mask,
    require_same_duration,
    require_stamps,
)
from lipfault.errors import LipfaultError
from lipfault.modality import Modality

OPEN = 64
"""Datasets kept open. Each has a chunk cache of its own (1 MiB or two chunks), so the limit bounds
the memory of a process however many episodes the file holds."""

# HDF5's default size of a chunk cache, bytes.
_CHUNK_CACHE_BYTES = 1 << 20


class Recording:
    """One recording file: descriptions are read at once, samples on demand.

    Each process opens the file at its first read, so that a forked worker never shares a handle;
    pickling drops the handle. The file is opened read-only, with a shared lock where the file
    system supports locks; some network file systems do not.

    Args:
        path: Path of the file.

    Attributes:
        path: Path of the file.
        modalities: Description of each modality, in alphabetical order.
        episodes: Description of each episode, in the order of their ids.
        attributes: Other root attributes of the file.

    Raises:
        LipfaultError: If the file is missing, truncated, no recording or of another format
            version, or if its description or the shape or dtype of an array violates the format.
    """

    def __init__(self, path: str | Path) -> None:
        """Read the descriptions and close the file."""
        self.path = Path(path)
        self._file: h5py.File | None = None
        self._pid = -1
        self._datasets: dict[tuple[str, str], h5py.Dataset] = {}
        with self._naming(), _open(self.path) as file:
            self.attributes = _read_header(file, self.path)
            self.modalities = _read_modalities(file, self.path)
            self.episodes = _read_episodes(file, self.modalities, self.path)
            # HDF5 does not cache a chunk that is larger than the cache.
            largest = _largest_chunk(file, self.episodes[0])
            self._chunk_cache_bytes = max(_CHUNK_CACHE_BYTES, 2 * largest)

    def read(self, episode: int, modality: str, start: int, stop: int) -> npt.NDArray[Any]:
        """Read samples of one modality, as stored.

        Args:
            episode: Position in `episodes`.
            modality: Name of the modality.
            start: First sample.
            stop: One past the last sample.

        Returns:
            Images (frames, height, width, channel) uint8; a series (steps, channel) float32 in
            physical units, NaN possible only where `present` is false.

        Raises:
            LipfaultError: If the range does not lie in the episode, the data cannot be decoded, or
                a sample that is not marked as missing is NaN or Inf.
        """
        info = self.episodes[episode]
        where = f'{self.path}, episode {info.episode_id!r}, modality {modality!r}'
        if not 0 <= start < stop <= info.lengths[modality]:
            raise LipfaultError(
                f'{where}: samples {start} to {stop} are not in 0 to {info.lengths[modality]}'
            )
        with self._naming(where):
            samples: npt.NDArray[Any] = self._dataset(info.episode_id, modality)[start:stop]
        if self.modalities[modality].kind == 'series':
            present = self.present(episode, modality, start, stop)
            require_finite(self.modalities[modality], samples, present, where, start)
        return samples

    def present(
        self, episode: int, modality: str, start: int, stop: int
    ) -> npt.NDArray[np.bool_] | None:
        """Read the presence mask of one modality.

        Args:
            episode: Position in `episodes`.
            modality: Name of the modality.
            start: First entry of the mask.
            stop: One past its last entry.

        Returns:
            (stop - start,) bool, false where a sample is missing; `None` if the episode has no
            missing sample.

        Raises:
            LipfaultError: If the mask cannot be decoded.
        """
        info = self.episodes[episode]
        if modality not in info.partial:
            return None
        with self._naming(f'{self.path}, episode {info.episode_id!r}, modality {modality!r}'):
            mask = self._dataset(info.episode_id, modality + PRESENT_SUFFIX)[start:stop]
        return np.asarray(mask, dtype=np.bool_)

    def stamps(
        self, episode: int, modality: str, start: int, stop: int
    ) -> npt.NDArray[np.float64] | None:
        """Read the original time stamps of one modality.

        Args:
            episode: Position in `episodes`.
            modality: Name of the modality.
            start: First stamp.
            stop: One past the last stamp.

        Returns:
            (stop - start,) float64 in seconds of the source's clock, NaN where a sample is missing;
            `None` if the recording keeps none.

        Raises:
            LipfaultError: If the stamps cannot be decoded.
        """
        info = self.episodes[episode]
        if modality not in info.stamped:
            return None
        with self._naming(f'{self.path}, episode {info.episode_id!r}, modality {modality!r}'):
            found = self._dataset(info.episode_id, modality + STAMP_SUFFIX)[start:stop]
        return np.asarray(found, dtype=np.float64)

    def close(self) -> None:
        """Close the handle of this process; the next read opens the file again."""
        if self._pid == os.getpid() and self._file is not None:
            self._file.close()
        self._file, self._datasets, self._pid = None, {}, -1

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the open handle."""
        return {**self.__dict__, '_file': None, '_datasets': {}, '_pid': -1}

    def _dataset(self, episode_id: str, name: str) -> h5py.Dataset:
        """Return the handle of a dataset in this process; the last `OPEN` ones stay open."""
        if self._pid != os.getpid():
            # A forked worker inherits the handle; closing it there would close the parent's.
            self._file, self._datasets, self._pid = None, {}, os.getpid()
        if self._file is None:
            self._file = _open(self.path, self._chunk_cache_bytes)
        key = (episode_id, name)
        dataset = self._datasets.pop(key, None)
        if dataset is None:
            dataset = self._file[f'episodes/{episode_id}/{name}']
        # Least recently used: a dictionary keeps the order of insertion.
        self._datasets[key] = dataset
        if len(self._datasets) > OPEN:
            del self._datasets[next(iter(self._datasets))]
        return dataset

    @contextmanager
    def _naming(self, where: str | None = None) -> Iterator[None]:
        """Turn errors of HDF5 into one line that names the file."""
        try:
            yield
        except (OSError, RuntimeError, KeyError) as error:
            raise LipfaultError(
                f'{where or self.path}: cannot be read: {_reason(error)}'
            ) from error


def _reason(error: Exception) -> str:
    """Return one line: the system's message, or that the content is damaged."""
    number = error.errno if isinstance(error, OSError) else None
    # A writer holds an exclusive lock, see `_open`.
    if number == errno.EAGAIN:
        return 'another program is writing it'
    if number:
        return os.strerror(number)
    # h5py quotes the text of a KeyError, and HDF5 adds a stack of lines.
    return 'the file is damaged or truncated: ' + str(error).strip('\'"').splitlines()[0]


def _open(path: Path, chunk_cache_bytes: int = _CHUNK_CACHE_BYTES) -> h5py.File:
    """Open a file for reading, with a lock only where the file system supports locks."""
    if not path.is_file():
        found = 'is a folder' if path.is_dir() else 'does not exist'
        raise LipfaultError(f'recording {path} {found}; give an HDF5 file')
    try:
        return h5py.File(path, 'r', locking='best-effort', rdcc_nbytes=chunk_cache_bytes)
    except OSError as error:
        # `best-effort` covers ENOSYS only; NFS without a lock daemon gives ENOLCK.
        if error.errno != errno.ENOLCK:
            raise
    return h5py.File(path, 'r', locking=False, rdcc_nbytes=chunk_cache_bytes)


def _read_header(file: h5py.File, path: Path) -> dict[str, object]:
    """Return the root attributes besides format and version; reject other formats and versions."""
    attributes = {key: _plain(value) for key, value in file.attrs.items()}
    if attributes.pop('format', None) != FORMAT:
        raise LipfaultError(f'{path}: is no recording: root attribute format must be {FORMAT!r}')
    version = attributes.pop('format_version', None)
    if version not in VERSIONS:
        raise LipfaultError(
            f'{path}: format version {version!r} is not supported; this release reads versions '
            f'{" and ".join(map(str, VERSIONS))}'
        )
    for group in ('modalities', 'episodes'):
        if not isinstance(file.get(group), h5py.Group) or not len(file[group]):
            raise LipfaultError(f'{path}: group /{group} is missing or empty')
    return attributes


def _read_modalities(file: h5py.File, path: Path) -> dict[str, Modality]:
    """Return the description of each modality by name."""
    cell = str(file.attrs.get('cell', ''))
    return {
        name: with_sensors(
            attrs_to_modality(
                name, {key: _plain(value) for key, value in group.attrs.items()}, str(path)
            ),
            cell,
        )
        for name, group in file['modalities'].items()
    }


def _read_episodes(
    file: h5py.File, modalities: dict[str, Modality], path: Path
) -> list[EpisodeInfo]:
    """Return the description of each episode, checked against the modalities."""
    return [
        _read_episode(group, episode_id, modalities, path)
        for episode_id, group in sorted(file['episodes'].items())
    ]


def _read_episode(
    group: h5py.Group, episode_id: str, modalities: dict[str, Modality], path: Path
) -> EpisodeInfo:
    """Return the description of one episode from the shapes of its datasets."""
    where = f'{path}, episode {episode_id!r}'
    if not isinstance(group, h5py.Group):
        raise LipfaultError(f'{where}: is no group of arrays')
    lengths = {name: _read_length(group, modality, where) for name, modality in modalities.items()}
    partial = frozenset(name for name in modalities if name + PRESENT_SUFFIX in group)
    for name in partial:
        mask = group[name + PRESENT_SUFFIX]
        require_mask(mask.shape, mask.dtype, lengths[name], f'{where}: {name + PRESENT_SUFFIX}')
    stamped = frozenset(name for name in modalities if name + STAMP_SUFFIX in group)
    for name in stamped:
        stamps = group[name + STAMP_SUFFIX]
        require_stamps(stamps.shape, stamps.dtype, lengths[name], f'{where}: {name + STAMP_SUFFIX}')
    require_same_duration(modalities, lengths, where)
    return EpisodeInfo(
        episode_id=episode_id,
        lengths=lengths,
        duration_s=min(lengths[name] / modalities[name].rate_hz for name in modalities),
        parameters=parse_parameters(str(group.attrs.get('parameters', '{}')), where),
        partial=partial,
        stamped=stamped,
        unique_id=f'{path.stem}/{episode_id}',
    )


def _read_length(group: h5py.Group, modality: Modality, where: str) -> int:
    """Return the number of samples of one modality; reject a wrong shape or dtype."""
    name = modality.name
    if name not in group:
        raise LipfaultError(f'{where}: lacks the modality {name!r}')
    dataset = group[name]
    if not isinstance(dataset, h5py.Dataset):
        raise LipfaultError(f'{where}: modality {name!r} is no array')
    require_layout(modality, dataset.shape, dataset.dtype, f'{where}, modality {name!r}')
    return int(dataset.shape[0])


def _largest_chunk(file: h5py.File, episode: EpisodeInfo) -> int:
    """Return the bytes of the largest chunk of an episode; all episodes are chunked alike."""
    group = file['episodes'][episode.episode_id]
    datasets = [group[name] for name in episode.lengths]
    sizes = [math.prod(data.chunks or data.shape) * data.dtype.itemsize for data in datasets]
    return int(max(sizes))


def _plain(value: object) -> object:
    """Convert an HDF5 attribute to plain Python types."""
    if isinstance(value, np.ndarray):
        return [_plain(entry) for entry in value.tolist()]
    # HDF5 returns text of fixed length as bytes.
    if isinstance(value, bytes):
        return value.decode(errors='replace')
    return value.item() if isinstance(value, np.generic) else value
