"""What an experiment is, and where to find it."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from experiments.runner.run import ROOT, Run
from lipfault.errors import LipfaultError

FOLDER = Path('experiments')
PRESETS = ('quick', 'full')


@dataclass(frozen=True)
class Experiment:
    """A question, the runs that answer it, and what is made of them.

    Args:
        question: In one sentence.
        cost: By preset, about how long on two CPU cores.
        runs: The runs of a preset; those of stage 1 that they stand on come by themselves.
        report: Writes results and figures of a preset into a folder, from the runs that are done.
    """

    question: str
    cost: dict[str, str]
    runs: Callable[[str], list[Run]]
    report: Callable[[str, Path], None]


def experiments() -> dict[str, Experiment]:
    """All experiments by the name of their folder."""
    names = sorted(p.parent.name for p in Path(__file__).parents[1].glob('*/experiment.py'))
    return {n: import_module(f'experiments.{n}.experiment').EXPERIMENT for n in names}


def experiment(name: str) -> Experiment:
    """One experiment.

    Raises:
        LipfaultError: If there is none of this name.
    """
    known = experiments()
    if name not in known:
        raise LipfaultError(f'there is no experiment {name!r}; there are {", ".join(known)}')
    return known[name]


def results_folder(name: str, preset: str) -> Path:
    """Where results go: full ones beside the experiment, to be committed; others to the runs."""
    if preset not in PRESETS:
        raise LipfaultError(f'preset: must be one of {", ".join(PRESETS)}, got {preset!r}')
    return FOLDER / name / 'results' if preset == 'full' else ROOT / preset / 'results' / name
