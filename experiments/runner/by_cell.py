"""Report with one section and one figure per cell."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.runner.kept import Values, gathered, publish, values_of
from experiments.runner.method_figures import Methods
from experiments.runner.results import write_figure
from experiments.runner.run import Run

MethodValues = Mapping[str, Mapping[str, Any]]
"""Measurements by method and seed."""


def report_cells(
    cells: Mapping[str, Methods],
    folder: Path,
    measure: Callable[[str, Run], Values],
    section: Callable[[MethodValues], list[str]],
    figures: tuple[str, Callable[[MethodValues], Figure]],
) -> None:
    """Measure methods on each cell; write a section of the page and a figure per cell.

    Args:
        cells: Runs by cell, method and seed.
        folder: Folder of the results.
        measure: Measures a tested run of a cell.
        section: Returns the lines below a cell's heading.
        figures: Prefix of the file names, and the function that draws a cell.
    """
    measured = {
        cell: gathered(methods, folder, partial(measure, cell)) for cell, methods in cells.items()
    }
    found = {cell: values_of(columns) for cell, columns in measured.items() if columns}
    lines: list[str] = []
    stem, draw = figures
    for cell, methods in found.items():
        lines += [f'## {cell}', '', *section(methods), '']
        write_figure(folder, f'{stem}_{cell}', draw(methods))
    publish(folder, found, lines, *measured.values())
