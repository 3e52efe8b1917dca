"""The fault gain matrix of every method: measured on injected faults."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import mean

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from experiments.baselines.experiment import looked_at, runs_of
from experiments.runner.catalogue import Experiment
from experiments.runner.data import data_of
from experiments.runner.injected import injected_faults
from experiments.runner.kept import gathered, publish, values_of
from experiments.runner.once import once
from experiments.runner.results import over_seeds, table, write_figure
from experiments.runner.run import Run
from lipfault.lipschitz.fault_gain_matrix import measure
from lipfault.lipschitz.gains.pairwise import summarize
from lipfault.modality import Signals
from lipfault.report.style import RC, grid_of, new_figure
from lipfault.tasks.finetune import FinetuneTask
from lipfault.tasks.trained import trained_task

WINDOWS = {'quick': 64, 'full': 1000}
CHUNK = 64

Matrix = dict[str, dict[str, dict[str, float]]]
"""Figures by faulty and cleaned modality; `energy` is the root of the energy of all changes
over that of all faults, the others are of the gains of the single faults."""

Matrices = Mapping[str, Mapping[str, Matrix]]
"""By method and seed."""

SEED = 0
"""Of the faults, the same for all runs."""


def gain_matrix(task: FinetuneTask, faults: Mapping[str, tuple[Signals, Tensor]]) -> Matrix:
    """Change of each cleaned signal per change of each faulty one, Euclidean norms.

    Args:
        task: A trained stage 2.
        faults: From `injected_faults`.
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
        size = (faulty - clean[source]).flatten(1).double().norm(dim=1)
        for output in clean:
            of_faults = torch.cat([each[output] for each in gains]).double()
            moved = (of_faults * size)[of_faults.isfinite()]
            summary = summarize(of_faults)
            found.setdefault(source, {})[output] = {
                'energy': float(moved.norm() / size.norm()),
                'mean': summary.mean,
                'p95': summary.p95,
                'largest': summary.largest,
                'faults': float(summary.pairs),
            }
    return found


def report(preset: str, folder: Path) -> None:
    """Matrices of the methods that are done."""
    of_cells = {
        cell: gathered(methods, folder, partial(measured, preset, cell))
        for cell, methods in looked_at(preset).items()
    }
    found = {cell: values_of(columns) for cell, columns in of_cells.items() if columns}
    lines: list[str] = []
    for cell, methods in found.items():
        lines += [f'## {cell}', '', *table_of(methods), '']
        write_figure(folder, f'gains_{cell}', draw(methods))
    publish(folder, found, lines, *of_cells.values())


def measured(preset: str, cell: str, run: Run) -> Matrix:
    """The matrix of a tested run on faults of the test, measured once."""

    def measure_it() -> Matrix:
        task = trained_task(run.where)
        data = data_of(preset, cell, SEED)
        return gain_matrix(task, injected_faults(data, task.autoencoder, WINDOWS[preset]))

    return once(run, 'gain_matrix', measure_it)


def table_of(methods: Matrices) -> list[str]:
    """A row for each method, a column for each pair of faulty and cleaned modality."""
    rows = {
        f'{name} ({len(seeds)})': [
            f'{over_seeds(m[i][j]["energy"] for m in seeds.values())} '
            f'({mean(m[i][j]["mean"] for m in seeds.values()):.3g})'
            for i, j in _pairs(seeds)
        ]
        for name, seeds in methods.items()
    }
    heads = [f'{i} → {j}' for i, j in _pairs(next(iter(methods.values())))]
    return table(['gain (mean over faults)', *heads], rows)


def _pairs(seeds: Mapping[str, Matrix]) -> list[tuple[str, str]]:
    return [(i, j) for i, row in next(iter(seeds.values())).items() for j in row]


def draw(methods: Matrices) -> Figure:
    """A map for each method: gain from the faulty modality (row) to the cleaned (column).

    The mean over the seeds, their number in brackets.
    """
    with rc_context(RC):
        count = len(methods)
        figure = new_figure(3.0 * min(4, count), 2.6 * -(-count // 4))
        for axes, (name, seeds) in zip(grid_of(figure, count, 4), methods.items(), strict=True):
            sources = list(dict.fromkeys(i for i, _ in _pairs(seeds)))
            outputs = list(dict.fromkeys(j for _, j in _pairs(seeds)))
            values = [
                [mean(m[i][j]['energy'] for m in seeds.values()) for j in outputs] for i in sources
            ]
            axes.imshow(values, cmap='Blues', vmin=0, vmax=1.2)
            for row, line in enumerate(values):
                for column, value in enumerate(line):
                    axes.text(
                        column, row, f'{value:.2g}', ha='center', va='center', fontsize=8,
                        color='white' if value > 0.7 else 'black',
                    )  # fmt: skip
            axes.set_xticks(
                range(len(outputs)), labels=outputs, fontsize=7, rotation=20, ha='right'
            )
            axes.set_yticks(range(len(sources)), labels=sources, fontsize=7)
            axes.grid(visible=False)
            axes.set(xlabel='cleaned', ylabel='faulty')
            axes.set_title(f'{name} ({len(seeds)})', fontsize=9)
    return figure


def runs(preset: str) -> list[Run]:
    """The runs of `baselines`."""
    return runs_of(looked_at(preset))


EXPERIMENT = Experiment(
    question='How far does a fault on one modality move what is cleaned of each?',
    cost={'quick': '1 min', 'full': '25 min'},
    runs=runs,
    report=report,
)
