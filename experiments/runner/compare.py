"""The table of methods on cells, with paired differences and heat maps."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from experiments.runner.pairs import FIGURES, paired_differences, read_scored
from experiments.runner.results import (
    metrics_of,
    over_seeds,
    table,
    tested,
    write_figure,
    write_results,
)
from experiments.runner.run import Run
from lipfault.report.recall import draw_recall_map
from lipfault.report.results import NothingToShow
from lipfault.report.run import load_run
from lipfault.report.style import RC, grid_of, new_figure

KEYS = (
    'detection/f1', 'detection/auroc', 'detection/f1_above_noise', 'detection/false_alarm_rate',
    'detection/localization_accuracy', 'detection_unseen/f1', 'detection_unseen/auroc',
    'recovery/seen', 'recovery/unseen', 'corrector/energy_left', 'corrector/energy_left_unseen',
    'clean/degradation', 'clean/touch', 'corrector/fault_gain', 'corrector/clean_gain',
    'detector/fault_gain', 'detector/clean_gain', 'parameters', 'cpu_s/fit', 'cpu_s/test',
)  # fmt: skip
"""Figures of the table."""

Methods = Mapping[str, Mapping[int, Run]]
"""Runs by method and seed."""


def compare(cells: Mapping[str, Methods], ours: str, folder: Path) -> None:
    """Write table, differences and heat maps of the runs that are done.

    Args:
        cells: Methods by cell.
        ours: The method from which all others are subtracted.
        folder: Where results go.
    """
    values: dict[str, Any] = {}
    lines: list[str] = []
    for cell, methods in cells.items():
        done = {
            name: {seed: run for seed, run in seeds.items() if tested(run)}
            for name, seeds in methods.items()
        }
        done = {name: seeds for name, seeds in done.items() if seeds}
        if not done:
            continue
        found = {
            name: {str(seed): _chosen(run) for seed, run in seeds.items()}
            for name, seeds in done.items()
        }
        pairs = differences(done, ours)
        values[cell] = {'metrics': found, f'{ours} minus': pairs}
        lines += [f'## {cell}', '', *_metrics_table(found), '', *_pairs_table(pairs, ours), '']
        write_figure(folder, f'recall_{cell}', recall_maps(done))
    write_results(folder, values, lines or ['No run is done yet.'])


def differences(done: Methods, ours: str) -> dict[str, dict[str, dict[str, float]]]:
    """Our figures minus those of each other method, on the seeds that both have."""
    found = {}
    for name, runs in done.items():
        common = [seed for seed in done.get(ours, {}) if seed in runs]
        if name != ours and common:
            sides = [[read_scored(m[s].folder) for s in common] for m in (done[ours], runs)]
            pairs = paired_differences(sides[0], sides[1])
            found[name] = {figure: asdict(pair) for figure, pair in pairs.items()}
    return found


def recall_maps(done: Methods) -> Figure:
    """Recall by fault kind and severity, one map for each method, its first seed."""
    with rc_context(RC):
        figure = new_figure(4.2 * min(3, len(done)), 5.2 * -(-len(done) // 3))
        for axes, (name, runs) in zip(grid_of(figure, len(done), 3), done.items(), strict=True):
            seed = min(runs)
            try:
                draw_recall_map(axes, load_run(runs[seed].folder), 'seen', counts=False)
            except NothingToShow as reason:
                axes.text(0.5, 0.5, str(reason), ha='center', va='center', wrap=True)
            axes.set_title(f'{name}, seed {seed}')
    return figure


def _chosen(run: Run) -> dict[str, float]:
    metrics = metrics_of(run)
    recalls = sorted(k for k in metrics if '/recall_damage_' in k)
    return {k: metrics[k] for k in (*KEYS, *recalls) if k in metrics}


def _metrics_table(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    heads = [f'{name} ({len(runs)})' for name, runs in found.items()]
    rows = {
        f'`{key}`': [
            over_seeds(m[key] for m in runs.values() if key in m) for runs in found.values()
        ]
        for key in KEYS
    }
    return table(['figure', *heads], rows)


def _pairs_table(pairs: Mapping[str, Mapping[str, Mapping[str, float]]], ours: str) -> list[str]:
    """One row for each other method: mean difference and 95 % interval."""
    rows: dict[str, Sequence[str]] = {
        name: [
            '{mean:+.3g} [{low:+.3g}, {high:+.3g}]'.format(**found[figure]) for figure in FIGURES
        ]
        for name, found in pairs.items()
    }
    return table([f'{ours} minus', *FIGURES], rows) if rows else []
