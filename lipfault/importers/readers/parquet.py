"""Reader of Parquet tables: files, and folders with one episode in each file.

Reference:
    Parquet: https://parquet.apache.org/docs/
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lipfault.errors import LipfaultError
from lipfault.importers.readers.parquet_columns import (
    describe,
    find_time,
    numbers,
    seconds,
)
from lipfault.importers.readers.source_base import (
    ReaderSource,
    guarded,
    listed,
    merge_fields,
    natural,
    rows_per_chunk,
    unique_ids,
)
from lipfault.importers.readers.stamps import StampOptions, infer_unit
from lipfault.importers.source import Field, Samples

_SUFFIXES = ('.parquet', '.pq')
_EPISODE_NAMES = ('episode_index', 'episode', 'episode_id')
_MOST_ROWS = 2**16


@dataclass(frozen=True)
class _Rows:
    """Rows of an episode in a table.

    Args:
        file: The table.
        where: File and episode, for messages.
        time: Column of the time stamps, None for a constant rate.
        episode: Column of the episode, None if all rows are of this one.
        value: Its value for this episode.
        first: First row.
        last: Last row.
    """

    file: Path
    where: str
    time: str | None
    episode: str | None = None
    value: object = None
    first: int = 0
    last: int = 0


class ParquetSource(ReaderSource):
    """A Parquet table, or a folder of tables with one episode each.

    Each column of numbers is a field, a list of a fixed number of numbers one with several
    channels. Text and nested columns are not fields. Stamps are those of `time`, or of the column
    that `parquet_columns.find_time` finds; a time zone is converted to UTC, a time without a zone
    counts as UTC.

    Args:
        path: File or folder.
        time: Name of the column with the time stamps.
        time_unit: Unit of stamps that are numbers, see `stamps.infer_unit`.
        rate_hz: Rate of a table without stamps.
        episode: Name of the column that numbers the episodes; by default `episode_index`,
            `episode` or `episode_id`, where there is one.

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
    ) -> None:
        """Open the source."""
        path = Path(path)
        self._options = StampOptions(time, time_unit, rate_hz)
        skipped: dict[str, str] = {}
        fields: dict[str, dict[str, Field]] = {}
        rows: dict[str, _Rows] = {}
        for file in _files(path):
            found, parts = _open(file, episode, self._options, skipped)
            for name, part in parts.items():
                key = f'{file.stem}-{name}' if name and path.is_dir() else name or file.stem
                rows[key], fields[key] = part, found
        self._rows = {key: rows[name] for key, name in unique_ids(rows).items()}
        merged = merge_fields(fields, skipped)
        if not self._rows:
            raise LipfaultError(f'{path}: the table has no rows')
        super().__init__(path, merged, tuple(self._rows), skipped)

    def stamps(self, episode: str, field: str) -> Iterator[npt.NDArray[np.float64]]:
        """Read the time stamps of one field of one episode in chunks.

        Args:
            episode: An id of `episodes`.
            field: A key of `fields`.

        Yields:
            Stamps (samples,) float64 in seconds.
        """
        self._check(episode, field)
        for _, times in self._batches(self._rows[episode], self.fields[field], _MOST_ROWS):
            yield times

    def _read(self, episode: str, field: Field) -> Iterator[Samples]:
        """Yield the samples of an existing episode and field."""
        rows = self._rows[episode]
        where = f'{rows.where}: column {field.name!r}'
        size = min(_MOST_ROWS, rows_per_chunk(8 * len(field.channels)))
        first = rows.first
        for batch, times in self._batches(rows, field, size):
            yield Samples(times, numbers(batch[field.name], field, where, first))
            first += len(times)

    def _batches(
        self, rows: _Rows, field: Field, size: int
    ) -> Iterator[tuple[pa.RecordBatch, npt.NDArray[np.float64]]]:
        """Yield the rows of an episode with their stamps."""
        where = f'{rows.where}: column {field.name!r}'
        rate = None if rows.time is not None else self._options.rate(field.name, field.rate_hz)
        if rows.time is None and rate is None:
            raise LipfaultError(
                f'{where}: no time stamps; give the reader option rate_hz (samples per second), or '
                'time (name of the column of stamps)'
            )
        names = {field.name, *(name for name in (rows.time, rows.episode) if name is not None)}
        unit, count = self._options.time_unit, 0
        with pq.ParquetFile(rows.file) as file:
            if field.name not in file.schema_arrow.names:
                return
            for batch in guarded(
                _selected(file, rows, sorted(names), size),
                lambda done: f'{where}: batch {done} of {size} rows',
            ):
                if rate is not None:
                    yield batch, np.arange(count, count + len(batch)) / rate
                else:
                    stamps = batch[rows.time]
                    unit = unit or infer_unit(str(rows.time), _first(stamps))
                    place = f'{rows.where}: time stamps {rows.time!r}'
                    yield batch, seconds(stamps, unit, place, rows.first + count)
                count += len(batch)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = [file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES]
    if not files:
        raise LipfaultError(f'{path}: holds no file that ends in {", ".join(_SUFFIXES)}')
    return sorted(files, key=lambda file: natural(file.name))


def _open(
    path: Path, episode: str | None, options: StampOptions, skipped: dict[str, str]
) -> tuple[dict[str, Field], dict[str, _Rows]]:
    """Return the fields of a table, and its episodes by name, '' if it is one."""
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise LipfaultError(f'{path}: column {twice[0]!r} is there twice')
            for option, name in {'time': options.time, 'episode': episode}.items():
                if name is not None and name not in names:
                    raise LipfaultError(
                        f'{path}: {option}: no column {name!r}; there are {listed(names)}'
                    )
            by = episode or next((name for name in _EPISODE_NAMES if name in names), None)
            time = find_time(file.schema_arrow, options, str(path))
            fields = describe(file, {time, by}, skipped)
            if file.metadata.num_rows == 0:
                return fields, {}
            return fields, _episodes(file, path, time, by)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise LipfaultError(f'{path}: no Parquet table, or a damaged one: {reason}') from error


def _episodes(
    file: pq.ParquetFile, path: Path, time: str | None, by: str | None
) -> dict[str, _Rows]:
    """Return the rows of each episode, in the order in which they begin."""
    last = file.metadata.num_rows - 1
    if by is None:
        return {'': _Rows(path, str(path), time, last=last)}
    found: dict[object, list[int]] = {}
    row = 0
    for batch in file.iter_batches(batch_size=_MOST_ROWS, columns=[by]):
        values = batch[by]
        if pa.types.is_nested(values.type) or pa.types.is_floating(values.type):
            raise LipfaultError(f'{path}: column {by!r} holds {values.type}, no episodes')
        if values.null_count:
            raise LipfaultError(f'{path}: column {by!r} is empty in a row from {row}')
        for value in values.unique().to_pylist():
            places = np.flatnonzero(pa.compute.equal(values, value))
            limits = found.setdefault(value, [row + int(places[0]), 0])
            limits[1] = row + int(places[-1])
        row += len(batch)
    names = {value: f'episode_{value}' if isinstance(value, int) else str(value) for value in found}
    return {
        names[value]: _Rows(path, f'{path}: episode {value}', time, by, value, *limits)
        for value, limits in found.items()
    }


def _selected(
    file: pq.ParquetFile, rows: _Rows, names: list[str], size: int
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of an episode from the row groups that hold it."""
    ends = np.cumsum([file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)])
    groups = [
        number
        for number, end in enumerate(ends)
        if end > rows.first and end - file.metadata.row_group(number).num_rows <= rows.last
    ]
    for batch in file.iter_batches(batch_size=size, row_groups=groups, columns=names):
        if rows.episode is not None:
            batch = batch.filter(pa.compute.equal(batch[rows.episode], rows.value))
        if len(batch):
            yield batch


def _first(stamps: pa.Array) -> Any:  # noqa: ANN401
    """Return the first stamp that is not empty, 0 for none."""
    if pa.types.is_temporal(stamps.type):
        return 0
    return next((value for value in stamps[:1].to_pylist() if value is not None), 0)
