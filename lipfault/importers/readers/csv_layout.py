"""Recognize delimiter, decimal mark, header and types of the columns of a CSV file."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lipfault.errors import LipfaultError
from lipfault.importers.readers.times import TIME_UNITS, is_time_text

# Bytes from which a table is recognized.
_SAMPLE = 1 << 18
_DELIMITERS = (',', ';', '\t', '|')
_TIME_NAMES = re.compile(
    r'(time|t|timestamp|time_?stamp|stamp|date_?time|datetime|date|epoch|utc|seconds|secs?|zeit)'
    r'(_?(s|ms|us|ns|sec|utc))?',
    re.IGNORECASE,
)
_UNIT = re.compile(r'^(?P<name>.*?)\s*[\[(](?P<unit>[^\[\]()]*)[\])]\s*$')
MISSING = ('', 'nan', 'NaN', 'NAN', 'NA', 'N/A', 'n/a', 'null', 'NULL', 'None', '-', '#N/A')
"""Texts of a cell without a value."""
_NUMBER = {
    '.': re.compile(r'[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?', re.IGNORECASE),
    ',': re.compile(r'[+-]?(\d+,?\d*|,\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?', re.IGNORECASE),
}


@dataclass(frozen=True)
class TableLayout:
    """How a table is to be read.

    Args:
        path: The file.
        delimiter: Character between the columns.
        decimal: Decimal mark.
        encoding: `utf8` or `latin-1`.
        header: Name of each column as written.
        first_row: Line of the first row of values, from 1 for the first line of the file.
        time: Column of the time stamps, None if there is none.
        time_unit: Unit of numeric stamps, empty if unknown.
        numeric_time: Whether the stamps are numbers.
        episode: Column of the ids of episodes, None if there is none.
        columns: Columns of numbers as written.
        channels: Their names without units.
        units: Their units, empty where not stated.
        text: Columns that are left out.
    """

    path: Path
    delimiter: str
    decimal: str
    encoding: str
    header: tuple[str, ...]
    first_row: int
    time: str | None
    time_unit: str
    numeric_time: bool
    episode: str | None
    columns: tuple[str, ...]
    channels: tuple[str, ...]
    units: tuple[str, ...]
    text: tuple[str, ...]

    @classmethod
    def read(
        cls,
        path: Path,
        time: str | None,
        time_unit: str | None,
        rate_hz: float | None,
        delimiter: str | None,
        decimal: str | None,
        episode: str | None,
    ) -> Self:
        """Read the first rows and recognize what is not stated.

        Args:
            path: The file.
            time: Column of the time stamps.
            time_unit: Their unit.
            rate_hz: Rows per second of a table without time stamps.
            delimiter: Character between the columns.
            decimal: Decimal mark.
            episode: Column of the ids of episodes.

        Returns:
            The layout.

        Raises:
            LipfaultError: If there is no header, a column is unknown or twice, no column holds
                numbers, there are no time stamps and no rate, or text stands among numbers.
        """
        text, encoding = _start(path)
        mark = delimiter or _delimiter(text)
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=mark) if row]
        header, first_row = _header(path, rows)
        body = [row for row in rows[1:] if len(row) == len(header)]
        point = decimal or _decimal(body, mark)
        stamps = _time_column(path, header, body, time, rate_hz)
        _require_column(path, header, episode, 'episode')
        kinds = {
            name: _kind(path, name, [row[number] for row in body], point, first_row)
            for number, name in enumerate(header)
            if name not in (stamps, episode)
        }
        columns = tuple(name for name, kind in kinds.items() if kind)
        if not columns:
            raise LipfaultError(
                f'{path}: no column holds numbers; the columns are {", ".join(header)} (delimiter '
                f'{mark!r}, decimal mark {point!r})'
            )
        parts = [_unit(name) for name in columns]
        numeric, unit = _time_kind(path, stamps, time_unit, header, body, point)
        return cls(
            path, mark, point, encoding, header, first_row, stamps, unit, numeric, episode, columns,
            _different(parts, columns), tuple(unit for _, unit in parts),
            tuple(name for name, kind in kinds.items() if not kind),
        )  # fmt: skip


def _start(path: Path) -> tuple[str, str]:
    """Return the first whole lines of a file and its encoding."""
    with path.open('rb') as file:
        data = file.read(_SAMPLE)
    if not data.strip():
        raise LipfaultError(f'{path}: is empty')
    if b'\0' in data:
        raise LipfaultError(f'{path}: is no table of text; it holds null bytes')
    whole = data if len(data) < _SAMPLE else data[: data.rfind(b'\n') + 1]
    try:
        return whole.decode('utf-8-sig'), 'utf8'
    except UnicodeDecodeError:
        return whole.decode('latin-1'), 'latin-1'


def _delimiter(text: str) -> str:
    """Return the delimiter that gives most lines the same number of columns, more than one."""
    lines = [line for line in text.splitlines()[:50] if line.strip()]
    best, most = ',', (0, 0)
    for mark in _DELIMITERS:
        counts = Counter(len(row) for row in csv.reader(lines, delimiter=mark))
        count, times = counts.most_common(1)[0]
        # A decimal comma makes columns, too, but the header has none of them.
        header = len(next(csv.reader(lines[:1], delimiter=mark)))
        if count > 1 and header == count and (times, count) > most:
            best, most = mark, (times, count)
    return best


def _header(path: Path, rows: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], int]:
    """Return the names of the columns and the line of the first row."""
    header = tuple(name.strip() for name in rows[0])
    if all(_NUMBER['.'].fullmatch(name) or _NUMBER[','].fullmatch(name) for name in header):
        raise LipfaultError(
            f'{path}: the first line must name the columns, got numbers: {", ".join(header[:5])}'
        )
    for number, name in enumerate(header):
        if name in header[:number]:
            raise LipfaultError(f'{path}: column {name!r} occurs twice in the first line')
    if len(rows) < 2:
        raise LipfaultError(f'{path}: has a header and no row')
    return header, 2


def _decimal(body: Sequence[Sequence[str]], delimiter: str) -> str:
    """Return the decimal mark: a comma if cells have one and none has a point."""
    if delimiter == ',':
        return '.'
    cells = [cell.strip() for row in body[:200] for cell in row]
    commas = sum(1 for cell in cells if ',' in cell and _NUMBER[','].fullmatch(cell))
    points = sum(1 for cell in cells if '.' in cell and _NUMBER['.'].fullmatch(cell))
    return ',' if commas > points else '.'


def _require_column(path: Path, header: Sequence[str], name: str | None, option: str) -> None:
    if name is not None and name not in header:
        raise LipfaultError(
            f'{path}: there is no column {name!r} ({option}); there are {", ".join(header)}'
        )


def _time_column(
    path: Path,
    header: Sequence[str],
    body: Sequence[Sequence[str]],
    stated: str | None,
    rate_hz: float | None,
) -> str | None:
    """Return the column of the time stamps."""
    _require_column(path, header, stated, 'time')
    if stated is not None:
        return stated
    named = [name for name in header if _TIME_NAMES.fullmatch(_unit(name)[0].strip())]
    if not named:
        named = [
            name for number, name in enumerate(header) if body and is_time_text(body[0][number])
        ]
    if named:
        return named[0]
    if rate_hz is None:
        raise LipfaultError(
            f'{path}: no column of time stamps is recognized among {", ".join(header)}; name it '
            "with --options '{time: COLUMN}', or state --options '{rate_hz: NUMBER}'"
        )
    return None


def _time_kind(
    path: Path,
    stamps: str | None,
    stated: str | None,
    header: Sequence[str],
    body: Sequence[Sequence[str]],
    decimal: str,
) -> tuple[bool, str]:
    """Return whether the stamps are numbers, and their unit."""
    if stated is not None and stated not in TIME_UNITS:
        raise LipfaultError(
            f'{path}: time_unit must be one of {", ".join(TIME_UNITS)}, got {stated!r}'
        )
    if stamps is None:
        return True, 's'
    cell = next((row[header.index(stamps)].strip() for row in body), '')
    if not _NUMBER[decimal].fullmatch(cell):
        return False, ''
    unit = _unit(stamps)[1] or stamps.rpartition('_')[2]
    return True, stated or (unit if unit in TIME_UNITS else '')


def _unit(name: str) -> tuple[str, str]:
    """Split `speed [m/s]` into name and unit."""
    found = _UNIT.match(name)
    return (found['name'], found['unit'].strip()) if found and found['name'] else (name, '')


def _different(parts: Sequence[tuple[str, str]], columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names without units, or as written if two would be equal."""
    names = tuple(name for name, _ in parts)
    return names if len(set(names)) == len(names) else columns


def _kind(path: Path, name: str, cells: Sequence[str], decimal: str, first_row: int) -> bool:
    """Return whether a column holds numbers; reject text among numbers."""
    texts = [cell.strip() for cell in cells]
    known = [(row, cell) for row, cell in enumerate(texts) if cell not in MISSING]
    odd = [(row, cell) for row, cell in known if not _NUMBER[decimal].fullmatch(cell)]
    if odd and 2 * len(odd) < len(known):
        row, cell = odd[0]
        other = ',' if decimal == '.' else '.'
        hint = (
            f"; with a decimal {'comma' if other == ',' else 'point'}: --options '{{decimal: "
            f'"{other}"}}\''
            if _NUMBER[other].fullmatch(cell)
            else ''
        )
        raise LipfaultError(
            f'{path}, line {row + first_row}, column {name!r}: {cell!r} is no number{hint}'
        )
    return bool(known) and not odd
