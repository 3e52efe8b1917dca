"""Convert time stamps of tables to seconds."""

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lipfault.errors import LipfaultError

TIME_UNITS = {'s': 1.0, 'sec': 1.0, 'ms': 1e-3, 'us': 1e-6, 'µs': 1e-6, 'ns': 1e-9}
"""Seconds of each unit of numeric stamps."""

# Smallest size of an epoch of this century in nano-, micro- and milliseconds: 2001-09-09.
_EPOCHS = ((1e18, 'ns'), (1e15, 'us'), (1e12, 'ms'))


def is_time_text(text: str) -> bool:
    """Return whether a text is a date with a time, as of ISO 8601.

    Args:
        text: The text.
    """
    try:
        datetime.fromisoformat(text.strip())
    except ValueError:
        return False
    return not text.strip().isdigit()


def to_seconds(column: pa.Array, unit: str, where: str, first_row: int) -> npt.NDArray[np.float64]:
    """Convert stamps to seconds.

    Numbers without a unit count as seconds, or as milli-, micro- or nanoseconds if they are an
    epoch of this century in that unit. Text is a date with a time as of ISO 8601; without an offset
    it counts as UTC.

    Args:
        column: Numbers or text.
        unit: Unit of numbers, empty if unknown.
        where: File and column, for messages.
        first_row: Line of the first stamp.

    Returns:
        (rows,) float64, NaN where the stamp is empty.

    Raises:
        LipfaultError: If a text is no date; names file, column and line.
    """
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        numbers = np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
        unit = unit or unit_of(numbers)
        # A quotient of integers is exact where a product with 1e-3 is not.
        return numbers / round(1 / TIME_UNITS[unit])
    found = np.empty(len(column))
    for row, text in enumerate(column.to_pylist()):
        found[row] = np.nan if text is None else _parsed(text, where, first_row + row)
    return found


def unit_of(numbers: npt.NDArray[np.float64]) -> str:
    """Return the unit of stamps by their size: that of an epoch, else seconds.

    Args:
        numbers: The stamps.

    Example:
        >>> unit_of(np.array([1.7e12]))
        'ms'
    """
    finite = numbers[np.isfinite(numbers)]
    size = float(np.median(finite)) if len(finite) else 0.0
    return next((unit for least, unit in _EPOCHS if size >= least), 's')


def _parsed(text: str, where: str, row: int) -> float:
    try:
        stamp = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise LipfaultError(
            f'{where}, line {row}: {text!r} is no number and no date as of ISO 8601'
        ) from error
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
