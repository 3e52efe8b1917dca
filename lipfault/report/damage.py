"""Recall against damage: what cannot be seen cannot be found."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.recall import with_faults
from lipfault.report.results import Array
from lipfault.report.run import Run
from lipfault.report.style import FAINT, GRID, SPLITS, grid_of, logarithmic, new_figure

EDGES = np.geomspace(0.03, 3000, 17)
"""Ends of the bins, each a factor of about two, in units of the sensor's noise."""

LEAST_FAULTS = 5
"""Bins with fewer faults are not shown."""

EVERY = -1
"""In place of a modality's index: all modalities together."""


def draw_damage(run: Run) -> Figure:
    """Recall against damage, over all faults and for each modality.

    Args:
        run: A run whose `results.npz` has scores.

    Raises:
        NothingToShow: If it has none, or no fault in any split.
    """
    names = run.results.modalities
    panels = {'all modalities': EVERY} if len(names) > 1 else {}
    panels |= {name: place for place, name in enumerate(names)}
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = new_figure(3.6 * columns, 0.2 + 2.7 * rows)
    grid = grid_of(figure, len(panels), columns)
    for axes, (name, place) in zip(grid, panels.items(), strict=True):
        draw_damage_panel(axes, run, place)
        axes.set_title(name)
    return figure


def draw_damage_panel(axes: Axes, run: Run, modality: int = EVERY) -> None:
    """Recall in logarithmic bins of damage, with 95 % intervals and the noise floor.

    Args:
        axes: Where to draw.
        run: A run whose `results.npz` has scores.
        modality: Index of the modality whose faults count, `EVERY` for all faults.

    Raises:
        NothingToShow: If the run has no scores, or no fault in any split.
    """
    for name, split in with_faults(run.results.splits()).items():
        chosen = split.faulty & ((split.modality == modality) | (modality == EVERY))
        found = split.score[chosen] > run.results.threshold
        centre, recall, low, high = recall_by_damage(split.damage[chosen], found)
        axes.fill_between(centre, low, high, color=SPLITS[name], alpha=0.15, lw=0)
        axes.plot(centre, recall, 'o-', ms=3.5, color=SPLITS[name], label=f'{name} kinds')
    axes.axvspan(EDGES[0], 1.0, color=GRID, alpha=0.6, lw=0, zorder=0)
    axes.axvline(1.0, color=FAINT, lw=1)
    axes.text(0.8, 1.0, 'noise', ha='right', va='top', fontsize=7.5, color=FAINT)
    axes.set(xlim=(EDGES[0], EDGES[-1]), ylim=(0, 1.03))
    axes.set(xlabel='damage (RMS change / sensor noise)', ylabel='recall')
    logarithmic(axes, 'x')
    axes.legend(loc='lower right')


def recall_by_damage(damage: Array, found: Array) -> tuple[Array, Array, Array, Array]:
    """Recall in the bins between `EDGES`.

    Faults outside count to the outermost bin, undamaging ones (0) too.

    Args:
        damage: (fault,) RMS change in units of sensor noise.
        found: (fault,) bool, whether the fault was detected.

    Returns:
        Bin centre, recall, and the ends of its 95 % interval (Wilson 1927), of the bins with at
        least `LEAST_FAULTS` faults.
    """
    bins = len(EDGES) - 1
    place = np.digitize(np.clip(damage, EDGES[0], 0.999 * EDGES[-1]), EDGES) - 1
    count = np.bincount(place, minlength=bins)
    hits = np.bincount(place, weights=found, minlength=bins)
    some = count >= LEAST_FAULTS
    count, share = count[some], hits[some] / count[some]
    z = 1.96
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return np.sqrt(EDGES[:-1] * EDGES[1:])[some], share, middle - half, middle + half
