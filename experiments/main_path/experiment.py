"""Both stages as shipped, on every cell, beside the goals of this project."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from experiments.runner.catalogue import Experiment
from experiments.runner.kept import (
    Values,
    devices_of,
    gathered,
    keep,
    values_of,
    versions_of,
)
from experiments.runner.plan import CELLS, cells_and_seeds, stage_two
from experiments.runner.results import (
    measured_with,
    over_seeds,
    read_metrics,
    table,
    trained_on,
    write_results,
)
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
    'corrector/energy_left': '',
    'corrector/energy_left_unseen': '',
    'corrector/energy_left_pooled': '< 0.03 (aim)',
    'corrector/energy_left_pooled_unseen': '',
    'corrector/share_worse': '',
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
"""Metrics of the table, and the goals that this project has set."""

BINS = (('0', '1'), ('1', '2'), ('2', '4'), ('4', '8'), ('8', '16'), ('16', '64'), ('64', 'inf'))
"""Ranges of damage, in units of the sensor noise."""

HEAD = """\
# Results of the main path

Written by `make main-path`, or by `python -m experiments report main_path --preset full` from the
finished runs alone: both stages with the shipped configurations, on the shipped recordings. `paper`
is the compute block as published, on the same stage 1. (n): number of seeds; ±: standard deviation
over seeds. Test episodes serve these metrics only; the threshold comes from clean calibration
episodes, for a false alarm rate of 1 %. The goals were set by this project. The metrics are
defined in [metrics](metrics.md). `ceiling` is the value of a detector that detects every fault of
a seen kind above the sensor noise and scores those below it like clean windows; a goal may exceed
it. Results of an earlier version, which is then named, are on the faults of that version and of the
block `fault_map`; the [changelog](../CHANGELOG.md) lists how the faults differ.
"""

DAMAGE = 'Damage is the RMS change of the affected signal in units of its sensor noise.'


def columns(preset: str) -> dict[str, dict[int, Run]]:
    """Return the runs of stage 2 by column of the table, and seed.

    Args:
        preset: `quick` or `full`.
    """
    found: dict[str, dict[int, Run]] = {}
    for cell, seed in cells_and_seeds(preset):
        found.setdefault(cell, {})[seed] = stage_two(preset, cell, seed, 'fault_map')
        # The published block is trained on the first cell only; `baselines` has it on all.
        if cell == CELLS[0]:
            run = stage_two(preset, cell, seed, 'paper', ('configs/block/paper.yaml',))
            found.setdefault(f'{cell}, paper', {})[seed] = run
    return found


def report(preset: str, folder: Path) -> None:
    """Write the tables of the tested runs; the full preset writes a page of the docs.

    Args:
        preset: `quick` or `full`.
        folder: Folder of the results.

    Raises:
        LipfaultError: If a run on this machine has another configuration than today's.
    """
    measured = gathered(columns(preset), folder, _measured)
    # Sorted like the keys of results.json, so that page and file have one order.
    found = dict(sorted(values_of(measured).items()))
    versions = list(versions_of(measured))
    origin = [trained_on(devices_of(measured))] + ([measured_with(versions)] if versions else [])
    lines = [HEAD, ' '.join(origin), '', *metric_rows(found), '']
    lines += ['## Recall by damage', '', DAMAGE, '', *recalls(found)]
    write_results(folder, found, lines, PAGE if preset == 'full' else None)
    keep(folder, measured)


def _measured(run: Run) -> Values:
    return read_metrics(run) | ceiling(run)


def ceiling(run: Run) -> dict[str, float]:
    """Return F1 and AUROC of a detector that detects every fault above the sensor noise.

    Faults with a damage below 1 are counted as scoring like clean windows. Some of them change
    nothing at all: a sensor that is stuck while it rests.

    Args:
        run: A tested run of stage 2.
    """
    with np.load(run.folder / 'results.npz') as results:
        damage = results['seen/damage'][results['seen/faulty']]
    below = float((damage < 1).mean())
    # Recall 1 - below at precision 1; a tie with a clean window counts as half a win for AUROC.
    return {'ceiling/f1': 2 * (1 - below) / (2 - below), 'ceiling/auroc': 1 - below / 2}


def metric_rows(found: Mapping[str, Mapping[str, Values]]) -> list[str]:
    """Return a table with a row per metric and a column per cell.

    Args:
        found: Metrics by column and seed.
    """
    skills = {k for runs in found.values() for m in runs.values() for k in m if 'skill' in k}
    # `skill/camera` and `skill_pca/camera` stand one below the other.
    keys = [*GOALS, *sorted(skills, key=lambda k: (k.split('/')[1], k))]
    rows = {
        f'`{k}`': [GOALS.get(k, ''), *(_seeds(runs, k) for runs in found.values())] for k in keys
    }
    heads = [f'{column} ({len(runs)})' for column, runs in found.items()]
    return table(['metric', 'goal', *heads], rows)


def recalls(found: Mapping[str, Mapping[str, Values]]) -> list[str]:
    """Return a table with a row per column and split, and a column per range of damage.

    Args:
        found: Metrics by column and seed.
    """
    rows = {
        f'{column}, {name}': [_seeds(runs, f'{split}/recall_damage_{a}_{b}') for a, b in BINS]
        for column, runs in found.items()
        for split, name in (('detection', 'seen'), ('detection_unseen', 'held out'))
    }
    return table(['faults', *(f'{a} to {b}' for a, b in BINS)], rows)


def _seeds(runs: Mapping[str, Mapping[str, float]], key: str) -> str:
    return over_seeds(m[key] for m in runs.values() if key in m)


EXPERIMENT = Experiment(
    question='Do both stages as shipped reach the goals of this project, on every cell?',
    cost={'quick': '1 min', 'full': '3.5 h'},
    report=report,
    columns=columns,
)
