"""Figure of the recall by damage, the RMS change by the fault in units of the sensor noise."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.results import Array
from lipfault.report.run import Run
from lipfault.report.style import FAINT, GRID, SPLITS, grid_of, logarithmic, new_figure

EDGES = np.geomspace(0.03, 3000, 17)
"""Edges of the bins, a factor of about two apart, in units of the sensor noise."""

LEAST_FAULTS = 5
"""Bins with fewer faults are not drawn: their intervals would span most of the axis."""

ALL = -1
"""Index that stands for all modalities together."""


def draw_damage(run: Run) -> Figure:
    """Draw the recall against the damage, over all faults and for each modality.

    Args:
        run: A run whose `results.npz` has scores.

    Returns:
        The figure, with a panel for all faults first, then one for each modality.

    Raises:
        NothingToShow: If the run has no scores, or no split has a faulty sample.
    """
    names = run.results.modalities
    panels = {'all modalities': ALL} if len(names) > 1 else {}
    panels |= {name: index for index, name in enumerate(names)}
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)  # rounded up
    figure = new_figure(3.6 * columns, 0.2 + 2.7 * rows)
    grid = grid_of(figure, len(panels), columns)
    for axes, (name, index) in zip(grid, panels.items(), strict=True):
        draw_damage_panel(axes, run, index)
        axes.set_title(name)
    return figure


def draw_damage_panel(axes: Axes, run: Run, modality: int = ALL) -> None:
    """Draw the recall in logarithmic bins of the damage, with 95 % intervals and noise floor.

    Args:
        axes: Axes to draw on.
        run: A run whose `results.npz` has scores.
        modality: Index of the faulty modality, `ALL` for all faults.

    Raises:
        NothingToShow: If the run has no scores, or no split has a faulty sample.
    """
    for name, split in run.results.faulty_splits().items():
        chosen = split.faulty & ((split.modality == modality) | (modality == ALL))
        detected = split.score[chosen] > run.results.threshold
        centre, recall, low, high = recall_by_damage(split.damage[chosen], detected)
        axes.fill_between(centre, low, high, color=SPLITS[name], alpha=0.15, lw=0)
        axes.plot(centre, recall, 'o-', ms=3.5, color=SPLITS[name], label=f'{name} kinds')
    # Left of 1 the fault changes the signal by less than its sensor noise.
    axes.axvspan(EDGES[0], 1.0, color=GRID, alpha=0.6, lw=0, zorder=0)
    axes.axvline(1.0, color=FAINT, lw=1)
    axes.text(0.8, 1.0, 'noise', ha='right', va='top', fontsize=7.5, color=FAINT)
    axes.set(xlim=(EDGES[0], EDGES[-1]), ylim=(0, 1.03))
    axes.set(xlabel='damage (RMS change / sensor noise)', ylabel='recall')
    logarithmic(axes, 'x')
    axes.legend(loc='lower right')


def recall_by_damage(damage: Array, detected: Array) -> tuple[Array, Array, Array, Array]:
    """Compute the recall in the bins between `EDGES`.

    Faults outside count to the outermost bins, also those without damage (0).

    Args:
        damage: (fault,) RMS change in units of the sensor noise.
        detected: (fault,) bool, whether the fault was detected.

    Returns:
        Bin centre, recall, and lower and upper end of its 95 % interval, (bin,) each, for the bins
        with at least `LEAST_FAULTS` faults.

    Reference:
        Wilson, Probable inference, the law of succession, and statistical inference, 1927:
        https://doi.org/10.1080/01621459.1927.10502953
    """
    bins = len(EDGES) - 1
    # 0.999: digitize would put the last edge itself into a bin beyond the last.
    index = np.digitize(np.clip(damage, EDGES[0], 0.999 * EDGES[-1]), EDGES) - 1
    count = np.bincount(index, minlength=bins)
    hits = np.bincount(index, weights=detected, minlength=bins)
    enough = count >= LEAST_FAULTS
    count, share = count[enough], hits[enough] / count[enough]
    z = 1.96  # 97.5 % quantile of the normal distribution
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return np.sqrt(EDGES[:-1] * EDGES[1:])[enough], share, middle - half, middle + half
