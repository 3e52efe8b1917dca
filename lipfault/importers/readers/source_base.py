"""Parts that the readers share: named access, ids of episodes, chunks, messages of damage."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from lipfault.errors import LipfaultError
from lipfault.importers.source import Field, Samples

CHUNK_BYTES = 8 * 2**20
"""Aim for the bytes of a chunk; the contract allows 16 MiB."""
MOST_CHANNELS = 2048
"""A vector of more numbers, such as a point cloud or a compressed frame, is not a series."""
CLOCK = 'time stamps of the fields beside it'
"""Reason of a stream that is no field, but read with others."""
COLOURS = {1: ('grey',), 3: ('red', 'green', 'blue'), 4: ('red', 'green', 'blue', 'alpha')}

_T = TypeVar('_T')


class ReaderSource(ABC):
    """An open data set whose fields and episodes are listed when it is opened.

    Args:
        path: Path of the file or folder.
        fields: Description of each field by its name.
        episodes: Id of each episode.
        skipped: Reason for each stream of the source that is not a field, by its name.
    """

    def __init__(
        self,
        path: Path,
        fields: Mapping[str, Field],
        episodes: Sequence[str],
        skipped: Mapping[str, str],
    ) -> None:
        """Store the description of the source."""
        self.path = path
        self.fields = fields
        self.episodes = episodes
        self.skipped = skipped
        self._closed = False
        if not fields:
            raise LipfaultError(f'{path}: holds no field of numbers or frames{self._reasons()}')

    def read(self, episode: str, field: str) -> Iterator[Samples]:
        """Read one field of one episode in chunks.

        Args:
            episode: An id of `episodes`.
            field: A key of `fields`.

        Returns:
            Iterator over the samples in the order of the source.

        Raises:
            LipfaultError: If the source is closed, the name is unknown, or the data are damaged.
        """
        self._check(episode, field)
        return self._read(episode, self.fields[field])

    def close(self) -> None:
        """Close the source; a second call has no effect."""
        self._closed = True

    def _check(self, episode: str, field: str) -> None:
        """Raise an error if the source is closed or a name is unknown."""
        if self._closed:
            raise LipfaultError(f'{self.path}: the source is closed')
        if episode not in self.episodes:
            raise LipfaultError(
                f'{self.path}: no episode {episode!r}; there are {listed(self.episodes)}'
            )
        if field in self.skipped:
            raise LipfaultError(f'{self.path}: {field!r} is not read: {self.skipped[field]}')
        if field not in self.fields:
            raise LipfaultError(
                f'{self.path}: no field {field!r}; there are {listed(self.fields)}{self._reasons()}'
            )

    @property
    def notes(self) -> list[str]:
        """Return the streams that are not read, each with its reason."""
        return [
            f'{self.path}: {name!r} is not read: {why}'
            for name, why in self.skipped.items()
            if why != CLOCK
        ]

    @abstractmethod
    def _read(self, episode: str, field: Field) -> Iterator[Samples]:
        """Yield the samples of an existing episode and field."""

    def _reasons(self) -> str:
        """Return the skipped streams with their reasons, as the end of a message."""
        if not self.skipped:
            return ''
        reasons = [f'{name!r} ({reason})' for name, reason in self.skipped.items()]
        return f'; not read: {listed(reasons, quote=False)}'


def listed(names: Iterable[str], most: int = 20, quote: bool = True) -> str:
    """Return names as a text, of many the first ones and the number of the others.

    Args:
        names: The names.
        most: Number of names to write.
        quote: Write each name in quotation marks.
    """
    all_names = [repr(name) if quote else name for name in names]
    if not all_names:
        return 'none'
    rest = len(all_names) - most
    return ', '.join(all_names[:most]) + (f' and {rest} others' if rest > 0 else '')


def natural(name: str) -> list[str | int]:
    """Return a sort key by which `demo_2` comes before `demo_10`.

    Args:
        name: The name.
    """
    return [int(p) if i % 2 else p for i, p in enumerate(re.split(r'([0-9]+)', name))]


def unique_ids(names: Iterable[str]) -> dict[str, str]:
    """Return an id for each name, of letters, digits, `_` and `-`.

    Args:
        names: Names of the episodes in the source, such as stems of files.

    Returns:
        The name by its id. Equal ids get a number: `run`, `run-2`.
    """
    found: dict[str, str] = {}
    for name in names:
        # As in other readers, so that sources of one recording have the same ids.
        stem = re.sub(r'[^A-Za-z0-9_-]', '_', name) or 'episode'
        wanted, number = stem, 1
        while wanted in found:
            number += 1
            wanted = f'{stem}-{number}'
        found[wanted] = name
    return found


def rows_per_chunk(row_bytes: int) -> int:
    """Return the number of samples of a chunk, at least 1.

    Args:
        row_bytes: Bytes of a sample.
    """
    return max(1, CHUNK_BYTES // max(1, row_bytes))


def guarded(items: Iterator[_T], where: Callable[[int], str]) -> Iterator[_T]:
    """Iterate over the output of a library, whose errors become a `LipfaultError`.

    Args:
        items: Iterator of a library that reads a file.
        where: Text of file, episode and field for the number of items read so far.

    Yields:
        The items.

    Raises:
        LipfaultError: If the library raises any error: whatever it stumbles upon is damage.
    """
    count = 0
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except (LipfaultError, MemoryError):
            raise
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise LipfaultError(f'{where(count)}: damaged, or of another kind: {reason}') from error
        yield item
        count += 1


def merge_fields(
    episodes: Mapping[str, Mapping[str, Field]], skipped: dict[str, str]
) -> dict[str, Field]:
    """Return the union of the fields of all episodes.

    Args:
        episodes: Fields by name, for each episode.
        skipped: Reasons by name; gets an entry for a field that differs between episodes.

    Returns:
        The fields by name, in the order in which they appear.
    """
    merged: dict[str, tuple[str, Field]] = {}
    for episode, fields in episodes.items():
        for name, field in fields.items():
            first, known = merged.setdefault(name, (episode, field))
            if _shape(known) != _shape(field):
                skipped[name] = (
                    f'{_shape_text(known)} in episode {first}, '
                    f'{_shape_text(field)} in episode {episode}'
                )
    return {name: field for name, (_, field) in merged.items() if name not in skipped}


def _shape(field: Field) -> tuple[object, ...]:
    return field.kind, field.channels, field.size, field.dtype if field.size else None


def _shape_text(field: Field) -> str:
    size = '' if field.size is None else f'{field.size[0]} x {field.size[1]} {field.dtype} '
    return f'{size}{field.kind} with {len(field.channels)} channels'
