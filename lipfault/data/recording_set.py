"""Read several recording files as one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lipfault.data.episode import EpisodeInfo
from lipfault.data.open_files import OpenFiles
from lipfault.data.recording import Recording
from lipfault.errors import LipfaultError
from lipfault.modality import Modality


class RecordingSet:
    """The episodes of one or several files that hold the same modalities.

    Args:
        paths: Paths of the files. With several files, an episode's id becomes
            `<file stem>/<id>`.

    Attributes:
        modalities: Description of each modality, the same in all files.
        episodes: Description of each episode, in the order of the files and of their ids.

    Raises:
        LipfaultError: If a file cannot be read, two files have the same stem, or their modalities
            differ.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        """Read the descriptions."""
        if not paths:
            raise LipfaultError('no recording given; name at least one HDF5 file')
        _require_unique_stems([Path(path) for path in paths])
        files = OpenFiles()
        self._recordings = [Recording(path, files) for path in paths]
        self.modalities: Mapping[str, Modality] = self._recordings[0].modalities
        for recording in self._recordings[1:]:
            _require_same_modalities(self._recordings[0], recording)
        # (file, position in the file) of each episode of the set.
        self._sources = [
            (recording, position)
            for recording in self._recordings
            for position in range(len(recording.episodes))
        ]
        self.episodes: list[EpisodeInfo] = list(
            chain.from_iterable(
                _prefixed(recording) if len(paths) > 1 else recording.episodes
                for recording in self._recordings
            )
        )

    def read(self, episode: int, modality: str, start: int, stop: int) -> npt.NDArray[Any]:
        """Read samples of one modality; `Recording.read` documents the arguments."""
        recording, position = self._sources[episode]
        return recording.read(position, modality, start, stop)

    def present(
        self, episode: int, modality: str, start: int, stop: int
    ) -> npt.NDArray[np.bool_] | None:
        """Read the presence mask of one modality; `Recording.present` documents the arguments."""
        recording, position = self._sources[episode]
        return recording.present(position, modality, start, stop)

    def close(self) -> None:
        """Close the handles of this process."""
        for recording in self._recordings:
            recording.close()


def _prefixed(recording: Recording) -> list[EpisodeInfo]:
    """Return the file's episodes with ids that are unique among files."""
    return [
        replace(info, episode_id=f'{recording.path.stem}/{info.episode_id}')
        for info in recording.episodes
    ]


def _require_unique_stems(paths: Sequence[Path]) -> None:
    """Reject two files whose episodes would get the same ids."""
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem in found:
            raise LipfaultError(
                f'recordings {found[path.stem]} and {path} have the same name; rename one'
            )
        found[path.stem] = path


def _require_same_modalities(first: Recording, other: Recording) -> None:
    """Reject files that describe their modalities differently."""
    for name in sorted({*first.modalities, *other.modalities}):
        if first.modalities.get(name) != other.modalities.get(name):
            raise LipfaultError(
                f'{other.path}: modality {name!r} differs from {first.path}; recordings used '
                'together must agree in every modality'
            )
