"""Read CSV files: one table, or a folder of tables.

Parsing is that of pyarrow, see https://arrow.apache.org/docs/python/csv.html.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv

from lipfault.errors import LipfaultError
from lipfault.importers.readers.csv_layout import MISSING, TableLayout
from lipfault.importers.readers.times import to_seconds
from lipfault.importers.source import Field, Samples

_SUFFIXES = ('.csv', '.tsv', '.txt')

# Bytes of text parsed at once.
_BLOCK_BYTES = 1 << 20


class CsvSource:
    """Tables of text, each a field with its numeric columns as channels.

    A file is one episode. In a folder, files with the same columns are an episode each; files with
    other columns are fields of one episode; folders in it are an episode each. Delimiter, decimal
    mark, units in the header (`speed [m/s]`) and the column of time stamps are recognized.

    Args:
        path: File or folder.
        time: Name of the column with time stamps; recognized by its name if not given.
        time_unit: `s`, `ms`, `us` or `ns`; from the header or the size of the numbers if not given.
        rate_hz: Rows per second of a table without time stamps.
        delimiter: Character between the columns; recognized if not given.
        decimal: Decimal mark, `.` or `,`; recognized if not given.
        episode: Column whose values are the ids of episodes, in consecutive rows.

    Attributes:
        path: File or folder.
        fields: Description of each table by its name.
        notes: Columns that are left out.

    Raises:
        LipfaultError: If there is no table, or a table has no header, no numbers or no time stamps.
    """

    def __init__(
        self,
        path: str | Path,
        time: str | None = None,
        time_unit: str | None = None,
        rate_hz: float | None = None,
        delimiter: str | None = None,
        decimal: str | None = None,
        episode: str | None = None,
    ) -> None:
        """Read the headers."""
        self.path = Path(path)
        self._rate = rate_hz
        self._episode_column = episode
        files = _files(self.path)
        layouts = {
            file: TableLayout.read(file, time, time_unit, rate_hz, delimiter, decimal, episode)
            for file in files
        }
        self._tables = _tables(self.path, layouts)
        self.fields: Mapping[str, Field] = _fields(self._tables, rate_hz)
        self.notes = [
            f'{file.name}: columns that are no numbers are left out: {", ".join(layout.text)}'
            for file, layout in layouts.items()
            if layout.text
        ]
        self._ids: dict[str, tuple[str, str | None]] | None = None

    @property
    def episodes(self) -> Sequence[str]:
        """Return the id of each episode."""
        return list(self._episode_ids())

    def read(self, episode: str, field: str) -> Iterator[Samples]:
        """Read a table, see `lipfault.importers.source.Source.read`.

        Args:
            episode: An id of `episodes`.
            field: A key of `fields`.

        Yields:
            Its rows in chunks of some 1 MiB of text.

        Raises:
            LipfaultError: If a cell is no number or no time stamp; names file, column and row.
        """
        group, value = self._episode_ids()[episode]
        layout = self._tables[group].get(field)
        if layout is None:
            return
        row = 0
        for batch in batches(layout):
            kept = batch if value is None else _of_episode(batch, str(self._episode_column), value)
            if len(kept):
                yield self._samples(kept, layout, row)
            row += len(batch)

    def close(self) -> None:
        """Do nothing: each read closes its file."""

    def _samples(self, batch: pa.RecordBatch, layout: TableLayout, row: int) -> Samples:
        columns = [
            np.asarray(batch[name].to_numpy(zero_copy_only=False), dtype=np.float64)
            for name in layout.columns
        ]
        values = np.stack(columns, axis=1) if columns else np.empty((len(batch), 0))
        return Samples(self._times(batch, layout, row), values)

    def _times(
        self, batch: pa.RecordBatch, layout: TableLayout, row: int
    ) -> npt.NDArray[np.float64]:
        if layout.time is None:
            return np.arange(row, row + len(batch)) / (self._rate or 1.0)
        where = f'{layout.path}, column {layout.time!r}'
        return to_seconds(batch[layout.time], layout.time_unit, where, row + layout.first_row)

    def _episode_ids(self) -> dict[str, tuple[str, str | None]]:
        """Return group of tables and value of the episode column of each episode."""
        if self._ids is None:
            self._ids = {}
            for group, tables in self._tables.items():
                if self._episode_column is None:
                    self._ids[group] = (group, None)
                    continue
                values = _values_of(next(iter(tables.values())), self._episode_column)
                prefix = '' if len(self._tables) == 1 else f'{group}-'
                self._ids |= {_id(f'{prefix}{value}'): (group, value) for value in values}
        return self._ids


def batches(layout: TableLayout) -> Iterator[pa.RecordBatch]:
    """Read the numeric columns, the stamps and the episode column of a table.

    Args:
        layout: The table.

    Yields:
        Rows; numbers as float64, stamps as numbers or text.

    Raises:
        LipfaultError: If a cell is no number; names file, column and row.
    """
    types = dict.fromkeys(layout.columns, pa.float64())
    if layout.time is not None:
        types[layout.time] = pa.float64() if layout.numeric_time else pa.string()
    if layout.episode is not None:
        types[layout.episode] = pa.string()
    convert = pacsv.ConvertOptions(
        column_types=types, include_columns=list(types), decimal_point=layout.decimal,
        null_values=list(MISSING), strings_can_be_null=True,
    )  # fmt: skip
    read = pacsv.ReadOptions(
        use_threads=False, block_size=_BLOCK_BYTES, encoding=layout.encoding,
        skip_rows=layout.first_row - 1, column_names=list(layout.header),
    )  # fmt: skip
    parse = pacsv.ParseOptions(delimiter=layout.delimiter)
    with _named(layout), pacsv.open_csv(layout.path, read, parse, convert) as reader:
        yield from reader


@contextmanager
def _named(layout: TableLayout) -> Iterator[None]:
    """Name file and column in errors of the parser."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeError) as error:
        reason = str(error).splitlines()[0]
        for number, name in enumerate(layout.header):
            reason = reason.replace(f'In CSV column #{number}: ', f'column {name!r}: ')
        raise LipfaultError(f'{layout.path}: {reason}') from error


def _files(path: Path) -> list[Path]:
    """Return the tables of a source."""
    if path.is_file():
        return [path]
    for pattern in ('*', '*/*'):
        found = sorted(
            file for file in path.glob(pattern)
            if file.suffix.lower() in _SUFFIXES[:2] and not file.name.startswith('.')
        )  # fmt: skip
        if found:
            return found
    raise LipfaultError(f'{path}: holds no .csv nor .tsv file')


def _tables(path: Path, layouts: Mapping[Path, TableLayout]) -> dict[str, dict[str, TableLayout]]:
    """Return the tables of each group by field: file, or files of a folder."""
    if path.is_file():
        return {_id(path.stem): {path.stem: layouts[path]}}
    groups: dict[str, dict[str, TableLayout]] = {}
    for file, layout in layouts.items():
        folder = file.parent if file.parent != path else path
        groups.setdefault(_id(folder.resolve().name), {})[file.stem] = layout
    (first, *rest) = layouts.values()
    alike = rest and all(each.columns == first.columns for each in rest)
    if alike and len(groups) == 1:
        return {_id(file.stem): {'table': layout} for file, layout in layouts.items()}
    return groups


def _fields(
    tables: Mapping[str, Mapping[str, TableLayout]], rate_hz: float | None
) -> dict[str, Field]:
    """Describe the tables; those of one name must have the same columns."""
    fields: dict[str, Field] = {}
    for group in tables.values():
        for name, layout in group.items():
            field = Field(
                name=name, kind='series', channels=layout.channels, units=layout.units,
                rate_hz=None if layout.time else rate_hz,
            )  # fmt: skip
            if fields.setdefault(name, field).channels != field.channels:
                raise LipfaultError(
                    f'{layout.path}: has the columns {", ".join(field.channels)}, tables of other '
                    f'episodes {", ".join(fields[name].channels)}'
                )
    return fields


def _id(text: str) -> str:
    """Return an id of letters, digits, `_` and `-`."""
    return ''.join(letter if letter.isalnum() and letter.isascii() else '_' if letter != '-'
                   else '-' for letter in text) or 'episode'  # fmt: skip


def _values_of(layout: TableLayout, column: str) -> list[str]:
    """Return the different values of a column in the order in which they come first."""
    found: dict[str, None] = {}
    for batch in batches(layout):
        for value in batch[column].unique().to_pylist():
            if value is None:
                raise LipfaultError(f'{layout.path}, column {column!r}: an id is empty')
            found[value] = None
    return list(found)


def _of_episode(batch: pa.RecordBatch, column: str, value: str) -> pa.RecordBatch:
    return batch.filter(pa.compute.equal(batch[column], value))
