"""Read text files of a run, which may be damaged or written by somebody else."""

import json
import stat
from pathlib import Path
from typing import Any

from lipfault.errors import LipfaultError

LARGEST_CONFIG = 1 << 20
"""Bytes of the largest configuration that is read; a complete one has 4 kB."""

LARGEST_TEXT = 1 << 28
"""Bytes of the largest text file that is read; the metrics of a long training have some 10 MB."""


def read_text(path: Path, largest: int = LARGEST_TEXT) -> str:
    """Read a text file.

    Args:
        path: A regular file in UTF-8.
        largest: Bytes of the largest file that is read.

    Returns:
        The text.

    Raises:
        LipfaultError: If there is no such file, it is no regular file or too large, the system
            refuses to read it, or it is no UTF-8; names the file.
    """
    try:
        status = path.stat()
        # A pipe or a device would wait or never end.
        if not stat.S_ISREG(status.st_mode):
            found = 'a folder' if stat.S_ISDIR(status.st_mode) else 'a device, pipe or socket'
            raise LipfaultError(f'{path}: must be a file, it is {found}')
        if status.st_size > largest:
            raise LipfaultError(
                f'{path}: has {status.st_size} bytes, such a file has at most {largest}'
            )
        return path.read_text(encoding='utf-8')
    except OSError as error:
        raise LipfaultError(f'cannot read {path}: {error.strerror or error}') from error
    except UnicodeDecodeError as error:
        raise LipfaultError(
            f'{path}: not UTF-8 text (byte {error.start}): the file is damaged'
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Args:
        path: The file.

    Returns:
        The object, its keys without control characters.

    Raises:
        LipfaultError: If the file cannot be read, or does not hold one JSON object.
    """
    try:
        content = json.loads(read_text(path))
    except RecursionError as error:
        raise LipfaultError(f'{path}: not valid JSON: nested too deeply') from error
    except ValueError as error:
        raise LipfaultError(f'{path}: not valid JSON: {error}') from error
    if not isinstance(content, dict):
        raise LipfaultError(f'{path}: must hold one JSON object, got {type(content).__name__}')
    require_printable(content, str(path))
    return content


def escaped(text: str) -> str:
    r"""Escape what a terminal would obey or could not show.

    Args:
        text: Any text, for example with a name that a file holds.

    Returns:
        The text with its line ends and tabs; other characters that cannot be printed are escaped
        as in a Python string.

    Example:
        >>> escaped('a\x1b[31mb é')
        'a\\x1b[31mb é'
    """
    return ''.join(
        c if c.isprintable() or c in '\n\t' else c.encode('unicode_escape').decode() for c in text
    )


def require_printable(value: object, where: str) -> None:
    """Refuse names that hold control characters, such as terminal escapes.

    Args:
        value: A text, or nested dictionaries and lists, whose keys and texts are checked.
        where: File for the message.

    Raises:
        LipfaultError: Names the file and the text, escaped.
    """
    pending = [value]
    while pending:
        found = pending.pop()
        if isinstance(found, str) and escaped(found) != found:
            raise LipfaultError(
                f'{where}: holds the text "{escaped(found)[:80]}", which has characters that '
                'cannot be printed'
            )
        if isinstance(found, dict):
            pending += [*found.keys(), *found.values()]
        elif isinstance(found, list | tuple):
            pending += found
