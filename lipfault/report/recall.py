"""Recall by kind and severity of the fault."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from lipfault.report.results import SPLIT_NAMES, Array, NothingToShow, Split
from lipfault.report.run import Run
from lipfault.report.style import SHARE, new_figure

SEVERITIES = np.arange(1, 6)


def draw_recall(run: Run) -> Figure:
    """Heat maps of recall by fault kind and severity, one for each split.

    Args:
        run: A run whose `results.npz` has scores.

    Raises:
        NothingToShow: If it has none, or no fault in any split.
    """
    splits = with_faults(run.results.splits())
    rows = max(len(kinds_in(split)) for split in splits.values())
    figure = new_figure(4.6 * len(splits) + 0.8, 1.1 + 0.36 * rows)
    grid = figure.subplots(1, len(splits), squeeze=False)[0]
    for axes, name in zip(grid, splits, strict=True):
        image = draw_recall_map(axes, run, name)
        axes.set_ylim(rows - 0.5, -0.5)
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position('top')
    figure.colorbar(image, ax=list(grid), label='recall', shrink=0.9, aspect=30)
    return figure


def draw_recall_map(
    axes: Axes, run: Run, name: str, counts: bool = True, most: int | None = None
) -> AxesImage:
    """Recall (in %) and number of faults by kind (rows) and severity (columns).

    Args:
        axes: Where to draw.
        run: A run whose `results.npz` has scores.
        name: Test split.
        counts: Whether to write the number of faults too.
        most: Show only so many kinds, those with the lowest recall.

    Returns:
        The image, for a colour bar.

    Raises:
        NothingToShow: If the run has no scores of the split.
    """
    split = run.results.split(name)
    kinds = kinds_in(split)
    recall, count = recall_table(split, run.results.threshold, kinds)
    if most is not None and len(kinds) > most:
        hardest = np.sort(np.argsort(np.nanmean(recall, axis=1), kind='stable')[:most])
        kinds = [kinds[row] for row in hardest]
        recall, count = recall[hardest], count[hardest]
    image = axes.imshow(recall, cmap=SHARE, vmin=0, vmax=1, aspect='auto')
    for row, column in np.argwhere(count > 0):
        shown = f'{100 * recall[row, column]:.0f}'
        axes.text(column, row, shown, ha='center', va='center', fontsize=8.5 if counts else 7)
        if counts:
            shown = f'n={count[row, column]}'
            axes.text(column + 0.45, row + 0.4, shown, ha='right', fontsize=5.5, alpha=0.7)
    labels = [run.results.kinds[kind].replace('_', ' ') for kind in kinds]
    axes.set_yticks(range(len(kinds)), labels=labels)
    axes.set_xticks(range(len(SEVERITIES)), labels=[str(severity) for severity in SEVERITIES])
    axes.set(xlabel='severity', title=SPLIT_NAMES[name])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return image


def recall_table(split: Split, threshold: float, kinds: Sequence[int]) -> tuple[Array, Array]:
    """Share of faults found, and their number, for each kind and severity.

    Args:
        split: A test split.
        threshold: Anomaly score above which a fault is found.
        kinds: Indices of the fault kinds, one per row.

    Returns:
        Recall (kind, severity), NaN where there are no faults, and counts of the same shape.
    """
    found = split.score > threshold
    cells = (
        (split.kind[:, None, None] == np.asarray(kinds)[:, None])
        & (split.severity[:, None, None] == SEVERITIES)
        & split.faulty[:, None, None]
    )
    count = cells.sum(axis=0)
    hits = (cells & found[:, None, None]).sum(axis=0)
    return np.where(count > 0, hits / np.maximum(count, 1), np.nan), count


def kinds_in(split: Split) -> list[int]:
    """Indices of the fault kinds that a split holds, sorted.

    Args:
        split: A test split.
    """
    return [int(kind) for kind in np.unique(split.kind[split.faulty]) if kind >= 0]


def with_faults(splits: dict[str, Split]) -> dict[str, Split]:
    """The splits that hold a fault.

    Args:
        splits: Test splits by name.

    Raises:
        NothingToShow: If none does.
    """
    found = {name: split for name, split in splits.items() if split.faulty.any()}
    if not found:
        raise NothingToShow('No test split has a faulty sample.')
    return found
