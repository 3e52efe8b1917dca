"""Grid over the similarity and the contrastive weight of the block as published."""

import math
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.runner.catalogue import Experiment, results_folder
from experiments.runner.kept import gathered, known_of, publish, values_of
from experiments.runner.plan import cells_and_seeds, stage_two
from experiments.runner.results import seeds_table, write_figure
from experiments.runner.run import Run
from experiments.similarity_weight.experiment import KEYS, measure, overlays_of
from lipfault.report.style import RC, RIGHT, new_figure

PUBLISHED = 0.02
"""λ_con of `configs/block/paper.yaml`."""

SIMS = {'quick': (0.1, 1.0), 'full': (0.0, 1.0, 10.0)}
CONS = {'quick': (PUBLISHED,), 'full': (0.0, PUBLISHED, 0.2)}

Grid = dict[tuple[float, float], dict[str, float]]
"""Metrics by λ_sim and λ_con."""


def variants(preset: str) -> dict[tuple[float, float], Run]:
    """Return the runs by λ_sim and λ_con, on the first cell and seed.

    A run with the published λ_con has the name that it has in other experiments, which share it.

    Args:
        preset: `quick` or `full`.
    """
    cell, seed = cells_and_seeds(preset)[0]
    found = {}
    for sim in SIMS[preset]:
        for con in CONS[preset]:
            name, overlays = overlays_of(sim)
            if con != PUBLISHED:
                name += f'_con_{con}'
                overlays = (*overlays, f'experiments/lambda_sweep/con_{con}.yaml')
            found[sim, con] = stage_two(preset, cell, seed, name, overlays)
    return found


def report(preset: str, folder: Path) -> None:
    """Write a table with a row per pair of weights, and a heat map per metric.

    Args:
        preset: `quick` or `full`.
        folder: Folder of the results.
    """
    seed = cells_and_seeds(preset)[0][1]
    pairs = {f'{sim:g}, {con:g}': (sim, con) for sim, con in variants(preset)}
    columns = {name: {seed: variants(preset)[pair]} for name, pair in pairs.items()}
    # Pairs with the published λ_con may be measured in `similarity_weight` alone.
    known = known_of(columns, results_folder('similarity_weight', preset))
    # `known` has all columns, so the update keeps their order.
    known |= gathered(columns, folder, measure)
    measured = {name: seeds for name, seeds in known.items() if seeds}
    found = {pairs[name]: seeds[str(seed)] for name, seeds in values_of(measured).items()}
    values = {
        name: {str(seed): {'sim': pairs[name][0], 'con': pairs[name][1], **found[pairs[name]]}}
        for name in measured
    }
    publish(folder, values, seeds_table('λ_sim, λ_con (seeds)', values, KEYS), measured)
    if found:
        write_figure(folder, 'lambda_grid', draw(found))


def draw(found: Grid) -> Figure:
    """Draw a heat map per metric over both weights; white is 0.

    Args:
        found: Metrics by λ_sim and λ_con.
    """
    with rc_context(RC):
        figure = new_figure(10.5, 8.0)
        for axes, (key, title) in zip(figure.subplots(3, 3).flat, KEYS.items(), strict=True):
            _draw_grid(axes, {pair: m.get(key, math.nan) for pair, m in found.items()})
            axes.set_title(title, fontsize=9)
        return figure


def _draw_grid(axes: Axes, of_pair: dict[tuple[float, float], float]) -> None:
    sims, cons = (sorted(set(weights)) for weights in zip(*of_pair, strict=True))
    grid = np.array([[of_pair.get((sim, con), math.nan) for sim in sims] for con in cons])
    most = max((v for v in of_pair.values() if v > 0), default=1.0)
    # Rows are λ_con from below, columns are λ_sim.
    axes.imshow(grid, origin='lower', aspect='auto', cmap=RIGHT, alpha=0.75, vmin=0, vmax=most)
    for (row, column), value in np.ndenumerate(grid):
        text = '–' if math.isnan(value) else f'{value:.3g}'
        axes.text(column, row, text, ha='center', va='center')
    axes.set_xticks(range(len(sims)), labels=[f'{sim:g}' for sim in sims])
    axes.set_yticks(range(len(cons)), labels=[f'{con:g}' for con in cons])
    axes.set(xlabel='λ_sim', ylabel='λ_con')
    axes.grid(visible=False)


EXPERIMENT = Experiment(
    question='How do the similarity and the contrastive weight trade off in the block as '
    'published?',
    cost={'quick': '1 min', 'full': '40 min'},
    report=report,
    columns=variants,
)
