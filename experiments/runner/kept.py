"""Measurements of runs: from run folders, and from committed files for runs made elsewhere."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from experiments.runner.execute import wanted_state
from experiments.runner.results import device_of, tested, version_of, write_json, write_results
from experiments.runner.run import Run
from experiments.runner.state import check_unchanged, read_state
from lipfault.errors import LipfaultError
from lipfault.report.run import renamed

FILE = 'runs.json'
"""File beside the results of an experiment: measurements by name of the run."""

Values = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """Measurements of one run.

    Args:
        run: Name of the run.
        hash: Hash of its configuration.
        device: Device that trained it.
        values: Measurements, plain values.
        made_with: Version of lipfault that trained it; empty if not recorded.
    """

    run: str
    hash: str
    device: str
    values: Values
    made_with: str = ''


Columns = dict[str, dict[str, Measured]]
"""Measurements by column of a table, and seed."""


def ready(run: Run) -> bool:
    """Return whether a run on this machine is tested.

    Args:
        run: The run.

    Raises:
        LipfaultError: If it is tested, but with another configuration than today's.
    """
    state = read_state(run.folder) if tested(run) else None
    if state is not None:
        check_unchanged(state, wanted_state(run), run.folder)
    return state is not None


def gathered(
    columns: Mapping[str, Mapping[int, Run]], folder: Path, measure: Callable[[Run], Values]
) -> Columns:
    """Measure the runs on this machine; for other runs use the measurements kept in a folder.

    Args:
        columns: Runs by column of a table, and seed.
        folder: Folder in which `keep` has left earlier measurements, perhaps of other machines.
        measure: Measures a tested run. Kept measurements have no format version: a report must
            accept that measurements added later are missing from older entries.

    Returns:
        Measurements by column and seed, without runs that are neither here nor kept.

    Raises:
        LipfaultError: If a run on this machine has another configuration than today's, or the
            kept file is not readable.
    """
    known = _read(folder)
    found: Columns = {}
    for column, runs in columns.items():
        for seed, run in runs.items():
            # A run on this machine counts more than a kept measurement of another training.
            if ready(run):
                digest, values = wanted_state(run).hash, measure(run)
                measured = Measured(run.name, digest, device_of(run), values, version_of(run))
                _warn_replaced(known.get(run.name), measured)
            elif _of_today(known, run):
                measured = known[run.name]
            else:
                continue
            found.setdefault(column, {})[str(seed)] = measured
    return found


def _warn_replaced(before: Measured | None, now: Measured) -> None:
    """Warn that a committed measurement is replaced by one of another training."""
    if before is not None and before.device != now.device:
        sys.stderr.write(
            f'{now.run}: the run on this machine ({now.device}) takes the place of the one '
            f'in {FILE} ({before.device})\n'
        )


def known_of(columns: Mapping[str, Mapping[int, Run]], folder: Path) -> Columns:
    """Return the measurements kept in a folder, without opening run folders.

    Serves to read the results of another experiment.

    Args:
        columns: Runs by column of a table, and seed.
        folder: Folder in which `keep` has left measurements.
    """
    known = _read(folder)
    return {
        column: {str(seed): known[run.name] for seed, run in runs.items() if _of_today(known, run)}
        for column, runs in columns.items()
    }


def _of_today(known: Mapping[str, Measured], run: Run) -> bool:
    return run.name in known and known[run.name].hash == wanted_state(run).hash


def keep(folder: Path, *found: Columns) -> None:
    """Write measurements for later reports; nothing is written if there are none.

    Args:
        folder: Folder of the results.
        found: Measurements, which replace all that the folder kept before.
    """
    runs = {}
    for measured in (m for columns in found for m in each(columns)):
        fields = asdict(measured)
        name = fields.pop('run')
        # Older entries have no version; absent and empty are the same.
        if not fields['made_with']:
            del fields['made_with']
        runs[name] = fields
    if runs:
        write_json(folder / FILE, runs, in_order=True)


def publish(folder: Path, values: Mapping[str, Any], lines: list[str], *found: Columns) -> None:
    """Write the results of an experiment and keep the measurements behind them.

    Args:
        folder: Folder of the results.
        values: Content of `results.json`.
        lines: Lines of the page; ignored if there are no values.
        found: Measurements of the runs.
    """
    lines = lines if values else ['No run is done yet.']
    write_results(folder, values, lines, devices=devices_of(*found), versions=versions_of(*found))
    keep(folder, *found)


def each(columns: Columns) -> Iterator[Measured]:
    """Yield the measurements of all runs.

    Args:
        columns: Measurements by column and seed.
    """
    for seeds in columns.values():
        yield from seeds.values()


def values_of(columns: Columns) -> dict[str, dict[str, Values]]:
    """Return the values alone, by column and seed.

    Args:
        columns: Measurements by column and seed.
    """
    return {c: {seed: m.values for seed, m in seeds.items()} for c, seeds in columns.items()}


def devices_of(*found: Columns) -> Iterable[str]:
    """Return the device that trained each run.

    Args:
        found: Measurements by column and seed.
    """
    return [m.device for columns in found for m in each(columns)]


def versions_of(*found: Columns) -> Iterable[str]:
    """Return the version of lipfault that trained each run, where it is recorded.

    Args:
        found: Measurements by column and seed.
    """
    return [m.made_with for columns in found for m in each(columns) if m.made_with]


def _renamed(measured: Measured) -> Measured:
    """Rename metrics of an older version, also those one level deeper."""
    values = {k: renamed(v) if isinstance(v, dict) else v for k, v in measured.values.items()}
    return replace(measured, values=renamed(values))


def _read(folder: Path) -> dict[str, Measured]:
    file = folder / FILE
    try:
        # An entry with other fields raises TypeError: the file is of another format.
        runs = json.loads(file.read_text()) if file.exists() else {}
        return {name: _renamed(Measured(name, **fields)) for name, fields in runs.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise LipfaultError(f'{file} is not readable ({error}): remove it') from error
