"""Methods on cells compared: what is measured of them, and paired differences."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from math import isclose
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

COSTS = ('cpu_s/fit', 'cpu_s/test')
"""Figures that mean another thing on another device, which becomes a part of their name."""

KEYS = (
    'detection/f1', 'detection/auroc', 'detection/f1_above_noise', 'detection/false_alarm_rate',
    'detection/localization_accuracy', 'detection_unseen/f1', 'detection_unseen/auroc',
    'recovery/seen', 'recovery/unseen', 'corrector/energy_left', 'corrector/energy_left_unseen',
    'clean/degradation', 'clean/change', 'corrector/fault_gain', 'corrector/clean_gain',
    'detector/fault_gain', 'detector/clean_gain', 'parameters', 'cpu_s/fit', 'cpu_s/test',
    'cpu_ms_per_window', 'delay/detected', 'delay/median_s',
)  # fmt: skip
"""Figures of the table."""

SKILL = 'skill/'
"""Begins the figures of stage 1 in the metrics of a run."""

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
    maps: bool = False,
) -> None:
    """Write table, differences and charts of the runs that are done.

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
        maps: Whether to draw the recall by kind and severity of each method too.
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
        elsewhere = other_stage_one(metrics, ours)
        metrics = _shown(found, metrics)
        if beside is not None:
            _add_from(beside, methods, metrics)
        values[cell] = {'metrics': metrics}
        lines += [f'## {cell}', '', trained_on(devices_of(found)), '']
        lines += [*metrics_table(metrics, _keys(found)), '']
        for what in RECALLS:
            lines += [*recall_table(metrics, what), '']
        every = {called: differences(sums, ours, split) for split, called in SPLITS.items()}
        pairs = {called: of_split for called, of_split in every.items() if of_split}
        lines += [*_remarks(sums, elsewhere), ''] if pairs else []
        for called, of_split in pairs.items():
            values[cell][f'{ours} minus{called}'] = of_split
            lines += [*pairs_table(of_split, f'{ours} minus{called}'), '']
        write_figure(folder, f'compare_{cell}', chart(metrics))
        if pairs:
            write_figure(folder, f'differences_{cell}', draw_differences(pairs, ours))
        if maps:
            draw_recalls(folder / f'recall_{cell}', methods, found)
    if not values:
        lines.append('No run is done yet.')
    write_results(folder, values, lines, page)
    keep(folder, *measured)


def _measured(first: set[str], run: Run) -> Values:
    """Metrics and sums of a run; what a method costs is measured on its first seed alone."""
    metrics = metrics_of(run) | (cost_of(run) if run.name in first else {})
    parts = sorted(k for k in metrics if k.startswith((*RECALLS.values(), SKILL)))
    episodes = {split: scored.to_dict() for split, scored in read_scored(run.folder).items()}
    return {
        'metrics': {k: metrics[k] for k in (*KEYS, *parts) if k in metrics},
        'episodes': episodes,
    }


def other_stage_one(metrics: Figures, ours: str) -> dict[str, list[str]]:
    """Methods by seed which stand on another training of stage 1 than ours of this seed.

    It may have the same configuration. What tells it is how well it reconstructs.
    """
    found: dict[str, list[str]] = {}
    for name, seeds in metrics.items():
        for seed in seeds.keys() & metrics.get(ours, {}).keys():
            sides = [
                {k: v for k, v in m[seed].items() if k.startswith(SKILL)}
                for m in (seeds, metrics[ours])
            ]
            if any(not isclose(v, sides[1].get(k, v), rel_tol=1e-6) for k, v in sides[0].items()):
                found.setdefault(seed, []).append(name)
    return dict(sorted(found.items()))


def _remarks(sums: Figures, elsewhere: Mapping[str, list[str]]) -> list[str]:
    """What to know of the paired differences of a cell."""
    run = next(each for seeds in sums.values() for each in seeds.values())
    counts = [f'{len(scored["first"])} ({split})' for split, scored in run.items()]
    remarks = [f'Test episodes, neighbours in the recording as one: {", ".join(counts)}.']
    remarks += [
        f'With seed {seed} on another training of stage 1 than ours, of the same configuration '
        f'unless it is what varies: {", ".join(names)}.'
        for seed, names in elsewhere.items()
    ]
    return remarks


def _keys(found: Columns) -> list[str]:
    """`KEYS`, costs once for each device."""
    devices = sorted(set(devices_of(found)))
    return [
        called
        for key in KEYS
        for called in ([_on(key, d) for d in devices] if key in COSTS else [key])
    ]


def _shown(found: Columns, metrics: Figures) -> Figures:
    """Metrics for the table: costs with the name of the device, no skill."""
    return {
        name: {
            seed: {
                _on(k, found[name][seed].device) if k in COSTS else k: v
                for k, v in values.items()
                if not k.startswith(SKILL)
            }
            for seed, values in seeds.items()
        }
        for name, seeds in metrics.items()
    }


def _on(key: str, device: str) -> str:
    return f'{key} ({device})'


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
