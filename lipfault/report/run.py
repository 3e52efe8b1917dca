"""Read the files of a run folder for the report."""

import csv
import io
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lipfault.errors import LipfaultError
from lipfault.report.results import Results
from lipfault.runs.layout import RunFolder
from lipfault.runs.reading import LARGEST_CONFIG, read_json, read_text, require_printable

LARGEST_RESULTS = 1 << 30
"""Bytes of the largest results, unpacked; a test of the shipped set writes 5 MB."""

_DAMAGED = (
    OSError, ValueError, TypeError, KeyError, EOFError, AttributeError, RuntimeError, MemoryError,
    SyntaxError, OverflowError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What NumPy and zipfile raise for damaged archives."""

Entry = TypeVar('Entry')


@dataclass(frozen=True)
class Curve:
    """One logged quantity over the training.

    Args:
        step: (n,) optimizer steps, float64.
        value: (n,) logged values, float64.
    """

    step: NDArray[np.float64]
    value: NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """Content of a run folder as the report uses it; a missing file is an empty field.

    Args:
        folder: The run folder.
        metrics: Flat keys and values of `metrics.json`.
        history: Numeric columns of `metrics.csv`, and of the earlier logs of a resumed run.
        results: Arrays of `results.npz`.
        config: Text of `lipfault_config.yaml`.
        environment: Content of `environment.json`: versions, seed, command.
    """

    folder: Path
    metrics: dict[str, float]
    history: dict[str, Curve]
    results: Results
    config: str
    environment: dict[str, Any]

    @property
    def stage(self) -> int:
        """Return 2 if the run has metrics of detection or correction, else 1."""
        keys = (*self.metrics, *self.results.arrays)
        return 2 if any(key.startswith(('detection/', 'recovery/', 'seen/')) for key in keys) else 1

    def interval(self, key: str) -> tuple[float, float] | None:
        """Return the 95 % interval of a metric.

        Args:
            key: Key of the metric.

        Returns:
            Lower and upper end; None if the test measured none.
        """
        low, high = (self.metrics.get(f'{key}_{end}', math.nan) for end in ('low', 'high'))
        return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def load_run(folder: Path) -> Run:
    """Read a run folder.

    Args:
        folder: Run folder with `metrics.json` (written by a test), `metrics.csv` (written by a
            training), or both.

    Returns:
        Content of the folder.

    Raises:
        LipfaultError: If the folder or both metrics files are missing, or a file is damaged.
    """
    if not folder.is_dir():
        raise LipfaultError(f'{folder}: no such run folder')
    if not (folder / 'metrics.json').exists() and not (folder / 'metrics.csv').exists():
        raise LipfaultError(
            f'{folder}: holds neither metrics.json (written by lipfault test) nor metrics.csv '
            '(written by lipfault fit); is it a run folder?'
        )
    files = RunFolder(folder)
    return Run(
        folder=folder,
        metrics=renamed(_numeric_entries(_read_json(files.metrics), files.metrics)),
        history=renamed(_read_history(files)),
        results=load_results(files.results),
        config=read_text(files.config, LARGEST_CONFIG) if files.config.exists() else '',
        environment=_read_json(files.environment),
    )


def renamed(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Rename entries that an older version of lipfault wrote under the key of another metric.

    Up to 0.2.0 `corrector/energy_left` was the pooled ratio, which `corrector/energy_left_pooled`
    is now. A run without that key is of such a version.

    Args:
        entries: Entries by key of the metric, with or without `val/` before it.

    Returns:
        The entries under the keys of this version, in the same order.

    Example:
        >>> renamed({'corrector/energy_left': 0.1, 'corrector/energy_left_unseen': 0.2})
        {'corrector/energy_left_pooled': 0.1, 'corrector/energy_left_pooled_unseen': 0.2}
    """
    if any('corrector/energy_left_pooled' in key for key in entries):
        return dict(entries)
    old = re.compile(r'(?<=corrector/energy_left)(?=$|_unseen$)')
    return {old.sub('_pooled', key): entry for key, entry in entries.items()}


def load_results(path: Path) -> Results:
    """Read all arrays of a results file into memory.

    Args:
        path: The `.npz` file.

    Returns:
        Its arrays, none if the file does not exist.

    Raises:
        LipfaultError: If the file is damaged or holds pickled objects.
    """
    if not path.exists():
        return Results({})
    try:
        _require_small(path)
        # Unpickling would execute code of the file.
        with path.open('rb') as file, np.load(file, allow_pickle=False) as content:
            results = Results({key: content[key] for key in content.files})
    except _DAMAGED as error:
        raise LipfaultError(f'{path}: damaged results: {error}') from error
    texts = {
        key: array.tolist() for key, array in results.arrays.items() if array.dtype.kind == 'U'
    }
    require_printable(texts, str(path))
    return results


def _require_small(path: Path) -> None:
    """Refuse an archive that unpacks to more than any test writes."""
    if not path.is_file():
        raise LipfaultError(f'{path}: damaged results: it is no regular file')
    with zipfile.ZipFile(path) as archive:
        # zipfile unpacks no more of a member than this size, whatever the member holds.
        size = sum(member.file_size for member in archive.infolist())
    if size > LARGEST_RESULTS:
        raise LipfaultError(
            f'{path}: unpacks to {size} bytes; results have at most {LARGEST_RESULTS}'
        )


def _read_json(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file, empty if the file does not exist."""
    return read_json(path) if path.exists() else {}


def _numeric_entries(metrics: dict[str, Any], path: Path) -> dict[str, float]:
    """Return the numeric entries; null becomes NaN, which JSON cannot express."""
    try:
        return {
            key: math.nan if value is None else float(value)
            for key, value in metrics.items()
            if value is None or isinstance(value, int | float)
        }
    except OverflowError as error:
        raise LipfaultError(f'{path}: holds a number that is too large') from error


def _read_history(run: RunFolder) -> dict[str, Curve]:
    """Return the columns of Lightning's sparse CSV logs without their empty cells.

    A resumed run has one log per part (`metrics.part1.csv`, ..., last `metrics.csv`). Rows that a
    part logs again replace those of the part before.
    """
    points: dict[str, list[tuple[float, float]]] = {}
    for path in (*run.history_parts, run.history):
        part = _read_log(path) if path.exists() else {}
        begin = min((pairs[0][0] for pairs in part.values()), default=math.inf)
        for column in dict.fromkeys([*points, *part]):  # a set would have no fixed order
            kept = [pair for pair in points.get(column, []) if pair[0] < begin]
            points[column] = kept + part.get(column, [])
    return {
        column: Curve(*np.asarray(pairs, dtype=np.float64).T)  # (n, 2) to two arrays (n,)
        for column, pairs in points.items()
        if pairs
    }


def _read_log(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Return (step, value) pairs of one CSV log by column."""
    points: dict[str, list[tuple[float, float]]] = {}
    text = read_text(path)
    # A killed training may have left a part of its last line.
    whole = text[: text.rfind('\n') + 1] or text
    reader = csv.DictReader(io.StringIO(whole, newline=''))
    try:
        # Line 1 is the header.
        for number, row in enumerate(reader, start=2):
            for column, cell in row.items():
                if cell and column not in ('epoch', 'step'):
                    points.setdefault(column, []).append(_point(row, column, cell, path, number))
    except csv.Error as error:
        raise LipfaultError(f'{path}, line {reader.line_num}: no CSV: {error}') from error
    require_printable(list(points), str(path))
    return points


def _point(
    row: Mapping[str, str],
    column: object,
    cell: str,
    path: Path,
    number: int,
) -> tuple[float, float]:
    """Return step and value of a cell."""
    try:
        return float(row.get('step') or math.nan), float(cell)
    except (TypeError, ValueError) as error:
        raise LipfaultError(
            f'{path}, line {number}, column {column!r}: not a number: {cell!r}'
        ) from error
