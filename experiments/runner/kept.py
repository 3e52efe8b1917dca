"""Figures of runs that are here, and of those for which a committed file still speaks."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.runner.execute import wanted_state
from experiments.runner.results import device_of, tested, write_json, write_results
from experiments.runner.run import Run
from experiments.runner.state import check_unchanged, read_state
from lipfault.errors import LipfaultError

FILE = 'runs.json'
"""Beside the results of an experiment: by name of a run what was measured of it."""

Values = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """What was measured of a run.

    Args:
        run: Its name.
        hash: Of the configuration with which it was.
        device: On what it was trained.
        values: Plain ones.
    """

    run: str
    hash: str
    device: str
    values: Values


Columns = dict[str, dict[str, Measured]]
"""By column of a table, and seed."""


def ready(run: Run) -> bool:
    """Whether a run has come to its end, with the configuration of today.

    Raises:
        LipfaultError: If it was of another configuration.
    """
    state = read_state(run.folder) if tested(run) else None
    if state is not None:
        check_unchanged(state, wanted_state(run), run.folder)
    return state is not None


def gathered(
    columns: Mapping[str, Mapping[int, Run]], folder: Path, measure: Callable[[Run], Values]
) -> Columns:
    """Measure the runs that are tested; of the others keep what is known of today's configuration.

    Args:
        columns: Runs by column of a table, and seed.
        folder: Where `keep` has left what was measured earlier, perhaps on another machine.
        measure: Measures a tested run. What it measures has no version: a report must live with
            kept values that lack what was not yet measured then.

    Raises:
        LipfaultError: If a run that is here was of another configuration, or what is kept is not
            readable.
    """
    known = _read(folder)
    found: Columns = {}
    for column, runs in columns.items():
        for seed, run in runs.items():
            if ready(run):
                measured = Measured(run.name, wanted_state(run).hash, device_of(run), measure(run))
                _tell_replaced(known.get(run.name), measured)
            elif _of_today(known, run):
                measured = known[run.name]
            else:
                continue
            found.setdefault(column, {})[str(seed)] = measured
    return found


def _tell_replaced(before: Measured | None, now: Measured) -> None:
    """What was committed is not lost unnoticed to another training of the same run."""
    if before is not None and before.device != now.device:
        sys.stderr.write(
            f'{now.run}: the run on this machine ({now.device}) takes the place of the one '
            f'in {FILE} ({before.device})\n'
        )


def known_of(columns: Mapping[str, Mapping[int, Run]], folder: Path) -> Columns:
    """What a folder knows of runs, without looking at them: the results of another experiment.

    Args:
        columns: Runs by column of a table, and seed.
        folder: Where `keep` has left what was measured.
    """
    known = _read(folder)
    return {
        column: {str(seed): known[run.name] for seed, run in runs.items() if _of_today(known, run)}
        for column, runs in columns.items()
    }


def _of_today(known: Mapping[str, Measured], run: Run) -> bool:
    return run.name in known and known[run.name].hash == wanted_state(run).hash


def keep(folder: Path, *found: Columns) -> None:
    """Leave what was measured for later reports in the place of what was there, if there is any."""
    runs = {m.run: asdict(m) for columns in found for m in each(columns)}
    for fields in runs.values():
        fields.pop('run')
    if runs:
        write_json(folder / FILE, runs, in_order=True)


def publish(folder: Path, values: Mapping[str, Any], lines: list[str], *found: Columns) -> None:
    """Write what was made of runs, on what they were trained, and what is kept of them.

    Args:
        folder: Where results go.
        values: What `results.json` holds.
        lines: Of the page; that nothing is done if there are none.
        found: What was measured.
    """
    lines = lines if values else ['No run is done yet.']
    write_results(folder, values, lines, devices=devices_of(*found))
    keep(folder, *found)


def each(columns: Columns) -> Iterator[Measured]:
    """All runs of all columns."""
    for seeds in columns.values():
        yield from seeds.values()


def values_of(columns: Columns) -> dict[str, dict[str, Values]]:
    """The values alone, by column and seed."""
    return {c: {seed: m.values for seed, m in seeds.items()} for c, seeds in columns.items()}


def devices_of(*found: Columns) -> Iterable[str]:
    """On what each run was trained."""
    return [m.device for columns in found for m in each(columns)]


def _read(folder: Path) -> dict[str, Measured]:
    file = folder / FILE
    try:
        runs = json.loads(file.read_text()) if file.exists() else {}
        return {name: Measured(name, **fields) for name, fields in runs.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise LipfaultError(f'{file} is not readable ({error}): remove it') from error
