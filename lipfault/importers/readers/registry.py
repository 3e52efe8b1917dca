"""The readers by name, how a source is recognized, and readers of a user's own by class path."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from lipfault.errors import LipfaultError
from lipfault.importers.readers.lfs import require_no_pointer
from lipfault.importers.source import Source


@dataclass(frozen=True)
class Reader:
    """An entry of the reader table; reading the table imports no library of a format.

    Args:
        class_path: Module and name of the callable that opens a path: `reader(path, **options)`.
        suffixes: Endings of file names, lower case with the dot.
        markers: Patterns of `Path.glob`, any of which a folder of this format holds.
        magic: Bytes with which a file of this format begins, or an empty text.
    """

    class_path: str
    suffixes: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()
    magic: bytes = b''

    def fits(self, path: Path) -> bool:
        """Return whether a path looks like this format.

        Args:
            path: An existing file or folder.

        Returns:
            Whether a marker, the suffix or the first bytes fit.
        """
        if path.is_dir():
            return any(True for marker in self.markers for _ in path.glob(marker))
        if path.name.lower().endswith(self.suffixes or ('\0',)):
            return True
        if not self.magic:
            return False
        with path.open('rb') as file:
            return file.read(len(self.magic)) == self.magic


_HERE = 'lipfault.importers.readers'

READERS: dict[str, Reader] = {
    'lerobot': Reader(
        f'{_HERE}.lerobot.LeRobotSource', markers=('meta/info.json', 'meta/episodes.jsonl')
    ),
    'rosbag': Reader(
        f'{_HERE}.rosbag.RosbagSource',
        suffixes=('.db3', '.bag'),
        markers=('metadata.yaml', '*/metadata.yaml', '*.db3', '*.bag'),
        magic=b'#ROSBAG V2',
    ),
    'mcap': Reader(
        f'{_HERE}.mcap.McapSource',
        suffixes=('.mcap',),
        markers=('*.mcap',),
        magic=b'\x89MCAP0\r\n',
    ),
    'zarr': Reader(
        f'{_HERE}.zarr.ZarrSource',
        suffixes=('.zarr.zip',),
        markers=('.zgroup', '.zarray', 'zarr.json'),
    ),
    'hdf5': Reader(
        f'{_HERE}.hdf5.Hdf5Source',
        suffixes=('.h5', '.hdf5', '.hdf'),
        markers=('*.h5', '*.hdf5', '*.hdf'),
        magic=b'\x89HDF\r\n\x1a\n',
    ),
    'npy': Reader(
        f'{_HERE}.npy.NpySource',
        suffixes=('.npy', '.npz'),
        markers=('*.npz', '*.npy', '*/*.npy'),
        magic=b'\x93NUMPY',
    ),
    'parquet': Reader(
        f'{_HERE}.parquet.ParquetSource',
        suffixes=('.parquet', '.pq'),
        markers=('*.parquet', '*.pq', '*/*.parquet', '*/*.pq'),
        magic=b'PAR1',
    ),
    'csv': Reader(
        f'{_HERE}.csv.CsvSource',
        suffixes=('.csv', '.tsv', '.txt'),
        markers=('*.csv', '*.tsv', '*/*.csv', '*/*.tsv'),
    ),
}
"""Readers by name. The first that fits a path opens it: special formats before general ones."""


def open_source(path: str | Path, reader: str | None = None, **options: Any) -> Source:  # noqa: ANN401
    """Open a source with the reader that fits it.

    Args:
        path: File or folder.
        reader: Name of a reader or class path of one of your own; recognized if not given.
        **options: Options of the reader, such as the time column of a table.

    Returns:
        The open source.

    Raises:
        LipfaultError: If the path does not exist, no reader fits, an option is unknown, or the
            source is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise LipfaultError(f'{path} does not exist; give a file or folder to import')
    name = reader or recognize(path)
    opener = load_reader(name)
    try:
        source: Source = opener(path, **options)
    except TypeError as error:
        # A wrong keyword is the user's error, one from inside the reader is not.
        if 'unexpected keyword argument' not in str(error) or not options:
            raise
        text = _option_error(opener, options) or str(error)
        raise LipfaultError(f'{path}: reader {name}: {text}') from error
    except LipfaultError as error:
        _require_no_pointers(path, error)
        raise
    return source


def _option_error(opener: Callable[..., Source], options: Mapping[str, Any]) -> str:
    """Return which options a reader does not have, and those that it has; '' if it has all."""
    known = list(signature(opener).parameters)[1:]
    unknown = ', '.join(repr(each) for each in options if each not in known)
    return (
        f'there is no option {unknown}; there are {", ".join(known) or "none"}' if unknown else ''
    )


def _require_no_pointers(path: Path, error: LipfaultError) -> None:
    """Name the pointer of Git LFS that a message on a damaged file is about."""
    files = [path] if path.is_file() else [*path.glob('*'), *path.glob('*/*')]
    for file in files:
        if str(file) in str(error) and file.is_file():
            require_no_pointer(file)


def recognize(path: Path) -> str:
    """Return the name of the reader that fits a path.

    Args:
        path: An existing file or folder.

    Returns:
        A key of `READERS`.

    Raises:
        LipfaultError: If no reader fits; names those that there are.
    """
    for name, entry in READERS.items():
        if entry.fits(path):
            return name
    raise LipfaultError(
        f'{path}: no reader recognizes this {"folder" if path.is_dir() else "file"}; name one with '
        f'--reader: {", ".join(READERS)}, or the class path of your own'
    )


def load_reader(name: str) -> Callable[..., Source]:
    """Import a reader.

    Args:
        name: Key of `READERS` or class path.

    Returns:
        The callable that opens a path.

    Raises:
        LipfaultError: If there is no such reader, or a library that it needs is missing.
    """
    class_path = READERS[name].class_path if name in READERS else name
    module, _, attribute = class_path.rpartition('.')
    if not module:
        raise LipfaultError(
            f'no reader {name!r}; there are {", ".join(READERS)}, or give a class path'
        )
    try:
        opener: Callable[..., Source] = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        missing = error.name or ''
        if module == missing or module.startswith(f'{missing}.'):
            raise LipfaultError(f'reader {name!r}: there is no module {missing!r}') from error
        raise LipfaultError(
            f'reader {name!r} needs the package {missing!r}: pip install "lipfault[importers]"'
        ) from error
    except AttributeError as error:
        raise LipfaultError(f'reader {name!r}: {module} has no {attribute!r}') from error
    return opener
