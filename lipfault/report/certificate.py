"""The fault gain matrix of a certified run."""

import json
import math

from matplotlib.figure import Figure

from lipfault.report.results import NothingToShow
from lipfault.report.run import Run
from lipfault.report.style import logarithmic, new_figure

FIGURES = {'measured': 'o', 'adversarial': '^', 'certified': '_'}
"""Figures of an entry and their markers, each at least the one before."""


def plain_words(run: Run) -> str:
    """The certificate's sentences for an engineer; nothing if the run has no certificate."""
    file = run.folder / 'certificate.json'
    return ' '.join(json.loads(file.read_text())['plain']) if file.is_file() else ''


def draw_certificate(run: Run) -> Figure:
    """Measured, found and certified gain of every path, faulty modality to cleaned modality.

    Args:
        run: Its folder has `certificate.json`.

    Raises:
        NothingToShow: If it has none.
    """
    file = run.folder / 'certificate.json'
    if not file.is_file():
        raise NothingToShow('No certificate.json: run lipfault certify on this run.')
    matrix = json.loads(file.read_text())['matrix']
    paths = {f'{i} to {j}': entry for i, row in matrix.items() for j, entry in row.items()}
    figure = new_figure(max(5.0, 1.3 * len(paths)), 3.8)
    axes = figure.subplots()
    for key, marker in FIGURES.items():
        values = [entry[key] if entry[key] > 0 else math.nan for entry in paths.values()]
        axes.plot(range(len(paths)), values, marker, ms=8, label=key)
    axes.axhline(1.0, lw=0.9, color='0.7')
    axes.set_xticks(range(len(paths)), labels=list(paths), rotation=20, ha='right')
    axes.set(title='fault gain of each path')
    logarithmic(axes, 'y')
    axes.legend(loc='best')
    return figure
