"""What a run folder holds, read for the report."""

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipfault.errors import LipfaultError
from lipfault.report.results import Results


@dataclass(frozen=True)
class Curve:
    """One logged quantity over training.

    Args:
        step: (n,) optimizer steps, float64.
        value: (n,) what was logged at each of them, float64.
    """

    step: NDArray[np.float64]
    value: NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """The parts of a run folder that a report is made of; absent files are empty parts.

    Args:
        folder: The run folder.
        metrics: Flat keys and numbers of `metrics.json`.
        history: Columns of `metrics.csv` that hold a number anywhere; of a resumed run, of the logs
            of all its parts.
        results: Samples and scores of `results.npz`.
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
        """2 where faults were detected or corrected, else 1."""
        keys = (*self.metrics, *self.results.arrays)
        return 2 if any(key.startswith(('detection/', 'recovery/', 'seen/')) for key in keys) else 1


def load_run(folder: Path) -> Run:
    """Read a run folder; only a folder without any metrics is refused.

    Args:
        folder: Run folder, with `metrics.json` (after a test), `metrics.csv` (after training), or
            both.

    Raises:
        LipfaultError: If the folder or both metrics files are missing, or a file is damaged.
    """
    if not folder.is_dir():
        raise LipfaultError(f'{folder}: no such run folder')
    if not (folder / 'metrics.json').exists() and not (folder / 'metrics.csv').exists():
        raise LipfaultError(
            f'{folder}: holds neither metrics.json (written by lipfault test) nor metrics.csv '
            '(written by lipfault fit), so there is nothing to report; is it a run folder?'
        )
    config = folder / 'lipfault_config.yaml'
    return Run(
        folder=folder,
        metrics=_numbers(_read_json(folder / 'metrics.json')),
        history=_read_history(folder),
        results=Results.load(folder / 'results.npz'),
        config=config.read_text(encoding='utf-8') if config.exists() else '',
        environment=_read_json(folder / 'environment.json'),
    )


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, empty where there is no file."""
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise LipfaultError(f'{path}: not valid JSON: {error}') from error
    if not isinstance(content, dict):
        raise LipfaultError(f'{path}: must hold one JSON object, got {type(content).__name__}')
    return content


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """The entries that are numbers; null counts as NaN."""
    return {
        key: math.nan if value is None else float(value)
        for key, value in metrics.items()
        if value is None or isinstance(value, int | float)
    }


def _read_history(folder: Path) -> dict[str, Curve]:
    """The columns of Lightning's sparse CSV logs, each without its empty cells.

    A resumed run has a log for each part (`metrics.part1.csv`, ..., at last `metrics.csv`); what a
    part repeats of the one before stands in its place.
    """
    parts = sorted(folder.glob('metrics.part*.csv'), key=lambda part: (len(part.name), part.name))
    points: dict[str, list[tuple[float, float]]] = {}
    for path in (*parts, folder / 'metrics.csv'):
        part = _read_log(path) if path.exists() else {}
        begin = min((pairs[0][0] for pairs in part.values()), default=math.inf)
        for column in dict.fromkeys([*points, *part]):  # in the order of the logs
            kept = [pair for pair in points.get(column, []) if pair[0] < begin]
            points[column] = kept + part.get(column, [])
    return {
        column: Curve(*np.asarray(pairs, dtype=np.float64).T)
        for column, pairs in points.items()
        if pairs
    }


def _read_log(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Steps and values by column of one log."""
    points: dict[str, list[tuple[float, float]]] = {}
    with path.open(newline='', encoding='utf-8') as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            for column, cell in row.items():
                if cell and column not in ('epoch', 'step'):
                    try:
                        point = (float(row.get('step') or math.nan), float(cell))
                    except (TypeError, ValueError) as error:
                        raise LipfaultError(
                            f'{path}, line {number}, column {column!r}: not a number: {cell!r}'
                        ) from error
                    points.setdefault(column, []).append(point)
    return points
