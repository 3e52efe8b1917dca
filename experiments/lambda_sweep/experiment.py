"""What the weights of similarity and of contrast do together in the block as published."""

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

USUAL = 0.02
"""λ_con in the block as published."""

SIMS = {'quick': (0.1, 1.0), 'full': (0.0, 1.0, 10.0)}
CONS = {'quick': (USUAL,), 'full': (0.0, USUAL, 0.2)}

Figures = dict[tuple[float, float], dict[str, float]]
"""By λ_sim and λ_con, and key."""


def variants(preset: str) -> dict[tuple[float, float], Run]:
    """Runs by λ_sim and λ_con, on the first cell and seed; the usual λ_con is not in their name."""
    cell, seed = cells_and_seeds(preset)[0]
    found = {}
    for sim in SIMS[preset]:
        for con in CONS[preset]:
            name, overlays = overlays_of(sim)
            if con != USUAL:
                name += f'_con_{con}'
                overlays = (*overlays, f'experiments/lambda_sweep/con_{con}.yaml')
            found[sim, con] = stage_two(preset, cell, seed, name, overlays)
    return found


def report(preset: str, folder: Path) -> None:
    """A row for each pair of weights, and each figure over the grid."""
    seed = cells_and_seeds(preset)[0][1]
    pairs = {f'{sim:g}, {con:g}': (sim, con) for sim, con in variants(preset)}
    columns = {name: {seed: variants(preset)[pair]} for name, pair in pairs.items()}
    known = known_of(columns, results_folder('similarity_weight', preset))
    known |= gathered(columns, folder, measure)  # in the order of the columns
    measured = {name: seeds for name, seeds in known.items() if seeds}
    found = {pairs[name]: seeds[str(seed)] for name, seeds in values_of(measured).items()}
    values = {
        name: {str(seed): {'sim': pairs[name][0], 'con': pairs[name][1], **found[pairs[name]]}}
        for name in measured
    }
    publish(folder, values, seeds_table('λ_sim, λ_con (seeds)', values, KEYS), measured)
    if found:
        write_figure(folder, 'lambda_grid', draw(found))


def draw(found: Figures) -> Figure:
    """A panel for each figure, its value at each pair of weights; white is 0."""
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
    axes.imshow(grid, origin='lower', aspect='auto', cmap=RIGHT, alpha=0.75, vmin=0, vmax=most)
    for (row, column), value in np.ndenumerate(grid):
        text = '–' if math.isnan(value) else f'{value:.3g}'
        axes.text(column, row, text, ha='center', va='center')
    axes.set_xticks(range(len(sims)), labels=[f'{sim:g}' for sim in sims])
    axes.set_yticks(range(len(cons)), labels=[f'{con:g}' for con in cons])
    axes.set(xlabel='λ_sim', ylabel='λ_con')
    axes.grid(visible=False)


def runs(preset: str) -> list[Run]:
    """All pairs of weights."""
    return list(variants(preset).values())


EXPERIMENT = Experiment(
    question='What do similarity and contrast buy at the cost of each other in the block as '
    'published?',
    cost={'quick': '1 min', 'full': '40 min'},
    runs=runs,
    report=report,
)
