"""The table of methods on cells, with paired differences, a chart and heat maps."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from experiments.runner.cost import cost_of
from experiments.runner.kept import (
    Columns,
    Values,
    devices_of,
    gathered,
    keep,
    known_of,
    values_of,
)
from experiments.runner.pairs import FIGURES, Scored, paired_differences, read_scored
from experiments.runner.results import (
    metrics_of,
    over_seeds,
    table,
    tested,
    trained_on,
    write_figure,
    write_results,
)
from experiments.runner.run import Run
from lipfault.report.recall import draw_recall_map
from lipfault.report.results import NothingToShow
from lipfault.report.run import load_run
from lipfault.report.style import BLUE, INK, RC, grid_of, new_figure

KEYS = (
    'detection/f1', 'detection/auroc', 'detection/f1_above_noise', 'detection/false_alarm_rate',
    'detection/localization_accuracy', 'detection_unseen/f1', 'detection_unseen/auroc',
    'recovery/seen', 'recovery/unseen', 'corrector/energy_left', 'corrector/energy_left_unseen',
    'clean/degradation', 'clean/touch', 'corrector/fault_gain', 'corrector/clean_gain',
    'detector/fault_gain', 'detector/clean_gain', 'parameters', 'cpu_s/fit', 'cpu_s/test',
    'cpu_ms_per_window', 'delay/detected', 'delay/median_s',
)  # fmt: skip
"""Figures of the table."""

BESIDE = {'delay/detected': 'detected', 'delay/median_s': 'delay_median_s'}
"""Figures that another experiment has measured, and how it calls them."""

DRAWN = {
    'detection/f1': 'F1, seen kinds',
    'detection_unseen/f1': 'F1, kinds held out',
    'recovery/seen': 'recovery, seen kinds',
    'corrector/energy_left': 'energy left, seen kinds',
    'corrector/energy_left_unseen': 'energy left, kinds held out',
    'clean/degradation': 'harm to clean input',
}
"""Figures of the chart."""

SPLITS = {'seen': '', 'unseen': ', kinds held out'}
"""Splits of the test, and how a difference on them is called."""

Methods = Mapping[str, Mapping[int, Run]]
"""Runs by method and seed."""

Figures = dict[str, dict[str, Values]]
"""Metrics or sums by method and seed."""


def compare(
    cells: Mapping[str, Methods],
    ours: str,
    folder: Path,
    head: str = '',
    page: Path | None = None,
    beside: Path | None = None,
) -> None:
    """Write table, differences, chart and heat maps of the runs that are done.

    What `runs.json` has of a run that is not on this machine stays, if the run was of the
    configuration of today: its metrics, and the sums over each test episode from which the
    differences are made.

    Args:
        cells: Methods by cell.
        ours: The method from which all others are subtracted.
        folder: Where results go.
        head: What stands above the tables.
        page: Where the tables go; `results.md` in the folder if not given.
        beside: Results of another experiment, from which `BESIDE` is taken if given.
    """
    values: dict[str, Any] = {}
    measured: list[Columns] = []
    lines: list[str] = [head] if head else []
    for cell, methods in cells.items():
        first = {next(iter(seeds.values())).name for seeds in methods.values()}
        found = gathered(methods, folder, partial(_measured, first))
        if not found:
            continue
        measured.append(found)
        metrics, sums = (_part(values_of(found), part) for part in ('metrics', 'episodes'))
        _drop_times_elsewhere(found, metrics)
        if beside is not None:
            _add_from(beside, methods, metrics)
        values[cell] = {'metrics': metrics}
        lines += [f'## {cell}', '', trained_on(devices_of(found)), '']
        lines += [*_metrics_table(metrics), '', *_recall_table(metrics), '']
        for split, called in SPLITS.items():
            pairs = differences(sums, ours, split)
            if pairs:
                values[cell][f'{ours} minus{called}'] = pairs
                lines += [*_pairs_table(pairs, f'{ours} minus{called}'), '']
        write_figure(folder, f'compare_{cell}', chart(metrics))
        _draw_recalls(folder / f'recall_{cell}', methods, found)
    if not values:
        lines.append('No run is done yet.')
    write_results(folder, values, lines, page)
    keep(folder, *measured)


def _measured(first: set[str], run: Run) -> Values:
    """Metrics and sums of a run; what a method costs is measured on its first seed alone."""
    metrics = metrics_of(run) | (cost_of(run) if run.name in first else {})
    recalls = sorted(k for k in metrics if '/recall_damage_' in k)
    episodes = {split: scored.to_dict() for split, scored in read_scored(run.folder).items()}
    return {
        'metrics': {k: metrics[k] for k in (*KEYS, *recalls) if k in metrics},
        'episodes': episodes,
    }


def _drop_times_elsewhere(found: Columns, metrics: Figures) -> None:
    """Leave the times of runs on the first seed's device: those of two devices have no mean."""
    for name, seeds in found.items():
        first = next(iter(seeds.values())).device
        for seed, measured in seeds.items():
            if measured.device != first:
                kept = {k: v for k, v in metrics[name][seed].items() if not k.startswith('cpu_s/')}
                metrics[name][seed] = kept


def _add_from(folder: Path, methods: Methods, metrics: Figures) -> None:
    """Add `BESIDE` to the metrics of the runs of which the folder knows."""
    for name, seeds in known_of(methods, folder).items():
        for seed, measured in seeds.items():
            if seed in metrics.get(name, {}):
                added = {k: measured.values[v] for k, v in BESIDE.items() if v in measured.values}
                metrics[name][seed] = metrics[name][seed] | added  # what is kept stays as it is


def _part(found: Figures, part: str) -> Figures:
    return {n: {seed: each[part] for seed, each in seeds.items()} for n, seeds in found.items()}


def differences(sums: Figures, ours: str, split: str) -> dict[str, dict[str, dict[str, float]]]:
    """Our figures minus those of each other method, on the seeds that both have.

    Args:
        sums: What `Scored.to_dict` gives, by method, seed and split.
        ours: The method from which all others are subtracted.
        split: `seen` or `unseen`.
    """
    found = {}
    for name, seeds in sums.items():
        own = sums.get(ours, {})
        common = [s for s in own if split in own[s] and split in seeds.get(s, {})]
        if name != ours and common:
            sides = [[Scored.from_dict(m[s][split]) for s in common] for m in (own, seeds)]
            pairs = paired_differences(sides[0], sides[1])
            found[name] = {f: asdict(p) for f, p in pairs.items() if p.mean == p.mean}
    return found


def chart(metrics: Figures) -> Figure:
    """A panel for each figure: a dot for each seed, a bar for their mean.

    Args:
        metrics: By method and seed.
    """
    names = list(metrics)[::-1]
    with rc_context(RC):
        figure = new_figure(10.5, 2 * (0.9 + 0.2 * len(names)))
        for axes, (key, title) in zip(figure.subplots(2, 3).flat, DRAWN.items(), strict=True):
            for place, name in enumerate(names):
                values = [m[key] for m in metrics[name].values() if key in m]
                if values:
                    axes.barh(place, sum(values) / len(values), color=BLUE, alpha=0.35, height=0.7)
                    axes.plot(values, [place] * len(values), '.', color=INK, ms=4)
            if key == 'clean/degradation':
                axes.set_xscale('symlog', linthresh=0.01)
            axes.set_yticks(range(len(names)), labels=names, fontsize=7)
            axes.set_title(title, fontsize=9)
            axes.grid(visible=False, axis='y')
    return figure


def _draw_recalls(stem: Path, methods: Methods, found: Columns) -> None:
    """Heat maps of the methods that are here; those of an earlier report stay if any is not."""
    here = {
        name: {seed: run for seed, run in methods[name].items() if tested(run)} for name in found
    }
    done = {name: runs for name, runs in here.items() if runs}
    if done and (len(done) == len(found) or not stem.with_suffix('.png').exists()):
        write_figure(stem.parent, stem.name, recall_maps(done))


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


def _metrics_table(metrics: Figures) -> list[str]:
    heads = [f'{name} ({len(seeds)})' for name, seeds in metrics.items()]
    known = {key for seeds in metrics.values() for m in seeds.values() for key in m}
    rows = {
        f'`{key}`': [
            over_seeds(m[key] for m in seeds.values() if key in m) for seeds in metrics.values()
        ]
        for key in KEYS
        if key in known
    }
    return table(['figure', *heads], rows)


def _recall_table(metrics: Figures) -> list[str]:
    """Recall on seen kinds by damage, one row for each method."""
    prefix = 'detection/recall_damage_'
    every = [key for seeds in metrics.values() for m in seeds.values() for key in m]
    keys = sorted({k for k in every if k.startswith(prefix)}, key=lambda k: float(k.split('_')[2]))
    rows = {
        name: [over_seeds(m[key] for m in seeds.values() if key in m) for key in keys]
        for name, seeds in metrics.items()
    }
    heads = [k.removeprefix(prefix).replace('_', ' to ') for k in keys]
    return table(['recall by damage', *heads], rows) if keys else []


def _pairs_table(pairs: Mapping[str, Mapping[str, Mapping[str, float]]], title: str) -> list[str]:
    """One row for each other method: mean difference and 95 % interval."""
    rows: dict[str, Sequence[str]] = {
        name: [
            '{mean:+.3g} [{low:+.3g}, {high:+.3g}]'.format(**found[f]) if f in found else '–'
            for f in FIGURES
        ]
        for name, found in pairs.items()
    }
    return table([title, *FIGURES], rows)
