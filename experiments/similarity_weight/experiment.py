"""Effect of the weight of the similarity loss in the block as published."""

import math
from pathlib import Path

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from torchmetrics.functional import spearman_corrcoef

from experiments.runner.catalogue import Experiment
from experiments.runner.kept import gathered, publish, values_of
from experiments.runner.once import once
from experiments.runner.plan import SEEDS, cells_and_seeds, stage_two
from experiments.runner.results import metrics_of, picked, seeds_table, table, write_figure
from experiments.runner.run import Run
from lipfault.report.run import load_run
from lipfault.report.style import RC, colours, new_figure

PAPER = 'configs/block/paper.yaml'
PUBLISHED = 1.0
"""λ_sim of `PAPER`."""

WEIGHTS = (0.0, 0.1, 0.3, PUBLISHED, 3.0, 10.0)
QUICK = (0.1, PUBLISHED)
LOSSES = ('train/loss_sim', 'train/loss_con', 'train/loss_rec')
KEYS = {
    'train/loss_sim': 'similarity loss, last tenth',
    'train/loss_con': 'contrastive loss, last tenth',
    'train/loss_rec': 'reconstruction loss, last tenth',
    'detection/f1': 'F1',
    'detection/auroc': 'AUROC',
    'detection/localization_accuracy': 'right modality',
    'detector/selectivity': 'separability: gain along faults / clean',
    'recovery/seen': 'recovery',
    'corrector/energy_left_pooled': 'energy left, pooled',
}
"""Metrics of the table, and the titles of their panels."""

ByWeight = dict[float, dict[str, dict[str, float]]]
"""Metrics by weight and seed."""


def variants(preset: str) -> dict[float, dict[int, Run]]:
    """Return the runs by weight and seed, all on the first cell.

    Args:
        preset: `quick` or `full`.
    """
    cell = cells_and_seeds(preset)[0][0]
    found: dict[float, dict[int, Run]] = {}
    for weight in WEIGHTS if preset == 'full' else QUICK:
        for seed in SEEDS if preset == 'full' else SEEDS[:1]:
            name, overlays = overlays_of(weight)
            found.setdefault(weight, {})[seed] = stage_two(preset, cell, seed, name, overlays)
    return found


def overlays_of(weight: float) -> tuple[str, tuple[str, ...]]:
    """Return the name and the overlays of the runs with a similarity weight.

    Args:
        weight: λ_sim. The published one has the name that it has in other experiments, which
            share the run.
    """
    if weight == PUBLISHED:
        return 'paper', (PAPER,)
    return f'paper_sim_{weight}', (PAPER, f'experiments/similarity_weight/sim_{weight}.yaml')


def late_losses(run: Run) -> dict[str, float]:
    """Return the mean of each loss over the last tenth of the training steps.

    Args:
        run: A finished run with `metrics.csv`.
    """
    history = load_run(run.folder).history
    found = {}
    for key in LOSSES:
        if key in history:
            curve = history[key]
            # Losses are logged every few steps, so the tenth is taken by step, not by entry.
            last = curve.step > curve.step.max() - max(1, round(0.1 * curve.step.max()))
            found[key] = float(curve.value[last].mean())
    return found


def measure(run: Run) -> dict[str, float]:
    """Return the metrics of `KEYS`.

    Args:
        run: A tested run.
    """
    return picked(metrics_of(run) | once(run, 'late_losses', lambda: late_losses(run)), KEYS)


def report(preset: str, folder: Path) -> None:
    """Write a table with a row per weight, and the rank correlations within each seed.

    Args:
        preset: `quick` or `full`.
        folder: Folder of the results.
    """
    # Columns are strings in JSON and in the table; the drawing needs the weights as numbers.
    columns = {f'{weight:g}': seeds for weight, seeds in variants(preset).items()}
    measured = gathered(columns, folder, measure)
    by_weight = values_of(measured)
    found: ByWeight = {float(weight): seeds for weight, seeds in by_weight.items()}
    slopes = correlations(found)
    lines = [*seeds_table('λ_sim (seeds)', by_weight, KEYS), '']
    lines += ['Rank correlation of λ_sim with each metric, by seed:', '']
    lines += table(
        ['metric', *slopes],
        {
            f'`{k}`': [f'{of_seed.get(k, math.nan):+.2f}' for of_seed in slopes.values()]
            for k in KEYS
        },
    )
    values = {'by_weight': by_weight, 'rank_correlation': slopes} if by_weight else {}
    publish(folder, values, lines, measured)
    if found:
        write_figure(folder, 'similarity_weight', draw(found))


def correlations(found: ByWeight) -> dict[str, dict[str, float]]:
    """Return Spearman's rank correlation between the weight and each metric.

    Args:
        found: Metrics by weight and seed.

    Returns:
        Correlations by seed and metric, from -1 to 1; none with fewer than three weights.

    Reference:
        Spearman, The proof and measurement of association between two things, 1904,
        https://doi.org/10.2307/1412159.
    """
    seeds = sorted({seed for of_weight in found.values() for seed in of_weight})
    result: dict[str, dict[str, float]] = {}
    for seed in seeds:
        points = [(weight, of[seed]) for weight, of in sorted(found.items()) if seed in of]
        for key in KEYS:
            known = [
                (weight, m[key]) for weight, m in points if not math.isnan(m.get(key, math.nan))
            ]
            if len(known) > 2:
                # Four digits: a guard against division by zero in torchmetrics changes later ones.
                ranked = spearman_corrcoef(*torch.tensor(known, dtype=torch.float64).T)
                result.setdefault(seed, {})[key] = round(float(ranked), 4)
    return result


def draw(found: ByWeight) -> Figure:
    """Draw a panel per metric, a line per seed over the weights.

    Args:
        found: Metrics by weight and seed.
    """
    weights = sorted(found)
    seeds = sorted({seed for of_weight in found.values() for seed in of_weight})
    with rc_context(RC):
        figure = new_figure(10.5, 8.0)
        for axes, (key, title) in zip(figure.subplots(3, 3).flat, KEYS.items(), strict=True):
            for seed, colour in colours(seeds).items():
                values = [found[w].get(seed, {}).get(key, math.nan) for w in weights]
                # By rank, not by value: the weights go from 0 to 10.
                axes.plot(values, color=colour, marker='.', ms=5, lw=1, label=f'seed {seed}')
            axes.set_xticks(range(len(weights)), labels=[f'{w:g}' for w in weights])
            axes.set_title(title, fontsize=9)
            axes.set_xlabel('λ_sim')
        # One legend for all panels: their lines are the same.
        figure.legend(
            *axes.get_legend_handles_labels(), loc='outside lower center', ncols=len(seeds)
        )
    return figure


EXPERIMENT = Experiment(
    question='What does the similarity weight improve in the block as published, and at what cost?',
    cost={'quick': '1 min', 'full': '1.5 h'},
    report=report,
    columns=variants,
)
