"""Which modality was blamed for which fault."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.results import SPLIT_NAMES, Array, Split
from lipfault.report.run import Run
from lipfault.report.style import GRID, RIGHT, WRONG, new_figure


def draw_localization(run: Run) -> Figure:
    """Confusion of true and blamed modality, clean samples and missed faults included.

    Args:
        run: A run whose `results.npz` has scores and blamed modalities.

    Raises:
        NothingToShow: If it has none.
    """
    splits, names = run.results.splits(), run.results.modalities
    size = 1.6 + 0.8 * len(names)
    figure = new_figure((size + 0.7) * len(splits), size)
    grid = figure.subplots(1, len(splits), squeeze=False)[0]
    for axes, (name, split) in zip(grid, splits.items(), strict=True):
        _draw_confusion(axes, confusion(split, run.results.threshold, len(names)), names)
        axes.set_title(SPLIT_NAMES[name], fontsize=9.5)
    return figure


def confusion(split: Split, threshold: float, modalities: int) -> Array:
    """Number of samples by true modality (rows) and blamed modality (columns).

    The last row holds clean samples, the last column samples without an alarm.

    Args:
        split: A test split.
        threshold: Anomaly score above which there is an alarm.
        modalities: Number of modalities.

    Returns:
        Counts (modality + 1, modality + 1).
    """
    alarm = (split.score > threshold) & (split.predicted_modality >= 0)
    true = np.where(split.faulty, split.modality, modalities)
    blamed = np.where(alarm, split.predicted_modality, modalities)
    counts = np.zeros((modalities + 1, modalities + 1), dtype=int)
    np.add.at(counts, (true, blamed), 1)
    return counts


def _draw_confusion(axes: Axes, counts: Array, names: Sequence[str]) -> None:
    """Shares of each row as colour, with percentages and counts."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right = np.eye(len(counts), dtype=bool)
    axes.imshow(np.where(right, share, np.nan), cmap=RIGHT, vmin=0, vmax=1)
    axes.imshow(np.where(right, np.nan, share), cmap=WRONG, vmin=0, vmax=0.5)
    for (row, column), count in np.ndenumerate(counts):
        text = f'{100 * share[row, column]:.1f} %\n{count}' if count else '0'
        axes.text(column, row, text, ha='center', va='center', fontsize=8)
    places = range(len(names) + 1)
    axes.set_xticks(places, labels=[*names, 'no alarm'], rotation=20, ha='right')
    axes.set_yticks(places, labels=[*names, 'clean'])
    axes.set(xlabel='modality blamed', ylabel='modality truly faulty')
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(0.5, len(names)), minor=True)
    axes.set_yticks(np.arange(0.5, len(names)), minor=True)
    axes.grid(visible=False)
    axes.grid(which='minor', color=GRID)
    axes.tick_params(which='minor', length=0)
    axes.spines[:].set(visible=True, color=GRID)
