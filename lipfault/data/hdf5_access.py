"""Access to the objects of an HDF5 file that may be damaged, or made to do harm."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from lipfault.errors import LipfaultError

Kind = TypeVar('Kind', h5py.Group, h5py.Dataset)


@contextmanager
def reading(where: object) -> Iterator[None]:
    """Turn the errors of HDF5 into one line.

    Args:
        where: Path of the file, or file, episode and modality; starts the message.

    Raises:
        LipfaultError: If the block raises an error.
    """
    try:
        yield
    except LipfaultError:
        raise
    # h5py documents no closed list of errors: damaged files give most of the built-in ones.
    except Exception as error:
        raise LipfaultError(f'{where}: cannot be read: {_reason(error)}') from error


def _reason(error: Exception) -> str:
    """Return one line: the system's message, or that the content is damaged."""
    number = error.errno if isinstance(error, OSError) else None
    # A writer holds an exclusive lock, see `open_file`.
    if number == errno.EAGAIN:
        return 'another program is writing it'
    if number:
        return os.strerror(number)
    # h5py quotes the text of a KeyError, and HDF5 adds a stack of lines.
    lines = str(error).strip('\'"').splitlines() or [type(error).__name__]
    return f'the file is damaged or truncated: {printable(lines[0])}'


def open_file(path: Path) -> h5py.File:
    """Open a file for reading, with a lock only where the file system supports locks.

    Args:
        path: Path of the file.

    Returns:
        The file.

    Raises:
        LipfaultError: If there is no such file.
        OSError: If the file is no HDF5 file, damaged, or being written.
    """
    if not path.is_file():
        found = 'is a folder' if path.is_dir() else 'does not exist'
        raise LipfaultError(f'recording {path} {found}; give an HDF5 file')
    try:
        return h5py.File(path, 'r', locking='best-effort')
    except OSError as error:
        # `best-effort` covers ENOSYS only; NFS without a lock daemon gives ENOLCK.
        if error.errno != errno.ENOLCK:
            raise
    return h5py.File(path, 'r', locking=False)


def member(parent: h5py.Group, name: str, kind: type[Kind], where: str) -> Kind:
    """Return a member of a group that is stored in the file itself.

    Args:
        parent: The group.
        name: Name of the member.
        kind: `h5py.Group` or `h5py.Dataset`.
        where: Name of the member for messages.

    Returns:
        The member.

    Raises:
        LipfaultError: If the member is a link to another place or file, or of another kind.
    """
    # A soft link may point nowhere, an external one to any file of the reader's machine.
    if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
        raise LipfaultError(f'{where} is a link; copy its content into the file')
    found = parent[name]
    if not isinstance(found, kind):
        wanted = 'no array' if kind is h5py.Dataset else 'no group of arrays'
        raise LipfaultError(f'{where} is {wanted}')
    return found


def attributes(holder: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    """Return the attributes of an object as plain Python types.

    Args:
        holder: The object.

    Returns:
        The attributes by name; text is valid UTF-8.
    """
    return {str(_plain(key)): _plain(value) for key, value in holder.attrs.items()}


def _plain(value: object) -> object:
    """Convert an HDF5 attribute to plain Python types."""
    if isinstance(value, np.ndarray):
        return [_plain(entry) for entry in value.tolist()]
    # h5py returns bytes that are not UTF-8 as surrogates, which no terminal prints.
    if isinstance(value, str):
        value = value.encode(errors='surrogateescape')
    # HDF5 returns text of fixed length as bytes.
    if isinstance(value, bytes):
        return value.decode(errors='replace')
    return value.item() if isinstance(value, np.generic) else value


def printable(text: str) -> str:
    r"""Escape the characters of a text that a terminal would obey.

    Args:
        text: Text from a file.

    Returns:
        The text with control characters and surrogates as in `repr`.

    Example:
        >>> printable('red \x1b[31m and µ')
        'red \\x1b[31m and µ'
    """
    return ''.join(c if c.isprintable() else repr(c)[1:-1] for c in text)
