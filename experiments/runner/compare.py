"""Comparison of methods on several cells: tables of metrics, paired differences and figures."""

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
    versions_of,
)
from experiments.runner.method_figures import Methods, chart, draw_differences, draw_recalls
from experiments.runner.method_tables import (
    RECALLS,
    MethodMetrics,
    metrics_table,
    pairs_table,
    recall_table,
)
from experiments.runner.pairs import Scored, paired_differences, read_scored
from experiments.runner.results import (
    measured_with,
    metrics_of,
    picked,
    trained_on,
    write_figure,
    write_results,
)
from experiments.runner.run import Run

COSTS = ('cpu_s/fit', 'cpu_s/test')
"""Metrics that depend on the training device; its name becomes a part of the row's name."""

KEYS = (
    'detection/f1', 'detection/auroc', 'detection/f1_above_noise', 'detection/false_alarm_rate',
    'detection/localization_accuracy', 'detection_unseen/f1', 'detection_unseen/auroc',
    'recovery/seen', 'recovery/unseen', 'corrector/energy_left', 'corrector/energy_left_unseen',
    'corrector/energy_left_pooled', 'corrector/energy_left_pooled_unseen', 'corrector/share_worse',
    'clean/degradation', 'clean/change', 'corrector/fault_gain', 'corrector/clean_gain',
    'detector/fault_gain', 'detector/clean_gain', 'parameters', 'cpu_s/fit', 'cpu_s/test',
    'cpu_ms_per_window', 'delay/detected', 'delay/median_s',
)  # fmt: skip
"""Rows of the table of metrics."""

SKILL = 'skill/'
"""Prefix of the metrics of stage 1 in a run of stage 2."""

BESIDE = {'delay/detected': 'detected', 'delay/median_s': 'delay_median_s'}
"""Metrics measured by another experiment, and their keys there."""

SPLITS = {'seen': '', 'unseen': ', kinds held out'}
"""Test splits, and the suffix of their titles."""

Pairs = dict[str, dict[str, dict[str, float]]]
"""`mean`, `low` and `high` of a difference, by method and metric."""


def compare(
    cells: Mapping[str, Methods],
    ours: str,
    folder: Path,
    head: str = '',
    page: Path | None = None,
    beside: Path | None = None,
    maps: bool = False,
) -> None:
    """Write tables, paired differences and figures of the tested runs.

    Runs that are not on this machine are reported from `runs.json` if their configuration is
    today's: it holds their metrics, and the sums over test episodes behind the differences.

    Args:
        cells: Runs by cell, method and seed.
        ours: Method from which all others are subtracted.
        folder: Folder of the results.
        head: Text above the tables.
        page: Path of the page; `results.md` in the folder if None.
        beside: Folder of the results of another experiment that has the metrics of `BESIDE`.
        maps: Whether to draw heat maps of recall by kind and severity.
    """
    measured = {
        cell: gathered(methods, folder, partial(_measured, _first_seeds(methods)))
        for cell, methods in cells.items()
    }
    measured = {cell: found for cell, found in measured.items() if found}
    values: dict[str, Any] = {}
    lines = [head] if head else []
    versions = list(versions_of(*measured.values()))
    lines += [measured_with(versions), ''] if versions else []
    for cell, found in measured.items():
        pairs = _pairs(found, ours)
        metrics = _table_metrics(found, cells[cell], beside)
        # Keys of results.json: `metrics`, `<ours> minus`, `<ours> minus, kinds held out`.
        values[cell] = {'metrics': metrics}
        values[cell] |= {f'{ours} minus{suffix}': p for suffix, p in pairs.items()}
        lines += _section(cell, found, metrics, pairs, ours)
        write_figure(folder, f'compare_{cell}', chart(metrics))
        if pairs:
            write_figure(folder, f'differences_{cell}', draw_differences(pairs, ours))
        if maps:
            draw_recalls(folder / f'recall_{cell}', cells[cell], found)
    if not values:
        lines.append('No run is done yet.')
    write_results(folder, values, lines, page)
    keep(folder, *measured.values())


def _first_seeds(methods: Methods) -> set[str]:
    """Names of the first run of each method; the cost of a method is measured on it alone."""
    return {next(iter(seeds.values())).name for seeds in methods.values()}


def _measured(first: set[str], run: Run) -> Values:
    metrics = metrics_of(run) | (cost_of(run) if run.name in first else {})
    # Recalls by damage and by kind have keys that depend on the faults of the run.
    parts = sorted(k for k in metrics if k.startswith((*RECALLS.values(), SKILL)))
    episodes = {split: scored.to_dict() for split, scored in read_scored(run.folder).items()}
    return {'metrics': picked(metrics, (*KEYS, *parts)), 'episodes': episodes}


def _pairs(found: Columns, ours: str) -> dict[str, Pairs]:
    """Paired differences by suffix of the split's title, without empty splits."""
    sums = _part(found, 'episodes')
    every = {suffix: differences(sums, ours, split) for split, suffix in SPLITS.items()}
    return {suffix: pairs for suffix, pairs in every.items() if pairs}


def _section(
    cell: str, found: Columns, metrics: MethodMetrics, pairs: Mapping[str, Pairs], ours: str
) -> list[str]:
    """Lines of the page on one cell."""
    lines = [f'## {cell}', '', trained_on(devices_of(found)), '']
    lines += [*metrics_table(metrics, _keys(found)), '']
    for what in RECALLS:
        lines += [*recall_table(metrics, what), '']
    if pairs:
        elsewhere = other_stage_one(_part(found, 'metrics'), ours)
        lines += [*_remarks(_part(found, 'episodes'), elsewhere), '']
    for suffix, of_split in pairs.items():
        lines += [*pairs_table(of_split, f'{ours} minus{suffix}'), '']
    return lines


def other_stage_one(metrics: MethodMetrics, ours: str) -> dict[str, list[str]]:
    """Find methods that were trained on another stage 1 than ours with the same seed.

    Two trainings of one configuration have the same hash. They are distinguished by their
    reconstruction skill on the test, which every run of stage 2 records.

    Args:
        metrics: Metrics by method and seed.
        ours: Method to compare with.

    Returns:
        Names of the methods by seed.
    """
    found: dict[str, list[str]] = {}
    for name, seeds in metrics.items():
        for seed in seeds.keys() & metrics.get(ours, {}).keys():
            sides = [
                {k: v for k, v in m[seed].items() if k.startswith(SKILL)}
                for m in (seeds, metrics[ours])
            ]
            # The tolerance covers float32 sums in another order, on another device.
            if any(not isclose(v, sides[1].get(k, v), rel_tol=1e-6) for k, v in sides[0].items()):
                found.setdefault(seed, []).append(name)
    return dict(sorted(found.items()))


def _remarks(sums: MethodMetrics, elsewhere: Mapping[str, list[str]]) -> list[str]:
    """Number of test episodes, and seeds whose pairs do not share a stage 1."""
    # All runs of a cell have the same test episodes; `paired_differences` has checked it.
    run = next(each for seeds in sums.values() for each in seeds.values())
    counts = [f'{len(scored["first"])} ({split})' for split, scored in run.items()]
    remarks = [f'Test episodes, adjacent ones in the recording as one: {", ".join(counts)}.']
    remarks += [
        f'Seed {seed}: other training of stage 1 than ours, of the same configuration '
        f'unless stage 1 is what varies: {", ".join(names)}.'
        for seed, names in elsewhere.items()
    ]
    return remarks


def _keys(found: Columns) -> list[str]:
    """Rows of the table: `KEYS`, with one row of costs per training device."""
    devices = sorted(set(devices_of(found)))
    return [
        row for key in KEYS for row in ([_on(key, d) for d in devices] if key in COSTS else [key])
    ]


def _table_metrics(found: Columns, methods: Methods, beside: Path | None) -> MethodMetrics:
    """Metrics of the table: costs by device, no skill, and the metrics of `BESIDE`."""
    metrics = {
        name: {
            seed: {
                _on(k, m.device) if k in COSTS else k: v
                for k, v in m.values['metrics'].items()
                if not k.startswith(SKILL)
            }
            for seed, m in seeds.items()
        }
        for name, seeds in found.items()
    }
    for name, seeds in (known_of(methods, beside) if beside is not None else {}).items():
        for seed, measured in seeds.items():
            if seed in metrics.get(name, {}):
                added = {k: measured.values[v] for k, v in BESIDE.items() if v in measured.values}
                metrics[name][seed] |= added
    return metrics


def _on(key: str, device: str) -> str:
    return f'{key} ({device})'


def _part(found: Columns, part: str) -> MethodMetrics:
    return {
        name: {seed: values[part] for seed, values in seeds.items()}
        for name, seeds in values_of(found).items()
    }


def differences(sums: MethodMetrics, ours: str, split: str) -> Pairs:
    """Subtract the metrics of every other method from ours, on the seeds that both have.

    Args:
        sums: Dictionaries of `Scored.to_dict` by method, seed and split.
        ours: Method from which all others are subtracted.
        split: `seen` or `unseen`.

    Returns:
        Differences by method and metric, without those that are NaN.
    """
    found = {}
    for name, seeds in sums.items():
        own = sums.get(ours, {})
        common = [s for s in own if split in own[s] and split in seeds.get(s, {})]
        if name != ours and common:
            sides = [[Scored.from_dict(m[s][split]) for s in common] for m in (own, seeds)]
            pairs = paired_differences(sides[0], sides[1])
            # NaN differs from itself: `degradation` has no value on held-out kinds.
            found[name] = {f: asdict(p) for f, p in pairs.items() if p.mean == p.mean}
    return found
