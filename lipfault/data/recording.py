"""Read a recording file on demand, from any number of processes."""

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lipfault.data.episode import EpisodeInfo
from lipfault.data.hdf5_access import attributes, member, open_file, reading
from lipfault.data.known_cells import with_sensors
from lipfault.data.layout import (
    FORMAT,
    PRESENT_SUFFIX,
    STAMP_SUFFIX,
    VERSIONS,
    attrs_to_modality,
    parse_parameters,
)
from lipfault.data.open_files import OpenFiles
from lipfault.data.stored_array import (
    claimed_bytes,
    require_own_storage,
    require_plausible_size,
)
from lipfault.data.validation import (
    require_description,
    require_finite,
    require_layout,
    require_mask,
    require_printable,
    require_same_duration,
    require_stamps,
)
from lipfault.errors import LipfaultError
from lipfault.modality import Modality


class Recording:
    """One recording file: descriptions are read at once, samples on demand.

    Each process opens the file at its first read, so that a forked worker never shares a handle;
    pickling drops the handle. The file is opened read-only, with a shared lock where the file
    system supports locks; some network file systems do not. Links, arrays in other files and sizes
    that the file cannot hold are rejected; samples are verified by their checksums, if there are.

    Args:
        path: Path of the file.
        files: Pool of open files, shared with other recordings; its own by default.

    Attributes:
        path: Path of the file.
        modalities: Description of each modality, in alphabetical order.
        episodes: Description of each episode, in the order of their ids.
        attributes: Other root attributes of the file.

    Raises:
        LipfaultError: If the file is missing, truncated, no recording or of another format
            version, or if its description or the shape or dtype of an array violates the format.
    """

    def __init__(self, path: str | Path, files: OpenFiles | None = None) -> None:
        """Read the descriptions and close the file."""
        self.path = Path(path)
        self._files = files or OpenFiles()
        with reading(self.path), open_file(self.path) as file:
            self.attributes = _read_header(file, self.path)
            self.modalities = _read_modalities(file, self.path)
            self.episodes = _read_episodes(file, self.modalities, self.path)
            self._chunk_bytes = _chunk_bytes(file, self.episodes[0])
        self._files.announce(len(self.episodes) * len(self.modalities))

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
        with reading(where):
            samples = self._read(info.episode_id, modality, start, stop)
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
        with reading(f'{self.path}, episode {info.episode_id!r}, modality {modality!r}'):
            mask = self._read(info.episode_id, modality + PRESENT_SUFFIX, start, stop)
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
        with reading(f'{self.path}, episode {info.episode_id!r}, modality {modality!r}'):
            found = self._read(info.episode_id, modality + STAMP_SUFFIX, start, stop)
        return np.asarray(found, dtype=np.float64)

    def close(self) -> None:
        """Close the handle of this process; the next read opens the file again."""
        self._files.close(self.path)

    def _read(self, episode_id: str, name: str, start: int, stop: int) -> npt.NDArray[Any]:
        """Read samples of an array of an episode."""
        # An array that is no modality is small, such as a presence mask.
        size = self._chunk_bytes.get(name, 0)
        return self._files.array(self.path, f'episodes/{episode_id}/{name}', size).read(start, stop)


def _read_header(file: h5py.File, path: Path) -> dict[str, object]:
    """Return the root attributes besides format and version; reject other formats and versions."""
    found = attributes(file)
    if found.pop('format', None) != FORMAT:
        raise LipfaultError(f'{path}: is no recording: root attribute format must be {FORMAT!r}')
    version = found.pop('format_version', None)
    if version not in VERSIONS:
        raise LipfaultError(
            f'{path}: format version {version!r} is not supported; this release reads versions '
            f'{" and ".join(map(str, VERSIONS))}'
        )
    for group in ('modalities', 'episodes'):
        if group not in file or not len(member(file, group, h5py.Group, f'{path}: /{group}')):
            raise LipfaultError(f'{path}: group /{group} is missing or empty')
    return found


def _read_modalities(file: h5py.File, path: Path) -> dict[str, Modality]:
    """Return the description of each modality by name."""
    cell, groups = str(attributes(file).get('cell', '')), file['modalities']
    modalities = {}
    for name in groups:
        require_printable(name, f'{path}: the name of a modality')
        group = member(groups, name, h5py.Group, f'{path}: /modalities/{name!r}')
        modality = attrs_to_modality(name, attributes(group), str(path))
        require_description(modality, str(path))
        modalities[name] = with_sensors(modality, cell)
    return modalities


def _read_episodes(
    file: h5py.File, modalities: dict[str, Modality], path: Path
) -> list[EpisodeInfo]:
    """Return the description of each episode, checked against the modalities."""
    groups, episodes, claimed = file['episodes'], [], 0
    for episode_id in groups:
        require_printable(episode_id, f'{path}: the id of an episode')
    for episode_id in sorted(groups):
        where = f'{path}, episode {episode_id!r}'
        group = member(groups, episode_id, h5py.Group, f'{where}:')
        episodes.append(_read_episode(group, episode_id, modalities, path))
        claimed += sum(claimed_bytes(group[name]) for name in modalities)
        require_plausible_size(claimed, path.stat().st_size, path)
    return episodes


def _read_episode(
    group: h5py.Group, episode_id: str, modalities: dict[str, Modality], path: Path
) -> EpisodeInfo:
    """Return the description of one episode from the shapes of its datasets."""
    where = f'{path}, episode {episode_id!r}'
    lengths = {name: _read_length(group, modality, where) for name, modality in modalities.items()}
    partial = frozenset(name for name in modalities if name + PRESENT_SUFFIX in group)
    for name in partial:
        place = f'{where}: {name + PRESENT_SUFFIX}'
        mask = member(group, name + PRESENT_SUFFIX, h5py.Dataset, place)
        require_own_storage(mask, place)
        require_mask(mask.shape, mask.dtype, lengths[name], place)
    stamped = frozenset(name for name in modalities if name + STAMP_SUFFIX in group)
    for name in stamped:
        place = f'{where}: {name + STAMP_SUFFIX}'
        stamps = member(group, name + STAMP_SUFFIX, h5py.Dataset, place)
        require_own_storage(stamps, place)
        require_stamps(stamps.shape, stamps.dtype, lengths[name], place)
    require_same_duration(modalities, lengths, where)
    return EpisodeInfo(
        episode_id=episode_id,
        lengths=lengths,
        duration_s=min(lengths[name] / modalities[name].rate_hz for name in modalities),
        parameters=parse_parameters(attributes(group).get('parameters', '{}'), where),
        partial=partial,
        stamped=stamped,
        unique_id=f'{path.stem}/{episode_id}',
    )


def _read_length(group: h5py.Group, modality: Modality, where: str) -> int:
    """Return the number of samples of one modality; reject a wrong shape or dtype."""
    name = modality.name
    if name not in group:
        raise LipfaultError(f'{where}: lacks the modality {name!r}')
    dataset = member(group, name, h5py.Dataset, f'{where}: modality {name!r}')
    require_own_storage(dataset, f'{where}, modality {name!r}')
    require_layout(modality, dataset.shape, dataset.dtype, f'{where}, modality {name!r}')
    return int(dataset.shape[0])


def _chunk_bytes(file: h5py.File, episode: EpisodeInfo) -> dict[str, int]:
    """Return the bytes of a chunk by modality; all episodes are usually chunked alike."""
    group = file['episodes'][episode.episode_id]
    return {
        name: math.prod(group[name].chunks or ()) * group[name].dtype.itemsize
        for name in episode.lengths
    }
