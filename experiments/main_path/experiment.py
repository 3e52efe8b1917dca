"""Both stages as shipped, on every cell, beside what was asked of them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from experiments.runner.catalogue import Experiment
from experiments.runner.kept import Values, devices_of, gathered, keep, values_of
from experiments.runner.plan import CELLS, cells_and_seeds, stage_two
from experiments.runner.results import over_seeds, read_metrics, table, trained_on, write_results
from experiments.runner.run import Run

PAGE = Path('docs/results.md')
GOALS = {
    'detection/f1': '>= 0.98',
    'detection/auroc': '>= 0.993',
    'ceiling/f1': '',
    'ceiling/auroc': '',
    'detection/f1_above_noise': '',
    'detection/auroc_above_noise': '',
    'detection/false_alarm_rate': '<= 0.02',
    'detection/localization_accuracy': '>= 0.99',
    'detection_unseen/f1': '>= 0.95',
    'detection_unseen/auroc': '',
    'recovery/seen': '>= 0.75',
    'recovery/unseen': '>= 0.65',
    'recovery/oracle': '(ceiling)',
    'clean/degradation': '<= 0.05',
    'corrector/energy_left': '< 0.03 (aim)',
    'corrector/energy_left_unseen': '',
    'corrector/fault_gain': '',
    'corrector/fault_gain_median': '',
    'corrector/clean_gain': '',
    'corrector/selectivity': '',
    'detector/fault_gain': '> 2',
    'detector/clean_gain': '',
    'detector/selectivity': '>= 12',
    'norm/corrector': '',
    'norm/detector': '',
}
"""Figures of the table, and what this project wants of them."""

BINS = (('0', '1'), ('1', '2'), ('2', '4'), ('4', '8'), ('8', '16'), ('16', '64'), ('64', 'inf'))
"""Damage, in the units of the sensor noise."""

HEAD = """\
# Results of the main path

Written by `make main-path` (`python -m experiments report main_path --preset full` writes it
from the runs that are done): both stages with the shipped configurations, on the shipped
recordings. `paper` is the compute block as published, on the same stage 1.
Number of seeds in brackets; ±: standard deviation over the seeds. Test episodes are used for
nothing else; the threshold comes from clean calibration episodes, for 1 % false alarms. Goals are
those that this project has set itself. What each figure means is in [metrics](metrics.md).
`ceiling` is what a detector reaches that finds every seen fault above the sensor noise and takes
those below it for clean; a goal may lie above it.
"""


def columns(preset: str) -> dict[str, dict[int, Run]]:
    """Runs of stage 2 by column of the table, and seed."""
    found: dict[str, dict[int, Run]] = {}
    for cell, seed in cells_and_seeds(preset):
        found.setdefault(cell, {})[seed] = stage_two(preset, cell, seed, 'fault_map')
        if cell == CELLS[0]:
            run = stage_two(preset, cell, seed, 'paper', ('configs/block/paper.yaml',))
            found.setdefault(f'{cell}, paper', {})[seed] = run
    return found


def report(preset: str, folder: Path) -> None:
    """Results of the runs that are done; those of a full preset also as a page of the docs.

    What `runs.json` has of a run that is not on this machine stays, if the run was of the
    configuration of today.

    Raises:
        LipfaultError: If a run that is here was of another configuration.
    """
    measured = gathered(columns(preset), folder, _measured)
    found = dict(sorted(values_of(measured).items()))
    lines = [HEAD, trained_on(devices_of(measured)), '', *figures(found), '']
    lines += ['## Recall against damage', '']
    lines += ['Damage is the RMS change of the touched signal in units of its sensor noise.', '']
    lines += recalls(found)
    write_results(folder, found, lines, PAGE if preset == 'full' else None)
    keep(folder, measured)


def _measured(run: Run) -> Values:
    return read_metrics(run) | ceiling(run)


def ceiling(run: Run) -> dict[str, float]:
    """What a detector reaches that finds every fault above the sensor noise, and none below it.

    Those below it are taken to score like clean windows. Some of them change nothing at all: a
    sensor stuck while it rests.
    """
    with np.load(run.folder / 'results.npz') as results:
        damage = results['seen/damage'][results['seen/faulty']]
    below = float((damage < 1).mean())
    return {'ceiling/f1': 2 * (1 - below) / (2 - below), 'ceiling/auroc': 1 - below / 2}


def figures(found: Mapping[str, Mapping[str, Values]]) -> list[str]:
    """A row for each figure, a column for each cell."""
    skills = {k for runs in found.values() for m in runs.values() for k in m if 'skill' in k}
    keys = [*GOALS, *sorted(skills, key=lambda k: (k.split('/')[1], k))]
    rows = {
        f'`{k}`': [GOALS.get(k, ''), *(_seeds(runs, k) for runs in found.values())] for k in keys
    }
    heads = [f'{column} ({len(runs)})' for column, runs in found.items()]
    return table(['figure', 'goal', *heads], rows)


def recalls(found: Mapping[str, Mapping[str, Values]]) -> list[str]:
    """A row for each column and split, a column for each range of damage."""
    rows = {
        f'{column}, {name}': [_seeds(runs, f'{split}/recall_damage_{a}_{b}') for a, b in BINS]
        for column, runs in found.items()
        for split, name in (('detection', 'seen'), ('detection_unseen', 'held out'))
    }
    return table(['faults', *(f'{a} to {b}' for a, b in BINS)], rows)


def _seeds(runs: Mapping[str, Mapping[str, float]], key: str) -> str:
    return over_seeds(m[key] for m in runs.values() if key in m)


def runs(preset: str) -> list[Run]:
    """The runs of all columns."""
    return [run for seeds in columns(preset).values() for run in seeds.values()]


EXPERIMENT = Experiment(
    question='Does the path from recordings to a corrected signal reach what it promises?',
    cost={'quick': '1 min', 'full': '3.5 h'},
    runs=runs,
    report=report,
)
