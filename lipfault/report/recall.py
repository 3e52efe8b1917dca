"""Figure of the recall by kind and severity of the fault."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from lipfault.report.results import SPLIT_NAMES, Array, Split
from lipfault.report.run import Run
from lipfault.report.style import SHARE, new_figure

SEVERITIES = np.arange(1, 6)
"""Severities of the fault catalogue, mild to severe."""


def draw_recall(run: Run) -> Figure:
    """Draw heat maps of the recall by fault kind and severity, one for each split.

    Args:
        run: A run whose scores, kinds and severities are in `results.npz`.

    Returns:
        The figure, with one colour bar for all heat maps.

    Raises:
        NothingToShow: If the run has no scores, or no split has a faulty sample.
    """
    splits = run.results.faulty_splits()
    rows = max(len(split.fault_kinds) for split in splits.values())
    figure = new_figure(4.6 * len(splits) + 0.8, 1.1 + 0.36 * rows)
    grid = figure.subplots(1, len(splits), squeeze=False)[0]
    for axes, name in zip(grid, splits, strict=True):
        image = draw_recall_map(axes, run, name)
        # Equal limits give cells of equal height; the split with fewer kinds ends earlier.
        axes.set_ylim(rows - 0.5, -0.5)
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position('top')
    figure.colorbar(image, ax=list(grid), label='recall', shrink=0.9, aspect=30)
    return figure


def draw_recall_map(
    axes: Axes, run: Run, name: str, counts: bool = True, most: int | None = None
) -> AxesImage:
    """Draw recall in % and number of faults by kind (rows) and severity (columns).

    Args:
        axes: Axes to draw on.
        run: A run whose `results.npz` has scores.
        name: Test split.
        counts: Whether to write the number of faults too.
        most: Largest number of kinds, those with the lowest recall; `None` for all.

    Returns:
        The image, for a colour bar.

    Raises:
        NothingToShow: If the run has no scores of the split.
    """
    split = run.results.split(name)
    kinds = split.fault_kinds
    recall, count = recall_table(split, run.results.threshold, kinds)
    if most is not None and len(kinds) > most:
        hardest = np.sort(np.argsort(np.nanmean(recall, axis=1), kind='stable')[:most])
        kinds = [kinds[row] for row in hardest]
        recall, count = recall[hardest], count[hardest]
    image = axes.imshow(recall, cmap=SHARE, vmin=0, vmax=1, aspect='auto')
    for row, column in np.argwhere(count > 0):
        text = f'{100 * recall[row, column]:.0f}'
        axes.text(column, row, text, ha='center', va='center', fontsize=8.5 if counts else 7)
        if counts:
            text = f'n={count[row, column]}'
            axes.text(column + 0.45, row + 0.4, text, ha='right', fontsize=5.5, alpha=0.7)
    labels = [run.results.kinds[kind].replace('_', ' ') for kind in kinds]
    axes.set_yticks(range(len(kinds)), labels=labels)
    axes.set_xticks(range(len(SEVERITIES)), labels=[str(severity) for severity in SEVERITIES])
    axes.set(xlabel='severity', title=SPLIT_NAMES[name])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return image


def recall_table(split: Split, threshold: float, kinds: Sequence[int]) -> tuple[Array, Array]:
    """Compute recall and number of faults for each kind and severity.

    Args:
        split: A test split.
        threshold: Anomaly score above which a sample is an alarm.
        kinds: Indices of the fault kinds, one per row.

    Returns:
        Recall (kind, severity), NaN in cells without faults, and counts of the same shape.
    """
    detected = split.score > threshold
    # (sample, kind, severity)
    cells = (
        (split.kind[:, None, None] == np.asarray(kinds)[:, None])
        & (split.severity[:, None, None] == SEVERITIES)
        & split.faulty[:, None, None]
    )
    count = cells.sum(axis=0)
    hits = (cells & detected[:, None, None]).sum(axis=0)
    return np.where(count > 0, hits / np.maximum(count, 1), np.nan), count
