"""Reader of Zarr stores of the formats 2 and 3: folders and zip files.

Reference:
    Zarr: https://zarr.dev
"""

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.storage import ZipStore

from lipfault.errors import LipfaultError
from lipfault.importers.readers.arrays import ArraySource, EpisodeArrays, StoredArray
from lipfault.importers.readers.source_base import natural, unique_ids
from lipfault.importers.readers.stamps import StampOptions

_ENDS = 'meta/episode_ends'
_DATA = 'data/'


@dataclass(frozen=True)
class _ZarrArray:
    """Rows of an array of a store, which is open while it is read."""

    path: Path
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def blocks(self, rows: int) -> Iterator[npt.NDArray[Any]]:
        """Yield consecutive blocks along the first axis."""
        with _opened(self.path, self.key) as array:
            stop = self.start + self.shape[0]
            for start in range(self.start, stop, rows):
                yield np.asarray(array[start : min(stop, start + rows)])

    def rows(self, start: int, stop: int) -> '_ZarrArray':
        """Return some rows of the array as an array.

        Args:
            start: First row.
            stop: Row after the last one.
        """
        shape = (stop - start, *self.shape[1:])
        return _ZarrArray(self.path, self.key, shape, self.dtype, start, self.attributes)


class ZarrSource(ArraySource):
    """A Zarr store.

    A store with `meta/episode_ends`, as diffusion policies use it, has an episode for each end, and
    the arrays of `data` as its fields. Any other store is one episode.

    Args:
        path: Folder or zip file of the store.
        time: Name of the array with the time stamps, see `StampOptions`.
        time_unit: Unit of the stamps.
        rate_hz: Rate of arrays without stamps.

    Raises:
        LipfaultError: If the path is no Zarr store or is damaged.
    """

    def __init__(
        self,
        path: Path,
        *,
        time: str | None = None,
        time_unit: str | None = None,
        rate_hz: float | Mapping[str, float] | None = None,
    ) -> None:
        """Open the source."""
        options = StampOptions(time, time_unit, rate_hz)
        path = Path(path)
        skipped: dict[str, str] = {}
        arrays = _arrays(path, skipped)
        if _ENDS in arrays:
            episodes = _cut(path, arrays)
        else:
            name = path.name.removesuffix('.zip').removesuffix('.zarr')
            (key,) = unique_ids([name])
            episodes = {key: EpisodeArrays(_plain(arrays), str(path))}
        super().__init__(path, episodes, options, skipped)


@contextmanager
def _opened(path: Path, key: str) -> Iterator[Any]:
    """Open an array of a store, and close the store."""
    if path.is_dir():
        yield zarr.open_array(str(path), path=key, mode='r')
    else:
        with ZipStore(path, mode='r') as store:
            yield zarr.open_array(store, path=key, mode='r')


def _arrays(path: Path, skipped: dict[str, str]) -> dict[str, _ZarrArray]:
    """Return the arrays of a store by name; one that cannot be opened gets a reason."""
    try:
        names = sorted(_names(path) if path.is_dir() else _zipped_names(path), key=natural)
    # Damaged zip files raise errors of several libraries, too.
    except Exception as error:
        raise LipfaultError(f'{path}: no Zarr store, or a damaged one: {error}') from error
    if not names:
        raise LipfaultError(f'{path}: no Zarr store: it holds no .zarray and no zarr.json')
    found: dict[str, _ZarrArray] = {}
    for key in names:
        name = key or 'array'
        try:
            with _opened(path, key) as array:
                dtype, attributes = np.dtype(array.dtype), array.attrs.asdict()
                found[name] = _ZarrArray(path, key, array.shape, dtype, attributes=attributes)
        # Unknown codecs and types, and damaged metadata, raise errors of several libraries.
        except Exception as error:
            skipped[name] = f'cannot be opened: {error}'
    return found


def _names(folder: Path, prefix: str = '') -> Iterator[str]:
    """Yield the names of the arrays below a folder, without looking among their chunks."""
    for child in sorted(folder.iterdir()) if not _is_array(folder) else ():
        if child.is_dir():
            yield from _names(child, f'{prefix}/{child.name}' if prefix else child.name)
    if _is_array(folder):
        yield prefix


def _is_array(folder: Path) -> bool:
    meta = folder / 'zarr.json'
    return (folder / '.zarray').exists() or (meta.exists() and _is_array_json(meta.read_bytes()))


def _is_array_json(text: bytes) -> bool:
    content = json.loads(text)
    return isinstance(content, dict) and content.get('node_type') == 'array'


def _zipped_names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        files = archive.namelist()
        found = [name for name in files if name.rsplit('/', 1)[-1] == '.zarray']
        found += [
            name
            for name in files
            if name.rsplit('/', 1)[-1] == 'zarr.json' and _is_array_json(archive.read(name))
        ]
    return [name.rpartition('/')[0] for name in found]


def _plain(arrays: Mapping[str, _ZarrArray]) -> dict[str, StoredArray]:
    return dict(arrays)


def _cut(path: Path, arrays: Mapping[str, _ZarrArray]) -> dict[str, EpisodeArrays]:
    """Return the episodes between the ends that the store lists."""
    ends = _ends(path, arrays[_ENDS])
    data = {
        name.removeprefix(_DATA): array for name, array in arrays.items() if name.startswith(_DATA)
    }
    for name, array in data.items():
        if not array.shape or array.shape[0] != ends[-1]:
            raise LipfaultError(
                f'{path}: data/{name} has shape {array.shape}, but the last of {_ENDS} is '
                f'{ends[-1]}'
            )
    digits = max(3, len(str(len(ends) - 1)))
    episodes = {}
    for number, (start, stop) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        name = f'episode_{number:0{digits}d}'
        rows = {key: array.rows(start, stop) for key, array in data.items()}
        episodes[name] = EpisodeArrays(_plain(rows), f'{path}: episode {name}')
    return episodes


def _ends(path: Path, array: _ZarrArray) -> list[int]:
    if len(array.shape) != 1 or array.shape[0] == 0 or array.dtype.kind not in 'iu':
        raise LipfaultError(
            f'{path}: {_ENDS} must list integers, got {array.dtype} of shape {array.shape}'
        )
    try:
        ends = [int(end) for block in array.blocks(array.shape[0]) for end in block]
    except Exception as error:  # of any codec
        raise LipfaultError(f'{path}: {_ENDS} is damaged: {error}') from error
    if any(stop <= start for start, stop in zip([0, *ends], ends, strict=False)):
        raise LipfaultError(f'{path}: {_ENDS} must increase from above 0, got {ends[:20]}')
    return ends
