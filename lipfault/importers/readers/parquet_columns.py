"""Columns of a Parquet table as fields, numbers and time stamps."""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lipfault.errors import LipfaultError
from lipfault.importers.readers.source_base import MOST_CHANNELS
from lipfault.importers.readers.stamps import StampOptions, is_time_name, to_seconds
from lipfault.importers.source import Field


def describe(
    file: pq.ParquetFile, others: Collection[str | None], skipped: dict[str, str]
) -> dict[str, Field]:
    """Return the fields of a table.

    Args:
        file: The open table.
        others: Columns of stamps and of episodes, which are no fields.
        skipped: Gets the reason for each column that is no field.

    Returns:
        The fields by name, in the order of the columns.
    """
    fields: dict[str, Field] = {}
    for column in file.schema_arrow:
        if column.name in others:
            continue
        found = _count(file, column)
        if isinstance(found, str):
            skipped[column.name] = found
            continue
        channels = [f'{column.name}_{n}' for n in range(found)]
        value_type = _value_type(column.type)
        is_list = value_type is not column.type
        decimal = pa.types.is_decimal(value_type)
        fields[column.name] = Field(
            name=column.name,
            kind='series',
            channels=tuple(channels) if is_list else (column.name,),
            units=('',) * found,
            dtype='float64' if decimal else np.dtype(value_type.to_pandas_dtype()).name,
        )
    return fields


def find_time(schema: pa.Schema, options: StampOptions, where: str) -> str | None:
    """Return the column of the time stamps.

    Args:
        schema: Columns of the table.
        options: Where the time stamps are.
        where: The file, for messages.

    Returns:
        The stated column; else the first with a name such as `timestamp`, those of a type of time
        before numbers; else the only one of a type of time. None if a rate is stated for all
        fields, or there is none.

    Raises:
        LipfaultError: If the stated column holds no stamps.
    """
    types = {column.name: column.type for column in schema}
    if options.time is not None:
        if not _is_number(types[options.time]) and not _is_time(types[options.time]):
            raise LipfaultError(
                f'{where}: time: column {options.time!r} holds {types[options.time]}, not stamps'
            )
        return options.time
    if options.rate_hz is not None:
        return None
    typed = [name for name, kind in types.items() if _is_time(kind)]
    named = [name for name in typed if is_time_name(name)]
    named += [name for name, kind in types.items() if is_time_name(name) and _is_number(kind)]
    return named[0] if named else typed[0] if len(typed) == 1 else None


def numbers(column: pa.Array, field: Field, where: str, first_row: int) -> npt.NDArray[np.float64]:
    """Convert rows of a column to numbers.

    Args:
        column: The rows.
        field: Description of the column.
        where: File, episode and column, for messages.
        first_row: Row of the first one, for messages.

    Returns:
        Values (samples, channels) float64; NaN where a value is empty.

    Raises:
        LipfaultError: If a row holds another number of values.
    """
    count = len(field.channels)
    if _value_type(column.type) is column.type:
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


def seconds(stamps: pa.Array, unit: str, where: str, first_row: int) -> npt.NDArray[np.float64]:
    """Convert a column of stamps to seconds.

    Args:
        stamps: Numbers in `unit`, or values of a type of time.
        unit: Unit of numbers.
        where: File, episode and column, for messages.
        first_row: Row of the first one, for messages.

    Returns:
        Seconds (samples,) float64; of a time with a zone, or with a date, since 1970-01-01 UTC.

    Raises:
        LipfaultError: If a stamp is empty or not finite; names the row.
    """
    if stamps.null_count:
        row = int(np.argmax(stamps.is_null().to_numpy(zero_copy_only=False)))
        raise LipfaultError(f'{where}: row {first_row + row} has no time stamp')
    if _is_time(stamps.type):
        # Stored as integers, those with a time zone in UTC.
        unit, stamps = stamps.type.unit, stamps.cast(_integers(stamps.type))
    elif pa.types.is_decimal(stamps.type):
        stamps = stamps.cast(pa.float64())
    return to_seconds(stamps.to_numpy(zero_copy_only=False), unit, where, first_row)


def _integers(kind: pa.DataType) -> pa.DataType:
    return pa.int32() if pa.types.is_time32(kind) else pa.int64()


def _count(file: pq.ParquetFile, column: pa.Field) -> int | str:
    """Return the number of values in a row, or why the column is no field."""
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


def _floats(values: pa.Array) -> npt.NDArray[np.float64]:
    converted: npt.NDArray[np.float64] = values.cast(pa.float64(), safe=False).to_numpy(
        zero_copy_only=False
    )
    return np.asarray(converted, np.float64)
