"""Definition of an experiment, and lookup by name."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from experiments.runner.run import ROOT, Run, RunTree, flattened
from lipfault.errors import LipfaultError

FOLDER = Path('experiments')
PRESETS = ('quick', 'full')


def nothing_trained(preset: str) -> RunTree:
    """Return no runs, for an experiment that trains nothing.

    Args:
        preset: `quick` or `full`.
    """
    return {}


@dataclass(frozen=True)
class Experiment:
    """A question, the runs that answer it, and the report of their results.

    Args:
        question: One sentence; the README of the experiment repeats it.
        cost: Approximate duration on two CPU cores, by preset.
        report: Writes results and figures of a preset into a folder, from the finished runs.
        columns: Runs of a preset in nested mappings; the runner adds the runs of stage 1.
    """

    question: str
    cost: dict[str, str]
    report: Callable[[str, Path], None]
    columns: Callable[[str], RunTree] = nothing_trained

    def runs(self, preset: str) -> list[Run]:
        """Return the runs of a preset.

        Args:
            preset: `quick` or `full`.
        """
        return list(flattened(self.columns(preset)))


def experiments() -> dict[str, Experiment]:
    """Return all experiments by the name of their folder."""
    names = sorted(p.parent.name for p in Path(__file__).parents[1].glob('*/experiment.py'))
    return {n: import_module(f'experiments.{n}.experiment').EXPERIMENT for n in names}


def experiment(name: str) -> Experiment:
    """Return one experiment.

    Args:
        name: Name of its folder.

    Raises:
        LipfaultError: If there is no experiment of this name.
    """
    known = experiments()
    if name not in known:
        raise LipfaultError(f'there is no experiment {name!r}; there are {", ".join(known)}')
    return known[name]


def results_folder(name: str, preset: str) -> Path:
    """Return the folder of an experiment's results.

    Results of the full preset are committed beside the experiment. Results of the quick preset go
    to the runs, which git ignores.

    Args:
        name: Name of the experiment.
        preset: `quick` or `full`.

    Raises:
        LipfaultError: If there is no such preset.
    """
    if preset not in PRESETS:
        raise LipfaultError(f'preset: must be one of {", ".join(PRESETS)}, got {preset!r}')
    return FOLDER / name / 'results' if preset == 'full' else ROOT / preset / 'results' / name
