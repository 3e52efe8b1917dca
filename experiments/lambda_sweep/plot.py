"""Plot the trials of a λ sweep: the trade-off, and each metric over the grid.

    python experiments/lambda_sweep/plot.py runs/lambda_sweep/quick/study/results.json \
        --out experiments/lambda_sweep/quick

writes quick.png, and quick.json with the parameters and validation metrics of each trial.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.run import renamed
from lipfault.report.style import RC, new_figure

SIM, CON = 'model.losses.sim', 'model.losses.con'
METRICS = {
    'val/detection/f1': 'F1 (good: 1)',
    'val/corrector/energy_left_pooled': 'energy left, pooled (good: 0)',
    'val/corrector/fault_gain': 'corrector, gain\nalong faults (good: 0)',
    'val/corrector/clean_gain': 'corrector, gain between\nclean samples (good: 1)',
    'val/detector/fault_gain': 'detector, gain\nalong faults (good: above 2)',
    'val/detector/selectivity': 'detector, selectivity (good: high)',
}
KEPT = (*METRICS, 'val/loss', 'val/detection/auroc', 'val/recovery/seen', 'norm/corrector',
        'norm/detector')  # fmt: skip


def main() -> None:
    """Read the trials, draw them, and write their metrics."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('results', type=Path, help='results.json of a study')
    parser.add_argument('--out', type=Path, required=True, help='output path without suffix')
    given = parser.parse_args()
    # A trial that failed has no metrics.
    every = json.loads(given.results.read_text())['trials']
    trials = [t | {'metrics': renamed(t['metrics'])} for t in every if t['metrics']]
    with matplotlib.rc_context(RC):
        draw(trials).savefig(given.out.with_suffix('.png'), dpi=110)
    trials.sort(key=lambda trial: (trial['values'][SIM], trial['values'][CON]))
    rows = [
        t['values'] | {k: round(t['metrics'][k], 5) for k in KEPT if k in t['metrics']}
        for t in trials
    ]
    given.out.with_suffix('.json').write_text(json.dumps(rows, indent=1) + '\n')
    print(f'{len(trials)} trials: {given.out.with_suffix(".png")}')


def draw(trials: list[dict[str, Any]]) -> Figure:
    """Draw the trade-off on the left, the metrics over the grid on the right.

    Args:
        trials: Trials of a study, with `values` (parameters) and `metrics`.
    """
    figure = new_figure(13.5, 6.2)
    left, right = np.ravel(figure.subfigures(1, 2, squeeze=False, width_ratios=[1, 2.1]))
    draw_trade_off(left.subplots(), trials)
    for axes, (name, title) in zip(np.ravel(right.subplots(2, 3)), METRICS.items(), strict=True):
        draw_grid(axes, trials, name, title)
    return figure


def draw_trade_off(axes: Axes, trials: list[dict[str, Any]]) -> None:
    """Draw a dot per trial: energy left against F1, λ_con by colour, λ_sim by size.

    Args:
        axes: Axes to draw into.
        trials: Trials of a study.
    """
    values = {k: np.array([t['values'][k] for t in trials]) for k in (SIM, CON)}
    # Reversed: the first metric, F1, is the vertical axis.
    x, y = (np.array([t['metrics'].get(k, np.nan) for t in trials]) for k in list(METRICS)[1::-1])
    ranks = {k: np.unique(v, return_inverse=True)[1] for k, v in values.items()}
    axes.scatter(x, y, s=40 + 90 * ranks[SIM], c=ranks[CON], cmap='viridis', edgecolor='white')
    for a, b, sim, con in zip(x, y, values[SIM], values[CON], strict=True):
        axes.annotate(f'{sim:g}, {con:g}', (a, b), xytext=(6, 5), textcoords='offset points',
                      fontsize=7)  # fmt: skip
    axes.margins(0.15)
    axes.set(xlabel='energy left', ylabel='F1', title='Trade-off: λ_sim (size), λ_con (colour)')


def draw_grid(axes: Axes, trials: list[dict[str, Any]], name: str, title: str) -> None:
    """Draw one metric as a heat map over both weights.

    Args:
        axes: Axes to draw into.
        trials: Trials of a study.
        name: Key of the metric.
        title: Title of the panel.
    """
    sims, cons = (sorted({t['values'][k] for t in trials}) for k in (SIM, CON))
    grid = np.full((len(cons), len(sims)), np.nan)
    for t in trials:
        cell = cons.index(t['values'][CON]), sims.index(t['values'][SIM])
        grid[cell] = t['metrics'].get(name, np.nan)
    axes.imshow(grid, origin='lower', aspect='auto', cmap='Blues', alpha=0.75)
    for (row, column), value in np.ndenumerate(grid):
        axes.text(column, row, f'{value:.3g}', ha='center', va='center', fontsize=8)
    axes.set_xticks(range(len(sims)), [f'{s:g}' for s in sims])
    axes.set_yticks(range(len(cons)), [f'{c:g}' for c in cons])
    axes.set(xlabel='λ_sim', ylabel='λ_con', title=title)
    axes.set_title(title, fontsize=8.5)
    axes.grid(visible=False)


if __name__ == '__main__':
    main()
