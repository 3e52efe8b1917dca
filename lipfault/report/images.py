"""Figure of image samples: clean, faulty, corrected, reconstructed, and the fault maps."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.results import Examples
from lipfault.report.selection import sample_label, select_samples
from lipfault.report.style import MAP, framed, new_figure, show_image, show_map

ROWS = 6
"""Largest number of samples in the figure."""

_COLUMNS = {
    'clean': 'clean',
    'faulty': 'faulty',
    'corrected': 'corrected',
    'reconstruction_faulty': 'reconstruction\nof faulty',
    'reconstruction_corrected': 'reconstruction\nof corrected',
    'reconstruction': 'reconstruction',
    'true_map': 'true\nfault map',
    'fault_map': 'predicted\nfault map',
}


def draw_images(examples: Examples, kinds: Sequence[str]) -> Figure:
    """Draw a grid: one row per sample, one column per version of the image and per fault map.

    Args:
        examples: Samples of an image modality.
        kinds: Names of the fault kinds.

    Returns:
        The figure, with at most `ROWS` samples.
    """
    columns = {key: text for key, text in _COLUMNS.items() if getattr(examples, key) is not None}
    if examples.faulty is None:
        columns |= {'error': 'absolute error'}
    chosen = select_samples(examples.kind, examples.severity, ROWS)
    figure = new_figure(1.1 + 1.45 * len(columns), 0.4 + 1.45 * len(chosen))
    grid = figure.subplots(len(chosen), len(columns), squeeze=False)
    for row, index in zip(grid, chosen, strict=True):
        for axes, key in zip(row, columns, strict=True):
            _draw_cell(axes, examples, key, index)
        row[0].set_ylabel(
            sample_label(examples, index, kinds), rotation=0, ha='right', va='center', labelpad=8
        )
    for axes, title in zip(grid[0], columns.values(), strict=True):
        axes.set_title(title, fontsize=9, loc='center')
    return figure


def _draw_cell(axes: Axes, examples: Examples, key: str, index: int) -> None:
    """Draw one version of one sample."""
    if key == 'error' and examples.reconstruction is not None:
        error = np.abs(examples.reconstruction[index] - examples.clean[index]).mean(axis=0)
        # At least 0.1 of the pixel range, else a near-perfect reconstruction shows its noise.
        axes.imshow(error, cmap=MAP, vmin=0, vmax=max(0.1, float(np.nanmax(error))))
        framed(axes)
    elif key.endswith('_map'):
        show_map(axes, getattr(examples, key)[index].max(axis=0))  # (channel, height, width)
    else:
        show_image(axes, getattr(examples, key)[index])
