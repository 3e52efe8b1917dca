"""Reader of Parquet tables: a file, or a folder of files.

Reference:
    Parquet: https://parquet.apache.org/docs/
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lipfault.errors import LipfaultError
from lipfault.importers.readers.parquet_columns import Table, infer, numbers, open_table, seconds
from lipfault.importers.readers.parquet_episodes import EpisodeRows, batches, episodes_of
from lipfault.importers.readers.source_base import (
    ReaderSource,
    guarded,
    merge_fields,
    natural,
    rows_per_chunk,
    unique_ids,
)
from lipfault.importers.readers.stamps import StampOptions
from lipfault.importers.source import Field, Samples

_SUFFIXES = ('.parquet', '.pq')
_MOST_ROWS = 2**16


class ParquetSource(ReaderSource):
    """A Parquet table, or a folder of tables.

    The numeric columns of a table are one field, a list of a fixed number of numbers is a field
    `table.column`. A file is one episode. In a folder, files with the same columns are an episode
    each, those with other columns are fields of one episode, and folders in it are an episode each.
    Text and nested columns are not fields. Stamps are those of `time`, or of the column that
    `parquet_columns.find_time` finds; a time with a zone is converted to UTC, one without counts as
    UTC.

    Args:
        path: File or folder.
        time: Name of the column with the time stamps.
        time_unit: Unit of stamps that are numbers, see `stamps.infer_unit`.
        rate_hz: Rate of a table without stamps.
        episode: Name of the column that numbers the episodes; by default `episode_index`,
            `episode` or `episode_id`, where there is one.
        files: `episodes` or `fields`: what the files of a folder are, whatever their columns.

    Raises:
        LipfaultError: If a file is no table or is damaged, or an option names no column.
    """

    def __init__(
        self,
        path: Path,
        *,
        time: str | None = None,
        time_unit: str | None = None,
        rate_hz: float | Mapping[str, float] | None = None,
        episode: str | None = None,
        files: str | None = None,
    ) -> None:
        """Open the source."""
        path = Path(path)
        self._options = StampOptions(time, time_unit, rate_hz)
        if files not in (None, 'episodes', 'fields'):
            raise LipfaultError(f'files must be episodes or fields, got {files!r}')
        opened = {file: open_table(file, self._options, episode) for file in _files(path)}
        groups = _groups(path, opened, files)
        rows: dict[str, dict[str, EpisodeRows]] = {}
        fields: dict[str, dict[str, Field]] = {}
        skipped: dict[str, str] = {}
        known: dict[str, Table] = {}
        for group, tables in groups.items():
            for name, table in tables.items():
                like = known.setdefault(name, table)
                # The order of the columns may differ between files.
                like = like if set(like.columns) == set(table.columns) else table
                skipped |= {f'{name}.{column}': why for column, why in table.skipped.items()}
                for value, part in episodes_of(table).items():
                    key = group if value is None else _join(group, value, len(groups))
                    rows.setdefault(key, {})[name] = part
                    fields.setdefault(key, {}).update(like.fields(name))
        if not rows:
            raise LipfaultError(f'{path}: the table has no rows')
        self._rows = {key: rows[name] for key, name in unique_ids(rows).items()}
        super().__init__(path, merge_fields(fields, skipped), tuple(self._rows), skipped)

    def stamps(self, episode: str, field: str) -> Iterator[npt.NDArray[np.float64]]:
        """Read the time stamps of one field of one episode in chunks.

        Args:
            episode: An id of `episodes`.
            field: A key of `fields`.

        Yields:
            Stamps (samples,) float64 in seconds.
        """
        self._check(episode, field)
        found = self._part(episode, field)
        if found is not None:
            for _, times in self._batches(found[0], field, (), _MOST_ROWS):
                yield times

    def _read(self, episode: str, field: Field) -> Iterator[Samples]:
        """Yield the samples of an existing episode and field."""
        found = self._part(episode, field.name)
        if found is None:
            return
        rows, column = found
        names = field.channels if column is None else (column,)
        count = None if column is None else len(field.channels)
        size = min(_MOST_ROWS, rows_per_chunk(8 * len(field.channels)))
        first = rows.first
        for batch, times in self._batches(rows, field.name, names, size):
            parts = [
                numbers(batch[name], count, f'{rows.where}: column {name!r}', first)
                for name in names
            ]
            yield Samples(times, np.concatenate(parts, axis=1))
            first += len(times)

    def _part(self, episode: str, field: str) -> tuple[EpisodeRows, str | None] | None:
        """Return the rows of a field, and its column if it is a list; None if there are none."""
        for name, rows in self._rows[episode].items():
            if field == name:
                return rows, None
            column = field.removeprefix(f'{name}.')
            if column != field and column in rows.table.lists:
                return rows, column
        return None

    def _batches(
        self, rows: EpisodeRows, field: str, names: tuple[str, ...], size: int
    ) -> Iterator[tuple[pa.RecordBatch, npt.NDArray[np.float64]]]:
        """Yield columns of the rows of an episode with their stamps."""
        time = rows.table.time
        rate = self._options.rate(field) if time is None else None
        if time is None and rate is None:
            raise LipfaultError(
                f'{rows.where}: no time stamps; give the reader option rate_hz (samples per '
                'second), or time (name of the column of stamps)'
            )
        unit, count = self._options.time_unit, 0
        read = batches(rows, names if time is None else (*names, time), size)
        for batch in guarded(read, lambda done: f'{rows.where}: batch {done} of {size} rows'):
            if rate is not None:
                yield batch, np.arange(count, count + len(batch)) / rate
            else:
                stamps = batch[time]
                unit = unit or infer(str(time), stamps)
                where = f'{rows.where}: time stamps {time!r}'
                yield batch, seconds(stamps, unit, where, rows.first + count)
            count += len(batch)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    for pattern in ('*', '*/*'):
        files = [file for file in path.glob(pattern) if file.suffix.lower() in _SUFFIXES]
        if files:
            return sorted(files, key=lambda file: natural(str(file)))
    raise LipfaultError(f'{path}: holds no file that ends in {", ".join(_SUFFIXES)}')


def _groups(
    path: Path, tables: Mapping[Path, Table], files: str | None
) -> dict[str, dict[str, Table]]:
    """Return the tables of each episode, or of each group of episodes, by the name of the field."""
    if not path.is_dir():
        return {file.stem: {file.stem: table} for file, table in tables.items()}
    groups: dict[str, dict[str, Table]] = {}
    for file, table in tables.items():
        groups.setdefault(file.parent.resolve().name, {})[file.stem] = table
    first, *rest = (set(table.columns) for table in tables.values())
    alike = bool(rest) and all(columns == first for columns in rest)
    if len(groups) == 1 and (files == 'episodes' or (alike and files is None)):
        return {file.stem: {'table': table} for file, table in tables.items()}
    return groups


def _join(group: str, value: str, groups: int) -> str:
    """Return the name of an episode that a column names."""
    return value if groups == 1 else f'{group}-{value}'
