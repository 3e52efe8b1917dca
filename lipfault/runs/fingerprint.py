"""Fingerprints of data files, by which a resumed run finds that its data have changed."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BLOCK = 1 << 20
"""Bytes that are read at once."""

BLOCKS = 256
"""Most blocks of a file that are read: a file of up to 256 MiB is read as a whole."""


def fingerprint(path: Path) -> dict[str, Any]:
    """Return size and checksum of a file.

    Args:
        path: The file.

    Returns:
        `bytes`, and `blake2b` of the content; of a file with more than `BLOCKS` blocks the checksum
        of that many, evenly spread from the first to the last. Empty if it cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        size = path.stat().st_size
        with path.open('rb') as file:
            for start in _starts(size):
                file.seek(start)
                digest.update(file.read(BLOCK))
    except OSError:
        return {}
    return {'bytes': size, 'blake2b': digest.hexdigest()}


def changed_files(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Name the files whose content has changed under the same path.

    Args:
        before: Fingerprints by path.
        now: Fingerprints by path.

    Returns:
        One phrase for each file.

    Example:
        >>> changed_files({'a.h5': {'bytes': 1}}, {'a.h5': {'bytes': 2}})
        ['the content of a.h5 has changed (2 bytes, was 1)']
    """
    phrases = []
    for path, found in now.items():
        old = before.get(path)
        if not isinstance(old, dict) or not old or not found or old == found:
            continue
        sizes = (found.get('bytes'), old.get('bytes'))
        detail = f'{sizes[0]} bytes, was {sizes[1]}' if sizes[0] != sizes[1] else 'of the same size'
        phrases.append(f'the content of {path} has changed ({detail})')
    return phrases


def _starts(size: int) -> list[int]:
    """Return the position of each block that is read."""
    count = -(-size // BLOCK)
    if count <= BLOCKS:
        return [BLOCK * number for number in range(count)]
    return [number * (size - BLOCK) // (BLOCKS - 1) for number in range(BLOCKS)]
