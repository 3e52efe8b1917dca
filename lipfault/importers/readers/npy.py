"""Reader of NumPy files: `.npy`, `.npz`, and folders of them."""

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from lipfault.errors import LipfaultError
from lipfault.importers.readers.arrays import ArraySource, EpisodeArrays, StoredArray
from lipfault.importers.readers.lfs import require_no_pointer
from lipfault.importers.readers.source_base import listed, natural, unique_ids
from lipfault.importers.readers.stamps import StampOptions


@dataclass(frozen=True)
class _NpyArray:
    """An array of a `.npy` file or of a member of a `.npz` file, read from start to end."""

    file: Path
    member: str | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What the file states of the array: nothing."""
        return {}

    def blocks(self, rows: int) -> Iterator[npt.NDArray[Any]]:
        """Yield consecutive blocks along the first axis."""
        if self.member is None:
            with self.file.open('rb') as stream:
                yield from self._blocks(stream, rows)
        else:
            with zipfile.ZipFile(self.file) as archive, archive.open(self.member) as stream:
                yield from self._blocks(stream, rows)

    def _blocks(self, stream: IO[bytes], rows: int) -> Iterator[npt.NDArray[Any]]:
        _read_header(stream)
        if self.fortran_order and len(self.shape) > 1:
            # The rows are not consecutive in the file: the array is read as a whole.
            values = self._take(stream, self.shape[::-1]).T
            for start in range(0, self.shape[0], rows):
                yield np.ascontiguousarray(values[start : start + rows])
            return
        for start in range(0, self.shape[0], rows):
            count = min(rows, self.shape[0] - start)
            yield self._take(stream, (count, *self.shape[1:]))

    def _take(self, stream: IO[bytes], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Read the next values of the file."""
        wanted = int(np.prod(shape)) * self.dtype.itemsize
        data = stream.read(wanted)
        if len(data) < wanted:
            raise LipfaultError(
                f'{self.file}{f": {self.member}" if self.member else ""}: ends too early: '
                f'{wanted - len(data)} bytes are missing of an array of shape {self.shape}'
            )
        return np.frombuffer(data, self.dtype).reshape(shape)


class NpySource(ArraySource):
    """A `.npz` file, a `.npy` file, or a folder.

    Each array is a field, with the name that it has in the `.npz` file or with that of its `.npy`
    file. A folder of `.npy` files is one episode; in a folder of `.npz` files, or of folders of
    `.npy` files, each is an episode. Pickled objects are never loaded.

    Args:
        path: Path of the file or folder.
        time: Name of the array with the time stamps, see `StampOptions`.
        time_unit: Unit of the stamps.
        rate_hz: Rate of arrays without stamps.

    Raises:
        LipfaultError: If a file is no NumPy file or is damaged.
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
        found = _episodes(path)
        by_id = {key: found[name] for key, name in unique_ids(found).items()}
        super().__init__(path, by_id, options, {})


def _episodes(path: Path) -> dict[str, EpisodeArrays]:
    if not path.is_dir():
        return {path.stem: EpisodeArrays(_arrays_of(path), str(path))}
    archives = _sorted(path.glob('*.npz'))
    if archives:
        return {file.stem: EpisodeArrays(_archive(file), str(file)) for file in archives}
    if arrays := _folder(path):
        return {path.resolve().name: EpisodeArrays(arrays, str(path))}
    folders = {
        folder.name: EpisodeArrays(arrays, str(folder))
        for folder in _sorted(path.iterdir())
        if folder.is_dir() and (arrays := _folder(folder))
    }
    if not folders:
        raise LipfaultError(f'{path}: no .npz or .npy file, and no folder with .npy files')
    return folders


def _sorted(paths: Iterator[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: natural(path.name))


def _folder(path: Path) -> dict[str, StoredArray]:
    return {file.stem: _array(file) for file in _sorted(path.glob('*.npy'))}


def _arrays_of(path: Path) -> dict[str, StoredArray]:
    require_no_pointer(path)
    with path.open('rb') as stream:
        is_archive = stream.read(2) == b'PK'
    return _archive(path) if is_archive else {path.stem: _array(path)}


def _array(path: Path) -> StoredArray:
    try:
        with path.open('rb') as stream:
            return _NpyArray(path, None, *_read_header(stream))
    # A damaged head raises any error of the parser of Python.
    except Exception as error:
        raise LipfaultError(f'{path}: no .npy file, or a damaged one: {error}') from error


def _archive(path: Path) -> dict[str, StoredArray]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith('.npy')]
            arrays: dict[str, StoredArray] = {}
            for member in members:
                with archive.open(member) as stream:
                    header = _read_header(stream)
                arrays[member.removesuffix('.npy')] = _NpyArray(path, member, *header)
    # zlib.error is no subclass of the others.
    except Exception as error:
        raise LipfaultError(f'{path}: no .npz file, or a damaged one: {error}') from error
    if not arrays:
        raise LipfaultError(f'{path}: holds no array, but {listed(archive.namelist())}')
    return arrays


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Read the head of an array: its shape, its type, and whether its first axis is the fastest."""
    version = np.lib.format.read_magic(stream)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran_order, dtype = read(stream)
    return shape, dtype, fortran_order
