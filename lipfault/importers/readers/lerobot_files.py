"""Episodes of a LeRobot data set, and the files that hold their tables and films."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lipfault.errors import LipfaultError
from lipfault.importers.readers.lerobot_info import LeRobotInfo
from lipfault.importers.readers.lfs import require_no_pointer


@dataclass(frozen=True)
class EpisodeFiles:
    """Where the samples of an episode are.

    Args:
        number: Number of the episode; the numbers may have gaps.
        length: Number of rows that the metadata state, 0 if unknown.
        tasks: Texts of the tasks.
        data: Chunk and file number of the table; None for a table of its own.
        first_row: First row of the episode in the table, None for a table of its own.
        films: For each film chunk number, file number, and start in seconds; empty for films of
            its own.
    """

    number: int
    length: int
    tasks: tuple[str, ...] = ()
    data: tuple[int, int] | None = None
    first_row: int | None = None
    films: dict[str, tuple[int, int, float]] = field(default_factory=dict)


class LeRobotFiles:
    """The episodes of the metadata, and the paths of their files.

    Args:
        folder: Folder of the data set.
        info: Content of `meta/info.json`.

    Attributes:
        numbers: Number of each episode, ascending.

    Raises:
        LipfaultError: If the metadata are damaged or state no episode.
    """

    def __init__(self, folder: Path, info: LeRobotInfo) -> None:
        """Read the metadata of the episodes."""
        self._folder, self._info = folder, info
        found = _read_tables(folder) if info.version == 'v3.0' else _read_lines(folder)
        self._episodes = {each.number: each for each in found}
        self.numbers = sorted(self._episodes)
        if not self.numbers:
            raise LipfaultError(f'{folder}: the metadata state no episode')

    def episode(self, number: int) -> EpisodeFiles:
        """Return where the samples of an episode are.

        Args:
            number: A number of `numbers`.

        Returns:
            Its entry of the metadata.
        """
        return self._episodes[number]

    def table(self, files: EpisodeFiles) -> Path:
        """Return the path of the table of an episode.

        Args:
            files: The episode.

        Returns:
            An existing file.

        Raises:
            LipfaultError: If it is missing or no more than a pointer to it.
        """
        chunk, number = files.data or (files.number // self._info.chunk_size, files.number)
        path = self._path(self._info.data_path, files, chunk, number)
        return require_content(path, f'the table of episode {files.number}')

    def film(self, files: EpisodeFiles, key: str) -> tuple[Path, float, float | None]:
        """Return the film of an episode.

        Args:
            files: The episode.
            key: Key of the stream.

        Returns:
            An existing file, and start and end of the episode in it in seconds; the end is None
            for a film of its own.

        Raises:
            LipfaultError: If it is missing or no more than a pointer to it.
        """
        path, start = self._film_path(files, key)
        shared = key in files.films
        stop = start + files.length / self._info.rate_hz if shared else None
        return require_content(path, f'the film {key} of episode {files.number}'), start, stop

    def has_table(self, files: EpisodeFiles) -> bool:
        """Return whether the table of an episode can be opened.

        Args:
            files: The episode.
        """
        try:
            self.table(files)
        except LipfaultError:
            return False
        return True

    def has_film(self, files: EpisodeFiles, key: str) -> bool:
        """Return whether a film of an episode can be opened.

        Args:
            files: The episode.
            key: Key of the stream.
        """
        try:
            self.film(files, key)
        except LipfaultError:
            return False
        return True

    def _film_path(self, files: EpisodeFiles, key: str) -> tuple[Path, float]:
        """Return path and start of a film; of several spellings the first that exists."""
        chunk, number = files.number // self._info.chunk_size, files.number
        start = 0.0
        if key in files.films:
            chunk, number, start = files.films[key]
        short = key.removeprefix('observation.images.').removeprefix('observation.')
        names = dict.fromkeys((key, short, f'observation.images.{short}'))
        paths = [
            self._path(template, files, chunk, number, name)
            for name in names
            for template in _spellings(self._info.video_path)
        ]
        return next((path for path in paths if path.exists()), paths[0]), start

    def _path(
        self, template: str, files: EpisodeFiles, chunk: int, number: int, key: str = ''
    ) -> Path:
        """Fill a template of the metadata."""
        names: dict[str, Any] = {
            'episode_chunk': chunk, 'chunk_index': chunk, 'file_index': number,
            'episode_index': files.number, 'video_key': key,
        }  # fmt: skip
        try:
            return self._folder / template.format(**names)
        except (KeyError, IndexError, ValueError) as error:
            raise LipfaultError(
                f'{self._folder / "meta/info.json"}: the path {template!r} may refer to '
                f'{", ".join(names)} only: {error}'
            ) from error


def require_content(path: Path, what: str) -> Path:
    """Reject a missing or empty file and a pointer of Git LFS.

    Args:
        path: The file.
        what: What it is, for messages.

    Returns:
        The path.

    Raises:
        LipfaultError: If the file cannot hold data.
    """
    if not path.is_file():
        raise LipfaultError(f'{path} is missing: {what}')
    if not path.stat().st_size:
        raise LipfaultError(f'{path} is empty: {what}')
    require_no_pointer(path)
    return path


def _spellings(template: str) -> tuple[str, ...]:
    """Return a template of the films, and one with the folder's other name."""
    if template.startswith('videos/'):
        return template, template.replace('videos/', 'video/', 1)
    return template, template.replace('video/', 'videos/', 1)


def _read_lines(folder: Path) -> Iterator[EpisodeFiles]:
    """Read `meta/episodes.jsonl` of version 2."""
    path = folder / 'meta' / 'episodes.jsonl'
    if not path.is_file():
        raise LipfaultError(f'{path} is missing; a LeRobot data set of version 2 needs it')
    for number, line in enumerate(path.read_text(encoding='utf-8-sig').splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            yield EpisodeFiles(
                number=int(entry['episode_index']),
                length=int(entry.get('length') or 0),
                tasks=tuple(map(str, entry.get('tasks') or ())),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LipfaultError(f'{path}, line {number}: no episode: {error!r}') from error


def _read_tables(folder: Path) -> Iterator[EpisodeFiles]:
    """Read `meta/episodes/*/*.parquet` of version 3."""
    paths = sorted((folder / 'meta' / 'episodes').glob('*/*.parquet'))
    if not paths:
        raise LipfaultError(
            f'{folder / "meta" / "episodes"}: no *.parquet; a LeRobot data set of version 3 needs '
            'them'
        )
    rows = [row for path in paths for row in _rows(path)]
    firsts: dict[tuple[int, int], int] = {}
    for row in rows:
        place = row['data/chunk_index'], row['data/file_index']
        firsts[place] = min(firsts.get(place, row['dataset_from_index']), row['dataset_from_index'])
    for row in rows:
        place = row['data/chunk_index'], row['data/file_index']
        yield EpisodeFiles(
            number=row['episode_index'],
            length=row['length'],
            tasks=tuple(map(str, row.get('tasks') or ())),
            data=place,
            first_row=row['dataset_from_index'] - firsts[place],
            films=_films(row),
        )


def _rows(path: Path) -> list[dict[str, Any]]:
    """Read the metadata of episodes without their statistics."""
    require_content(path, 'metadata of episodes')
    needed = {
        'episode_index', 'length', 'data/chunk_index', 'data/file_index', 'dataset_from_index',
    }  # fmt: skip
    try:
        names = pq.read_schema(path).names
        kept = [name for name in names if not name.startswith('stats/')]
        rows: list[dict[str, Any]] = pq.read_table(path, columns=kept).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise LipfaultError(f'{path}: cannot be read: {error}') from error
    if lacking := sorted(needed - set(names)):
        raise LipfaultError(f'{path}: lacks the column {lacking[0]!r}')
    for number, row in enumerate(rows):
        if empty := sorted(name for name in needed if row[name] is None):
            raise LipfaultError(f'{path}, row {number}: {empty[0]!r} is empty')
    return rows


def _films(row: dict[str, Any]) -> dict[str, tuple[int, int, float]]:
    """Return chunk, file and start of each film of an episode."""
    keys = [name.split('/')[1] for name in row if name.endswith('/from_timestamp')]
    return {
        key: (
            int(row[f'videos/{key}/chunk_index']),
            int(row[f'videos/{key}/file_index']),
            float(row[f'videos/{key}/from_timestamp']),
        )
        for key in keys
        if row[f'videos/{key}/from_timestamp'] is not None
    }
