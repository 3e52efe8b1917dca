"""Figure of the localization: confusion of the true and the predicted faulty modality."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.results import SPLIT_NAMES, Array, Split
from lipfault.report.run import Run
from lipfault.report.style import GRID, RIGHT, WRONG, new_figure


def draw_localization(run: Run) -> Figure:
    """Draw the confusion matrix of each split, with clean samples and missed faults.

    Args:
        run: A run whose `results.npz` has scores and predicted modalities.

    Returns:
        The figure.

    Raises:
        NothingToShow: If the run has no scores.
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
    """Count samples by true (rows) and predicted (columns) faulty modality.

    The last row holds clean samples, the last column samples without an alarm.

    Args:
        split: A test split.
        threshold: Anomaly score above which a sample is an alarm.
        modalities: Number of modalities.

    Returns:
        Counts (modality + 1, modality + 1), int.

    Reference:
        Powers, Evaluation: from precision, recall and F-measure to ROC, 2011:
        https://arxiv.org/abs/2010.16061
    """
    alarm = (split.score > threshold) & (split.predicted_modality >= 0)
    true = np.where(split.faulty, split.modality, modalities)
    predicted = np.where(alarm, split.predicted_modality, modalities)
    counts = np.zeros((modalities + 1, modalities + 1), dtype=int)
    # `counts[true, predicted] += 1` would count repeated pairs once.
    np.add.at(counts, (true, predicted), 1)
    return counts


def _draw_confusion(axes: Axes, counts: Array, names: Sequence[str]) -> None:
    """Draw the share of each row as colour, with percentage and count as text."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right = np.eye(len(counts), dtype=bool)
    axes.imshow(np.where(right, share, np.nan), cmap=RIGHT, vmin=0, vmax=1)
    # Errors reach full colour at 0.5: a few percent must stay visible.
    axes.imshow(np.where(right, np.nan, share), cmap=WRONG, vmin=0, vmax=0.5)
    for (row, column), count in np.ndenumerate(counts):
        text = f'{100 * share[row, column]:.1f} %\n{count}' if count else '0'
        axes.text(column, row, text, ha='center', va='center', fontsize=8)
    ticks = range(len(names) + 1)
    axes.set_xticks(ticks, labels=[*names, 'no alarm'], rotation=20, ha='right')
    axes.set_yticks(ticks, labels=[*names, 'clean'])
    axes.set(xlabel='predicted faulty modality', ylabel='true faulty modality')
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(0.5, len(names)), minor=True)
    axes.set_yticks(np.arange(0.5, len(names)), minor=True)
    axes.grid(visible=False)
    axes.grid(which='minor', color=GRID)
    axes.tick_params(which='minor', length=0)
    axes.spines[:].set(visible=True, color=GRID)
