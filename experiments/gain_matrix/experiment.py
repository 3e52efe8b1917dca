"""Fault gain matrix of every method, measured on injected faults."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import mean

import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from experiments.baselines.experiment import methods_by_cell
from experiments.runner.by_cell import report_cells
from experiments.runner.catalogue import Experiment
from experiments.runner.data import data_of
from experiments.runner.injected import injected_faults
from experiments.runner.method_figures import draw_values
from experiments.runner.once import once
from experiments.runner.results import over_seeds, table
from experiments.runner.run import Run
from lipfault.lipschitz.fault_gain_matrix import measure
from lipfault.lipschitz.gains.pairwise import summarize
from lipfault.modality import Signals
from lipfault.report.style import RC, grid_of, new_figure
from lipfault.tasks.finetune import FinetuneTask
from lipfault.tasks.trained import trained_task

WINDOWS = {'quick': 64, 'full': 1000}
CHUNK = 64
"""Windows per batch."""

Matrix = dict[str, dict[str, dict[str, float]]]
"""Gains by faulty and corrected modality. `rms` is the root of the summed squared changes over the
root of the summed squared faults; the other entries summarize the gains of single faults."""

Matrices = Mapping[str, Mapping[str, Matrix]]
"""Matrices by method and seed."""

SEED = 0
"""Seed of the faults, the same for all runs."""


def gain_matrix(task: FinetuneTask, faults: Mapping[str, tuple[Signals, Tensor]]) -> Matrix:
    """Return the change of each corrected signal per change of each faulty one.

    Norms are Euclidean over a window, in standardized units (docs/theory.md, section 7).

    Args:
        task: A trained stage 2.
        faults: Clean and faulty signals from `injected_faults`.
    """
    found: Matrix = {}
    for source, (clean, faulty) in faults.items():
        gains = [
            measure(
                task.block.impute,
                {n: x[start : start + CHUNK] for n, x in clean.items()},
                {source: faulty[start : start + CHUNK]},
                source,
            )
            for start in range(0, len(faulty), CHUNK)
        ]
        size = (faulty - clean[source]).flatten(1).double().norm(dim=1)  # (fault,)
        for output in clean:
            of_faults = torch.cat([each[output] for each in gains]).double()
            # A fault that changes nothing has no gain.
            moved = (of_faults * size)[of_faults.isfinite()]
            summary = summarize(of_faults)
            found.setdefault(source, {})[output] = {
                'rms': float(moved.norm() / size.norm()),
                'mean': summary.mean,
                'p95': summary.p95,
                'largest': summary.largest,
                'faults': float(summary.pairs),
            }
    return found


def report(preset: str, folder: Path) -> None:
    """Write tables and heat maps of the tested methods.

    Args:
        preset: `quick` or `full`.
        folder: Folder of the results.
    """
    cells = methods_by_cell(preset)
    report_cells(cells, folder, partial(measured, preset), table_of, ('gains', draw))


def measured(preset: str, cell: str, run: Run) -> Matrix:
    """Return the matrix of a tested run on faults of the test, cached in its folder.

    Args:
        preset: `quick` or `full`.
        cell: Name of a shipped recording.
        run: A tested run of stage 2 on this cell.
    """

    def measure_it() -> Matrix:
        task = trained_task(run.where)
        data = data_of(preset, cell, SEED)
        return gain_matrix(task, injected_faults(data, task.autoencoder, WINDOWS[preset]))

    return once(run, 'gains', measure_it)


def table_of(methods: Matrices) -> list[str]:
    """Return a table with a row per method and a column per pair of modalities.

    Args:
        methods: Matrices by method and seed.
    """
    # Cell: RMS gain over seeds, and in brackets the mean over faults, averaged over seeds.
    rows = {
        f'{name} ({len(seeds)})': [
            f'{over_seeds(m[i][j]["rms"] for m in seeds.values())} '
            f'({mean(m[i][j]["mean"] for m in seeds.values()):.3g})'
            for i, j in _pairs(seeds)
        ]
        for name, seeds in methods.items()
    }
    heads = [f'{i} → {j}' for i, j in _pairs(next(iter(methods.values())))]
    return table(['RMS gain (mean over faults)', *heads], rows)


def _pairs(seeds: Mapping[str, Matrix]) -> list[tuple[str, str]]:
    return [(i, j) for i, row in next(iter(seeds.values())).items() for j in row]


def draw(methods: Matrices) -> Figure:
    """Draw a heat map per method: RMS gain from the faulty modality to the corrected one.

    Args:
        methods: Matrices by method and seed. The map shows the mean over seeds; the title has
            their number.
    """
    with rc_context(RC):
        count = len(methods)
        figure = new_figure(3.0 * min(4, count), 2.6 * -(-count // 4))
        for axes, (name, seeds) in zip(grid_of(figure, count, 4), methods.items(), strict=True):
            _draw_matrix(axes, seeds)
            axes.set_title(f'{name} ({len(seeds)})', fontsize=9)
    return figure


def _draw_matrix(axes: Axes, seeds: Mapping[str, Matrix]) -> None:
    sources = list(dict.fromkeys(i for i, _ in _pairs(seeds)))
    outputs = list(dict.fromkeys(j for _, j in _pairs(seeds)))
    values = [[mean(m[i][j]['rms'] for m in seeds.values()) for j in outputs] for i in sources]
    # One scale for all methods; 1.2 leaves room for a fault that is amplified.
    axes.imshow(values, cmap='Blues', vmin=0, vmax=1.2)
    draw_values(axes, values, '.2g', 8, dark_above=0.7)
    axes.set_xticks(range(len(outputs)), labels=outputs, fontsize=7, rotation=20, ha='right')
    axes.set_yticks(range(len(sources)), labels=sources, fontsize=7)
    axes.grid(visible=False)
    axes.set(xlabel='corrected', ylabel='faulty')


EXPERIMENT = Experiment(
    question='How strongly does a fault on one modality change each corrected modality?',
    cost={'quick': '1 min', 'full': '25 min'},
    report=report,
    columns=methods_by_cell,
)
