"""Write a file completely or not at all."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lipfault.errors import LipfaultError


@contextmanager
def replacing(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Provide a temporary file that replaces `path` if the block succeeds.

    If the block fails for any reason, the temporary file is removed and `path` stays as it was.

    Args:
        path: The finished file; its folder is made if missing.
        overwrite: Whether an existing file may be replaced.

    Yields:
        An existing, empty file in the same folder, its name ending in `.tmp`.

    Raises:
        LipfaultError: If the file exists and `overwrite` is false, or the system refuses to
            make, to write or to rename it (no such folder, no permission, disk full).

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> with replacing(folder / 'a.txt') as temporary:
        ...     _ = temporary.write_text('whole')
        >>> [(file.name, file.read_text()) for file in folder.iterdir()]
        [('a.txt', 'whole')]
    """
    require_free([path], overwrite)
    if path.is_dir():
        raise LipfaultError(f'{path} is a folder; name a file')
    temporary = _beside(path)
    try:
        yield temporary
        _publish(temporary, path)
    except OSError as error:
        # An error without a name is of an open file: which one, only this place knows.
        if error.filename is not None and Path(os.fsdecode(error.filename)) != temporary:
            raise
        raise LipfaultError(f'cannot write {path}: {error.strerror or error}') from error
    finally:
        temporary.unlink(missing_ok=True)


def require_free(paths: Iterable[str | Path | None], overwrite: bool) -> None:
    """Refuse files that exist, before anything is read or computed.

    Args:
        paths: Files to write; None is left out.
        overwrite: Whether existing files may be replaced.

    Raises:
        LipfaultError: Names the first file that exists and may not be replaced.
    """
    for path in paths:
        if path is not None and Path(path).exists() and not overwrite:
            raise LipfaultError(
                f'{path} exists already; choose another name or pass overwrite=true'
            )


class Sink:
    """A file object for HDF5 that keeps the first failed write instead of raising it.

    HDF5 2.0 crashes the process when a write fails while it closes a data set. This object accepts
    and drops everything after the first failure; `check` raises it.

    Args:
        path: An existing file, opened for reading and writing.
    """

    def __init__(self, path: Path) -> None:
        """Open the file without a buffer, so that a failed write is noticed at once."""
        self._file = path.open('r+b', buffering=0)
        self._error: OSError | None = None

    def check(self, path: Path) -> None:
        """Raise the first failed write, if there was one.

        Args:
            path: The file to name in the message.

        Raises:
            LipfaultError: If a write failed.
        """
        if self._error is not None:
            reason = self._error.strerror or str(self._error)
            raise LipfaultError(f'cannot write {path}: {reason}') from self._error

    def write(self, data: memoryview) -> int:
        """Write all of `data`, or keep the error.

        Args:
            data: The bytes.

        Returns:
            Number of bytes of `data`, whether written or dropped.
        """
        rest = memoryview(data)
        # An unbuffered write may take a part only.
        while self._error is None and rest.nbytes:
            try:
                rest = rest[self._file.write(rest) :]
            except OSError as error:
                self._error = error
        return len(data)

    def truncate(self, size: int) -> int:
        """Set the size of the file, or keep the error.

        Args:
            size: Bytes.

        Returns:
            The size asked for if it failed, else the new size, in bytes.
        """
        try:
            return self._file.truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size

    def read(self, size: int = -1) -> bytes:
        """Read bytes from the current position; h5py recognizes a file object by this method.

        Args:
            size: Number of bytes, -1 for all.

        Returns:
            The bytes.
        """
        return self._file.read(size) or b''

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer; bytes that were dropped read as zeros.

        Args:
            buffer: Buffer to fill.

        Returns:
            Number of bytes of the buffer.
        """
        view = memoryview(buffer).cast('B')
        count = self._file.readinto(view) or 0
        view[count:] = bytes(view.nbytes - count)
        return view.nbytes

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position.

        Args:
            offset: Bytes.
            whence: Where to count from, as of `io.IOBase.seek`.

        Returns:
            The new position in bytes.
        """
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the current position in bytes."""
        return self._file.tell()

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _beside(path: Path) -> Path:
    """Make an empty file in the folder of `path`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f'.{path.name}.', suffix='.tmp', dir=path.parent)
    except OSError as error:
        raise LipfaultError(f'cannot write {path}: {error.strerror}') from error
    os.close(handle)
    return Path(name)


def _publish(temporary: Path, path: Path) -> None:
    """Flush the finished file to the disk, set the usual permissions, and rename it."""
    # mkstemp makes files of mode 0600; the umask can only be read by setting it.
    umask = os.umask(0)
    os.umask(umask)
    try:
        temporary.chmod(0o666 & ~umask)
        with temporary.open('rb') as file:
            os.fsync(file.fileno())  # else a crash could leave the new name with no content
        os.replace(temporary, path)
    except OSError as error:
        raise LipfaultError(f'cannot write {path}: {error.strerror}') from error
