"""Columns of a Parquet table as channels, lists and time stamps."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lipfault.errors import LipfaultError
from lipfault.importers.readers.source_base import MOST_CHANNELS, listed
from lipfault.importers.readers.stamps import StampOptions, infer_unit, is_time_name, to_seconds
from lipfault.importers.readers.times import is_time_text
from lipfault.importers.readers.times import to_seconds as text_to_seconds
from lipfault.importers.source import Field

_FLOATS = {'halffloat': 'float16', 'float': 'float32', 'double': 'float64'}
_EPISODE_NAMES = ('episode_index', 'episode', 'episode_id')


@dataclass(frozen=True)
class Table:
    """Description of a table.

    Args:
        path: The file.
        rows: Number of rows.
        numbers: Columns of one number in a row, with the name of their type.
        lists: Number of values in a row of each column of lists.
        skipped: Reason for each column that is not read.
        time: Column of the time stamps, None for a constant rate.
        episode: Column that numbers the episodes, None for one episode.
        rate_hz: Rate without stamps, of all fields.
    """

    path: Path
    rows: int
    numbers: dict[str, str]
    lists: dict[str, int]
    skipped: dict[str, str]
    time: str | None
    episode: str | None
    rate_hz: float | None

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns with values."""
        return (*self.numbers, *self.lists)

    def fields(self, name: str) -> dict[str, Field]:
        """Return the fields of the table.

        Args:
            name: Name of the table: that of the field of its numeric columns.

        Returns:
            The fields by name; a column of lists is `name.column`.
        """
        found = []
        rate = self.rate_hz if self.time is None else None
        if self.numbers:
            types = set(self.numbers.values())
            units = ('',) * len(self.numbers)
            dtype = types.pop() if len(types) == 1 else 'float64'
            found.append(Field(name, 'series', tuple(self.numbers), units, rate, dtype=dtype))
        for column, count in self.lists.items():
            channels = tuple(f'{column}_{number}' for number in range(count))
            found.append(Field(f'{name}.{column}', 'series', channels, ('',) * count, rate))
        return {field.name: field for field in found}


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a table; errors of the library name the file.

    Args:
        path: The file.

    Yields:
        The open table.

    Raises:
        LipfaultError: If the file is no table or is damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (LipfaultError, MemoryError):
        raise
    # Damaged metadata raise errors of Python, too.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise LipfaultError(f'{path}: no Parquet table, or a damaged one: {reason}') from error


def open_table(path: Path, options: StampOptions, episode: str | None) -> Table:
    """Describe a table.

    Args:
        path: The file.
        options: Where the time stamps are.
        episode: Column that numbers the episodes; recognized by its name if None.

    Returns:
        The description.

    Raises:
        LipfaultError: If the file is no table or is damaged, a column is there twice, or an option
            names no column.
    """
    with opened(path) as file:
        names = file.schema_arrow.names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise LipfaultError(f'{path}: column {twice[0]!r} is there twice')
        for option, name in {'time': options.time, 'episode': episode}.items():
            if name is not None and name not in names:
                raise LipfaultError(
                    f'{path}: {option}: no column {name!r}; there are {listed(names)}'
                )
        by = episode or next((name for name in _EPISODE_NAMES if name in names), None)
        time = find_time(file, options, str(path))
        scalars: dict[str, str] = {}
        lists: dict[str, int] = {}
        skipped: dict[str, str] = {}
        for column in file.schema_arrow:
            if column.name in (time, by):
                continue
            found = _count(file, column)
            if isinstance(found, str):
                skipped[column.name] = found
            elif _value_type(column.type) is column.type:
                scalars[column.name] = _dtype(column.type)
            else:
                lists[column.name] = found
        rows, rate = file.metadata.num_rows, options.rate('')
        return Table(path, rows, scalars, lists, skipped, time, by, rate)


def find_time(file: pq.ParquetFile, options: StampOptions, where: str) -> str | None:
    """Return the column of the time stamps.

    Args:
        file: The open table.
        options: Where the time stamps are.
        where: The file, for messages.

    Returns:
        The stated column; else the first with a name such as `timestamp`, those of a type of time
        before numbers and these before dates as text; else the only one of a type of time. None if
        a rate is stated, or there is none.

    Raises:
        LipfaultError: If the stated column holds no stamps.
    """
    types = {column.name: column.type for column in file.schema_arrow}
    if options.time is not None:
        kind = types[options.time]
        if not _is_number(kind) and not _is_time(kind) and not _is_dates(file, options.time, kind):
            raise LipfaultError(f'{where}: time: column {options.time!r} holds {kind}, not stamps')
        return options.time
    if options.rate_hz is not None:
        return None
    typed = [name for name, kind in types.items() if _is_time(kind)]
    named = [name for name in typed if is_time_name(name)]
    named += [name for name, kind in types.items() if is_time_name(name) and _is_number(kind)]
    named += [n for n, kind in types.items() if is_time_name(n) and _is_dates(file, n, kind)]
    return named[0] if named else typed[0] if len(typed) == 1 else None


def numbers(
    column: pa.Array, count: int | None, where: str, first_row: int
) -> npt.NDArray[np.float64]:
    """Convert rows of a column to numbers.

    Args:
        column: The rows.
        count: Number of values in a row of lists, None for a column of numbers.
        where: File, episode and column, for messages.
        first_row: Row of the first one, for messages.

    Returns:
        Values (samples, channels) float64; NaN where a value is empty.

    Raises:
        LipfaultError: If a row holds another number of values.
    """
    if count is None:
        return _floats(column)[:, None]
    present = column.is_valid().to_numpy(zero_copy_only=False)
    if not pa.types.is_fixed_size_list(column.type):
        lengths = column.value_lengths().fill_null(count).to_numpy(zero_copy_only=False)
        if (wrong := lengths != count).any():
            row = int(wrong.argmax())
            raise LipfaultError(
                f'{where}: row {first_row + row} holds {lengths[row]} values, expected {count}'
            )
    values = np.full((len(column), count), np.nan)
    values[present] = _floats(column.drop_null().flatten()).reshape(-1, count)
    return values


def infer(name: str, stamps: pa.Array) -> str:
    """Infer the unit of stamps that are numbers, see `stamps.infer_unit`.

    Args:
        name: Name of the column.
        stamps: First stamps.

    Returns:
        A unit; `s` for stamps that have a type of time or are text.
    """
    return infer_unit(name, _floats(stamps)) if _is_number(stamps.type) else 's'


def seconds(stamps: pa.Array, unit: str, where: str, first_row: int) -> npt.NDArray[np.float64]:
    """Convert a column of stamps to seconds.

    Args:
        stamps: Numbers in `unit`, values of a type of time, or dates as text.
        unit: Unit of numbers.
        where: File, episode and column, for messages.
        first_row: Row of the first one, for messages.

    Returns:
        Seconds (samples,) float64, NaN for an empty stamp; of a time with a date since 1970-01-01
        UTC.

    Raises:
        LipfaultError: If a text is no date; names the row.
    """
    if pa.types.is_string(stamps.type) or pa.types.is_large_string(stamps.type):
        return text_to_seconds(stamps, '', where, first_row)
    empty = stamps.is_null().to_numpy(zero_copy_only=False)
    if _is_time(stamps.type):
        # Stored as integers, those with a time zone in UTC.
        is_short = pa.types.is_time32(stamps.type)
        unit, stamps = stamps.type.unit, stamps.cast(pa.int32() if is_short else pa.int64())
    if pa.types.is_integer(stamps.type):
        values = to_seconds(stamps.fill_null(0).to_numpy(zero_copy_only=False), unit)
    else:
        values = to_seconds(_floats(stamps), unit)
    return np.where(empty, np.nan, values)


def _count(file: pq.ParquetFile, column: pa.Field) -> int | str:
    """Return the number of values in a row, or why the column is not read."""
    value_type = _value_type(column.type)
    if pa.types.is_temporal(value_type):
        return f'times ({value_type}); name the column with the reader option time to use it'
    if pa.types.is_string(value_type) or pa.types.is_large_string(value_type):
        return 'text; numbers that are written as text are not converted'
    if not _is_number(value_type):
        return f'{column.type}, not numbers'
    if value_type is column.type:
        return 1
    if pa.types.is_fixed_size_list(column.type):
        return _bounded(column.type.list_size)
    for batch in file.iter_batches(batch_size=1024, columns=[column.name]):
        lengths = batch[column.name].value_lengths().drop_null().to_numpy()
        if len(lengths):
            shortest, longest = int(lengths.min()), int(lengths.max())
            if shortest != longest:
                return f'lists of {shortest} to {longest} values, not of a fixed number'
            return _bounded(shortest)
    return 'empty in all rows'


def _bounded(count: int) -> int | str:
    if 0 < count <= MOST_CHANNELS:
        return count
    return f'lists of {count} values; a series has 1 to {MOST_CHANNELS}'


def _dtype(kind: pa.DataType) -> str:
    return 'float64' if pa.types.is_decimal(kind) else _FLOATS.get(str(kind), str(kind))


def _value_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of a list, else the type itself."""
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return kind.value_type if any(is_list(kind) for is_list in lists) else kind


def _is_number(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    return any(is_kind(kind) for is_kind in tests)


def _is_time(kind: pa.DataType) -> bool:
    tests = (pa.types.is_timestamp, pa.types.is_duration, pa.types.is_time)
    return any(is_kind(kind) for is_kind in tests)


def _is_dates(file: pq.ParquetFile, name: str, kind: pa.DataType) -> bool:
    """Return whether a column of text begins with a date."""
    if not pa.types.is_string(kind) and not pa.types.is_large_string(kind):
        return False
    batch = next(file.iter_batches(batch_size=1, columns=[name]), None)
    first = None if batch is None else batch[name][0].as_py()
    return first is not None and is_time_text(first)


def _floats(values: pa.Array) -> npt.NDArray[np.float64]:
    converted = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(converted, np.float64)
