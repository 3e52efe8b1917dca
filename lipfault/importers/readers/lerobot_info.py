"""Metadata of a LeRobot data set: `meta/info.json`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from lipfault.errors import LipfaultError

VERSIONS = ('v2.0', 'v2.1', 'v3.0')
_BOOKKEEPING = {'timestamp', 'frame_index', 'episode_index', 'index', 'task_index'}
_COLOURS = {1: ('grey',), 3: ('red', 'green', 'blue'), 4: ('red', 'green', 'blue', 'alpha')}
_KINDS = 'bfiu'  # of numpy: bool, float, int, unsigned


@dataclass(frozen=True)
class Feature:
    """A stream of the data set.

    Args:
        key: Its name, such as `observation.state`.
        dtype: `video`, `image` or the type of the numbers.
        shape: Shape of a sample as stated.
        names: Names of the numbers or of the axes as stated, lists in lists flattened.
    """

    key: str
    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...]

    @property
    def is_film(self) -> bool:
        """Return whether the frames are in a film."""
        return self.dtype == 'video'

    @property
    def is_image(self) -> bool:
        """Return whether the samples are frames."""
        return self.dtype in ('video', 'image')

    @property
    def count(self) -> int:
        """Return the stated number of numbers of a sample."""
        count = 1
        for length in self.shape:
            count *= length
        return count

    @property
    def size(self) -> tuple[int, int]:
        """Return stated height and width of a frame; the names say which axis holds the colours."""
        axes = list(self.shape)
        if len(axes) == 3:
            named = [name.lower() for name in self.names]
            first = named[0].startswith('channel') if len(named) == 3 else axes[0] <= 4 < axes[2]
            axes = axes[1:] if first else axes[:2]
        return (axes[0], axes[1]) if len(axes) == 2 else (0, 0)

    @property
    def colours(self) -> tuple[str, ...]:
        """Return the name of each stated colour of a frame."""
        height, width = self.size
        return _COLOURS.get(self.count // max(1, height * width), _COLOURS[3])

    def channel_names(self, count: int) -> tuple[str, ...]:
        """Return a name for each number of a sample.

        Args:
            count: Number of numbers.

        Returns:
            The stated names if their number fits and each is another, else `<key>_<number>`.
        """
        if len(self.names) == count == len(set(self.names)):
            return self.names
        return tuple(f'{self.key.rsplit(".", 1)[-1]}_{number}' for number in range(count))


@dataclass(frozen=True)
class LeRobotInfo:
    """Content of `meta/info.json`.

    Args:
        version: Version of the format, such as `v2.1`.
        rate_hz: Frames per second.
        data_path: Template of the paths of the tables.
        video_path: Template of the paths of the films, empty if there are none.
        chunk_size: Episodes or files in a folder.
        features: The streams that hold numbers or frames.
    """

    version: str
    rate_hz: float
    data_path: str
    video_path: str
    chunk_size: int
    features: tuple[Feature, ...]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read and check the metadata.

        Args:
            folder: Folder of the data set.

        Returns:
            The metadata.

        Raises:
            LipfaultError: If the file is missing or damaged, the version or the storage is not
                supported, or no stream holds numbers or frames.
        """
        path = folder / 'meta' / 'info.json'
        info = read_json(path)
        _require_supported(info, path)
        try:
            features = tuple(
                feature
                for key, entry in info['features'].items()
                if (feature := _feature(key, entry)) is not None
            )
            rate = float(info['fps'])
            found = cls(
                version=str(info['codebase_version']),
                rate_hz=rate,
                data_path=str(info['data_path']),
                video_path=str(info.get('video_path') or ''),
                chunk_size=int(info.get('chunks_size') or 1000),
                features=features,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LipfaultError(
                f'{path}: {error!r} where codebase_version, fps, data_path and features with dtype '
                'and shape are needed'
            ) from error
        if not rate > 0:
            raise LipfaultError(f'{path}: fps must be positive, got {rate}')
        if not features:
            raise LipfaultError(f'{path}: no feature holds numbers or frames')
        return found


def read_json(path: Path) -> Mapping[str, Any]:
    """Read a JSON object.

    Args:
        path: The file.

    Returns:
        Its content.

    Raises:
        LipfaultError: If there is no such file or it holds no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8-sig'))
    except FileNotFoundError as error:
        raise LipfaultError(f'{path} is missing; a LeRobot data set needs it') from error
    except (ValueError, OSError, RecursionError) as error:
        raise LipfaultError(f'{path}: cannot be read as JSON: {error}') from error
    if not isinstance(content, dict):
        raise LipfaultError(f'{path}: must hold a JSON object, got {type(content).__name__}')
    return content


def _require_supported(info: Mapping[str, Any], path: Path) -> None:
    """Reject other versions and kinds of storage."""
    version = info.get('codebase_version')
    if version not in VERSIONS:
        raise LipfaultError(
            f'{path}: codebase_version {version!r} is not supported; {", ".join(VERSIONS)} are. '
            'Convert the data set with the scripts of lerobot'
        )
    storage = info.get('storage_format', 'parquet')
    if storage != 'parquet':
        raise LipfaultError(
            f'{path}: storage_format {storage!r} is not supported, only Parquet tables with films; '
            f'export the data set from {str(storage).capitalize()} first'
        )


def _feature(key: str, entry: Mapping[str, Any]) -> Feature | None:
    """Return the stream of an entry; None for bookkeeping and text."""
    dtype = str(entry['dtype'])
    if key in _BOOKKEEPING or not (dtype in ('video', 'image') or _is_number(dtype)):
        return None
    shape = tuple(int(length) for length in entry.get('shape') or (1,))
    return Feature(key, dtype, shape, tuple(_flat(entry.get('names'))))


def _is_number(dtype: str) -> bool:
    """Return whether a type of the metadata is one of numbers."""
    try:
        return np.dtype(dtype).kind in _KINDS
    except TypeError:
        return False


def _flat(names: object) -> list[str]:
    """Flatten names: a list, a list in a list, a dictionary such as `{'motors': [...]}`, or None.

    A dictionary that maps each name to its number gives its keys.
    """
    if names is None:
        return []
    if isinstance(names, dict):
        if all(isinstance(value, int) for value in names.values()):
            return [str(name) for name in sorted(names, key=names.__getitem__)]
        names = list(names.values())
    if isinstance(names, list):
        return [name for each in names for name in _flat(each)]
    return [str(names)]
