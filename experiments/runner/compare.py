"""Methods on cells compared: what is measured of them, and paired differences."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

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
from experiments.runner.method_figures import Methods, chart, draw_differences, draw_recalls
from experiments.runner.method_tables import (
    RECALLS,
    Figures,
    metrics_table,
    pairs_table,
    recall_table,
)
from experiments.runner.pairs import Scored, paired_differences, read_scored
from experiments.runner.results import metrics_of, trained_on, write_figure, write_results
from experiments.runner.run import Run

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

SPLITS = {'seen': '', 'unseen': ', kinds held out'}
"""Splits of the test, and how a difference on them is called."""


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
        _drop_times_elsewhere(found, metrics, ours)
        if beside is not None:
            _add_from(beside, methods, metrics)
        values[cell] = {'metrics': metrics}
        lines += [f'## {cell}', '', trained_on(devices_of(found)), '']
        lines += [*metrics_table(metrics, KEYS), '']
        for what in RECALLS:
            lines += [*recall_table(metrics, what), '']
        every = {called: differences(sums, ours, split) for split, called in SPLITS.items()}
        pairs = {called: of_split for called, of_split in every.items() if of_split}
        for called, of_split in pairs.items():
            values[cell][f'{ours} minus{called}'] = of_split
            lines += [*pairs_table(of_split, f'{ours} minus{called}'), '']
        write_figure(folder, f'compare_{cell}', chart(metrics))
        if pairs:
            write_figure(folder, f'differences_{cell}', draw_differences(pairs, ours))
        draw_recalls(folder / f'recall_{cell}', methods, found)
    if not values:
        lines.append('No run is done yet.')
    write_results(folder, values, lines, page)
    keep(folder, *measured)


def _measured(first: set[str], run: Run) -> Values:
    """Metrics and sums of a run; what a method costs is measured on its first seed alone."""
    metrics = metrics_of(run) | (cost_of(run) if run.name in first else {})
    recalls = sorted(k for k in metrics if k.startswith(tuple(RECALLS.values())))
    episodes = {split: scored.to_dict() for split, scored in read_scored(run.folder).items()}
    return {
        'metrics': {k: metrics[k] for k in (*KEYS, *recalls) if k in metrics},
        'episodes': episodes,
    }


def _drop_times_elsewhere(found: Columns, metrics: Figures, ours: str) -> None:
    """Leave the times of runs on the device of our first seed: those of two do not compare."""
    reference = found.get(ours) or next(iter(found.values()))
    first = next(iter(reference.values())).device
    for name, seeds in found.items():
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
