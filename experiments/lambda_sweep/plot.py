"""Draw what a λ sweep has found: the trade-off, and each figure over the grid.

    python experiments/lambda_sweep/plot.py runs/lambda_sweep/quick/study/results.json \
        --out experiments/lambda_sweep/quick

writes quick.png and, for the record, quick.json: values and validation figures of each trial.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.style import RC, new_figure

SIM, CON = 'model.losses.sim', 'model.losses.con'
FIGURES = {
    'val/detection/f1': 'F1 (good: 1)',
    'val/corrector/energy_left': 'energy left (good: 0)',
    'val/corrector/fault_gain': 'corrector, gain\nalong faults (good: 0)',
    'val/corrector/clean_gain': 'corrector, gain between\nclean samples (good: 1)',
    'val/detector/fault_gain': 'detector, gain\nalong faults (good: above 2)',
    'val/detector/selectivity': 'detector, selectivity (good: high)',
}
KEPT = (*FIGURES, 'val/loss', 'val/detection/auroc', 'val/recovery/seen', 'norm/corrector',
        'norm/detector')  # fmt: skip


def main() -> None:
    """Read the trials, draw them, and keep their figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('results', type=Path, help='results.json of a study')
    parser.add_argument('--out', type=Path, required=True, help='what to write, without ending')
    given = parser.parse_args()
    trials = [t for t in json.loads(given.results.read_text())['trials'] if t['metrics']]
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
    """The trade-off on the left, the figures over the grid on the right."""
    figure = new_figure(13.5, 6.2)
    left, right = np.ravel(figure.subfigures(1, 2, squeeze=False, width_ratios=[1, 2.1]))
    draw_trade_off(left.subplots(), trials)
    for axes, (name, title) in zip(np.ravel(right.subplots(2, 3)), FIGURES.items(), strict=True):
        draw_grid(axes, trials, name, title)
    return figure


def draw_trade_off(axes: Axes, trials: list[dict[str, Any]]) -> None:
    """A dot for each trial: λ_con by colour, λ_sim by size."""
    values = {k: np.array([t['values'][k] for t in trials]) for k in (SIM, CON)}
    x, y = (np.array([t['metrics'].get(k, np.nan) for t in trials]) for k in list(FIGURES)[1::-1])
    ranks = {k: np.unique(v, return_inverse=True)[1] for k, v in values.items()}
    axes.scatter(x, y, s=40 + 90 * ranks[SIM], c=ranks[CON], cmap='viridis', edgecolor='white')
    for a, b, sim, con in zip(x, y, values[SIM], values[CON], strict=True):
        axes.annotate(f'{sim:g}, {con:g}', (a, b), xytext=(6, 5), textcoords='offset points',
                      fontsize=7)  # fmt: skip
    axes.margins(0.15)
    axes.set(xlabel='energy left', ylabel='F1', title='Trade-off: λ_sim (size), λ_con (colour)')


def draw_grid(axes: Axes, trials: list[dict[str, Any]], name: str, title: str) -> None:
    """A figure for each pair of λ as a coloured number."""
    sims, cons = (sorted({t['values'][k] for t in trials}) for k in (SIM, CON))
    grid = np.full((len(cons), len(sims)), np.nan)
    for t in trials:
        place = cons.index(t['values'][CON]), sims.index(t['values'][SIM])
        grid[place] = t['metrics'].get(name, np.nan)
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
