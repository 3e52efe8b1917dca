"""One look for all figures: size, type, and colours that a colour-blind reader can tell apart."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

INK = '#1f2933'
FAINT = '#8b97a3'
GRID = '#e4e8ec'

# The palette of Okabe & Ito (2008), https://jfly.uni-koeln.de/color
BLUE, VERMILION, GREEN, ORANGE = '#0072b2', '#d55e00', '#009e73', '#e69f00'
SKY, PURPLE, BROWN = '#56b4e9', '#cc79a7', '#7f5f3a'

ROLES = {
    'clean': INK,
    'faulty': VERMILION,
    'uncorrected': ORANGE,
    'corrected': BLUE,
    'cleaned': GREEN,
    'oracle': PURPLE,
}
"""Colour of each version of a signal, the same in all figures."""

SPLITS = {'seen': BLUE, 'unseen': VERMILION}
"""Colour of the fault kinds seen and not seen in training."""

_CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, BROWN)
_MARKERS = 'osD^vPX'

SHARE = LinearSegmentedColormap.from_list('share', ['#fbe3d1', '#fdf6ec', '#bfdcec', '#2f87bb'])
"""From vermilion (nothing) over paper to blue (everything); dark ink stays readable on it."""

RIGHT = LinearSegmentedColormap.from_list('right', ['#ffffff', '#2f87bb'])
WRONG = LinearSegmentedColormap.from_list('wrong', ['#ffffff', '#e8935a'])
"""Shares of right and wrong answers."""

MAP = LinearSegmentedColormap.from_list('map', ['#ffffff', '#f5c9a8', '#d55e00', '#6b2400'])
"""Fault maps, 0 (white) to 1."""

RC: Any = {
    'font.family': ['DejaVu Sans'],
    'font.size': 9.0,
    'text.color': INK,
    'axes.edgecolor': FAINT,
    'axes.labelcolor': INK,
    'axes.titlesize': 10.0,
    'axes.titleweight': 'bold',
    'axes.titlelocation': 'left',
    'axes.linewidth': 0.8,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'axes.axisbelow': True,
    'grid.color': GRID,
    'grid.linewidth': 0.8,
    'xtick.color': FAINT,
    'ytick.color': FAINT,
    'xtick.labelcolor': INK,
    'ytick.labelcolor': INK,
    'legend.frameon': False,
    'legend.fontsize': 8.5,
    'lines.linewidth': 1.6,
    'image.interpolation': 'nearest',
    'savefig.dpi': 120,
}
"""matplotlib settings to draw and save under, for `matplotlib.rc_context`."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that makes room for its labels by itself.

    Args:
        width: In inches.
        height: In inches.
    """
    return Figure(figsize=(width, height), layout='constrained')


def grid_of(figure: Figure, count: int, columns: int) -> Iterator[Axes]:
    """New axes row by row; places left over in the last row stay empty.

    Args:
        figure: Where they go.
        count: How many.
        columns: At most so many in a row.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    grid = figure.add_gridspec(rows, columns)
    for place in range(count):
        yield figure.add_subplot(grid[place // columns, place % columns])


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name, by its place; after seven they repeat.

    Args:
        names: What to tell apart.
    """
    return {name: _CYCLE[place % len(_CYCLE)] for place, name in enumerate(names)}


def markers(names: Sequence[str]) -> dict[str, str]:
    """A marker for each name, so that colour is never the only difference.

    Args:
        names: What to tell apart.
    """
    return {name: _MARKERS[place % len(_MARKERS)] for place, name in enumerate(names)}


def bare(axes: Axes) -> None:
    """Take ticks, frame and grid away: for images.

    Args:
        axes: Changed in place.
    """
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def framed(axes: Axes) -> None:
    """Take ticks and grid away and draw a thin frame: for maps that are mostly white.

    Args:
        axes: Changed in place.
    """
    bare(axes)
    axes.spines[:].set(visible=True, color=GRID)


def log_if_wide(axes: Axes, values: np.ndarray[Any, Any], ratio: float = 20.0) -> None:
    """A logarithmic y axis where the values are positive and span much.

    Args:
        axes: Changed in place.
        values: What was drawn, any shape.
        ratio: Largest over smallest value above which the axis is logarithmic.
    """
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() > 0 and finite.max() > ratio * finite.min():
        logarithmic(axes, 'y')


def logarithmic(axes: Axes, which: Literal['x', 'y']) -> None:
    """A logarithmic axis with plain numbers, at 1, 2 and 5 where it is short.

    Args:
        axes: Changed in place, after its limits are known.
        which: The axis.
    """
    getattr(axes, f'set_{which}scale')('log')
    low, high = getattr(axes, f'get_{which}lim')()
    axis = getattr(axes, f'{which}axis')
    if high < 150 * low:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter('{x:g}')
    axis.set_minor_formatter(NullFormatter())
