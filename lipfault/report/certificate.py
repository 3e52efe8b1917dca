"""Figure of the fault gain matrix of a certified run."""

import math
from typing import Any

from matplotlib.figure import Figure

from lipfault.report.results import NothingToShow
from lipfault.report.run import Run
from lipfault.report.style import FAINT, colours, logarithmic, new_figure
from lipfault.runs.layout import RunFolder
from lipfault.runs.reading import read_json

GAINS = {'measured': 'o', 'adversarial': '^', 'certified': '_'}
"""Gains of an entry in ascending order, and their markers."""


def certificate_statements(run: Run) -> str:
    """Return the statements of the certificate in physical units.

    Args:
        run: A run, certified or not.

    Returns:
        One sentence per entry of the matrix, empty if the run has no certificate.
    """
    content = _read(run)
    outdated = 'An older version of lipfault wrote certificate.json: run lipfault certify again.'
    return ' '.join(content.get('statements', [outdated])) if content else ''


def draw_certificate(run: Run) -> Figure:
    """Draw measured, adversarial and certified gain from faulty to corrected modality.

    Args:
        run: A run with `certificate.json`.

    Returns:
        The figure.

    Raises:
        NothingToShow: If the run has no certificate.
    """
    matrix = _read(run).get('matrix')
    if matrix is None:
        raise NothingToShow('No certificate.json: run lipfault certify.')
    paths = {f'{i} to {j}': entry for i, row in matrix.items() for j, entry in row.items()}
    figure = new_figure(max(5.0, 1.3 * len(paths)), 3.8)
    axes = figure.subplots()
    for key, marker in GAINS.items():
        # A gain of 0 has no place on a logarithmic axis.
        values = [entry[key] if entry[key] > 0 else math.nan for entry in paths.values()]
        axes.plot(
            range(len(paths)), values, marker, ms=8, label=key, color=colours(list(GAINS))[key]
        )
    axes.axhline(1.0, lw=0.9, color=FAINT)
    axes.set_xticks(range(len(paths)), labels=list(paths), rotation=20, ha='right')
    axes.set(title='fault gain', ylabel='change of the output / change by the fault')
    logarithmic(axes, 'y')
    axes.legend(loc='best')
    return figure


def _read(run: Run) -> dict[str, Any]:
    """Return the content of `certificate.json`, empty if the run has none."""
    file = RunFolder(run.folder).certificate
    return read_json(file) if file.exists() else {}
