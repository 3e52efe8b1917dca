"""Figures of runs that are here, and of those for which a committed file still speaks."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments.runner.execute import wanted_state
from experiments.runner.results import tested
from experiments.runner.run import Run
from experiments.runner.state import check_unchanged, read_state

Measured = dict[str, Any]
Columns = dict[str, dict[str, Measured]]
"""What was measured of a run, by column of a table and seed."""


def ready(run: Run) -> bool:
    """Whether a run has come to its end, with the configuration of today.

    Raises:
        LipfaultError: If it was of another configuration.
    """
    state = read_state(run.folder) if tested(run) else None
    if state is not None:
        check_unchanged(state, wanted_state(run), run.folder)
    return state is not None


def read_json(file: Path) -> dict[str, Any]:
    """What a file of results holds; nothing if there is none."""
    return dict(json.loads(file.read_text())) if file.exists() else {}


def gathered(
    columns: Mapping[str, Mapping[int, Run]],
    known: Mapping[str, Mapping[str, Measured]],
    hashes: Mapping[str, str],
    measure: Callable[[Run], Measured],
) -> tuple[Columns, dict[str, str]]:
    """Measure the runs that are tested; of the others keep what is known of today's configuration.

    Args:
        columns: Runs by column of a table, and seed.
        known: What was measured earlier, perhaps on another machine.
        hashes: Hash of the configuration with which it was, by name of the run.
        measure: Measures a tested run.

    Returns:
        What is measured or kept, and the hashes of these runs.

    Raises:
        LipfaultError: If a run that is here was of another configuration.
    """
    found: Columns = {}
    kept: dict[str, str] = {}
    for column, runs in columns.items():
        for seed, run in runs.items():
            measured = known.get(column, {}).get(str(seed))
            if ready(run):
                measured = measure(run)
            elif measured is None or hashes.get(run.name) != wanted_state(run).hash:
                continue
            found.setdefault(column, {})[str(seed)] = measured
            kept[run.name] = wanted_state(run).hash
    return found, kept
