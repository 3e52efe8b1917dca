"""Image samples: what was seen, what was reconstructed, where the fault is."""

from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.picks import pick, sample_name
from lipfault.report.results import Array, Examples
from lipfault.report.style import MAP, bare, framed, new_figure

ROWS = 6
_COLUMNS = {
    'clean': 'clean',
    'faulty': 'faulty',
    'uncorrected': 'uncorrected\nreconstruction',
    'corrected': 'corrected\nreconstruction',
    'cleaned': 'cleaned\nsignal',
    'true_map': 'true fault',
    'fault_map': 'fault found',
}


def draw_images(examples: Examples, kinds: Sequence[str]) -> Figure:
    """A grid: one row per sample, one column per version of the image and per fault map.

    Args:
        examples: Samples of an image modality.
        kinds: Names of the fault kinds.
    """
    columns = {key: text for key, text in _COLUMNS.items() if getattr(examples, key) is not None}
    if examples.faulty is None:
        columns |= {'corrected': 'reconstruction', 'error': 'absolute error'}
    chosen = pick(examples.kind, examples.severity, ROWS)
    figure = new_figure(1.1 + 1.45 * len(columns), 0.4 + 1.45 * len(chosen))
    grid = figure.subplots(len(chosen), len(columns), squeeze=False)
    for row, place in zip(grid, chosen, strict=True):
        for axes, key in zip(row, columns, strict=True):
            _draw(axes, examples, key, place)
        row[0].set_ylabel(
            sample_name(examples, place, kinds), rotation=0, ha='right', va='center', labelpad=8
        )
    for axes, title in zip(grid[0], columns.values(), strict=True):
        axes.set_title(title, fontsize=9, loc='center')
    return figure


def picture(image: Array) -> Array:
    """An image as matplotlib shows it: (height, width, 3), or (height, width) where it is gray.

    Args:
        image: (channel, height, width) in [0, 1]; of other than three channels the mean is shown.
    """
    clipped = np.clip(np.nan_to_num(image), 0.0, 1.0)
    shown = clipped.transpose(1, 2, 0) if len(image) == 3 else clipped.mean(axis=0)
    return cast(Array, shown)


def show_map(axes: Axes, fault_map: Array, aspect: Literal['equal', 'auto'] = 'equal') -> None:
    """Draw a fault map on axes of its own, white where there is no fault.

    Args:
        axes: Where to draw.
        fault_map: (row, column) in [0, 1].
        aspect: `equal` keeps pixels square, `auto` fills the axes.
    """
    axes.imshow(fault_map, cmap=MAP, vmin=0, vmax=1, aspect=aspect)
    framed(axes)


def _draw(axes: Axes, examples: Examples, key: str, place: int) -> None:
    """One cell of the grid."""
    if key == 'error':
        error = np.abs(examples.corrected[place] - examples.clean[place]).mean(axis=0)
        axes.imshow(error, cmap=MAP, vmin=0, vmax=max(0.1, float(np.nanmax(error))))
        framed(axes)
    elif key.endswith('_map'):
        show_map(axes, getattr(examples, key)[place].max(axis=0))
    else:
        axes.imshow(picture(getattr(examples, key)[place]), cmap='gray', vmin=0, vmax=1)
        bare(axes)
