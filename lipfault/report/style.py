"""Style shared by all figures: sizes, fonts, colours, axes, images and fault maps."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

INK = '#1f2933'
FAINT = '#8b97a3'
GRID = '#e4e8ec'

# Okabe & Ito (2008), https://jfly.uni-koeln.de/color/, recommended for colour-blind readers by
# Wong (2011), https://doi.org/10.1038/nmeth.1618. Brown replaces yellow, too pale on white paper.
BLUE, VERMILION, GREEN, ORANGE = '#0072b2', '#d55e00', '#009e73', '#e69f00'
SKY, PURPLE, BROWN = '#56b4e9', '#cc79a7', '#7f5f3a'

SIGNAL_COLOURS = {
    'clean': INK,
    'faulty': VERMILION,
    'reconstruction_faulty': ORANGE,
    'corrected': BLUE,
    'reconstruction': BLUE,
}
"""Colour of each version of a signal, equal in all figures."""

SPLITS = {'seen': BLUE, 'unseen': VERMILION}
"""Colour of the test split with seen and with unseen fault kinds."""

_CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, BROWN)
_MARKERS = 'osD^vPX'

SHARE = LinearSegmentedColormap.from_list('share', ['#fbe3d1', '#fdf6ec', '#bfdcec', '#2f87bb'])
"""Shares from 0 (light vermilion) to 1 (blue), light enough for dark text."""

RIGHT = LinearSegmentedColormap.from_list('right', ['#ffffff', '#2f87bb'])
WRONG = LinearSegmentedColormap.from_list('wrong', ['#ffffff', '#e8935a'])
"""Shares of correct and of incorrect predictions."""

MAP = LinearSegmentedColormap.from_list('map', ['#ffffff', '#f5c9a8', '#d55e00', '#6b2400'])
"""Fault maps from 0 (white) to 1."""

RC: Any = {
    # DejaVu Sans ships with matplotlib, so figures have the same bytes on every machine.
    'font.family': ['DejaVu Sans'],
    'font.size': 9.0,
    'text.parse_math': False,  # a name with two dollar signs is a name
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
    # Interpolated pixels would hide dead pixels and the edges of fault maps.
    'image.interpolation': 'nearest',
    'savefig.dpi': 120,
}
"""matplotlib settings for drawing and saving, for `matplotlib.rc_context`."""


def new_figure(width: float, height: float) -> Figure:
    """Create an empty figure whose layout reserves space for labels.

    Args:
        width: Width in inches.
        height: Height in inches.

    Returns:
        Figure without pyplot state, safe in any thread.
    """
    return Figure(figsize=(width, height), layout='constrained')


def grid_of(figure: Figure, count: int, columns: int) -> Iterator[Axes]:
    """Add axes to a figure row by row; surplus cells of the last row stay empty.

    Args:
        figure: Figure to add the axes to.
        count: Number of axes.
        columns: Largest number of axes per row.

    Yields:
        The new axes.
    """
    columns = min(columns, count)
    rows = -(-count // columns)  # rounded up
    grid = figure.add_gridspec(rows, columns)
    for index in range(count):
        yield figure.add_subplot(grid[index // columns, index % columns])


def colours(names: Sequence[str]) -> dict[str, str]:
    """Assign a colour to each name by its index; after seven names colours repeat.

    Args:
        names: Names of the categories.

    Returns:
        Hexadecimal colour by name.

    Reference:
        Okabe & Ito, Color Universal Design, 2008: https://jfly.uni-koeln.de/color/
        Wong, Points of view: Color blindness, 2011: https://doi.org/10.1038/nmeth.1618
    """
    return {name: _CYCLE[index % len(_CYCLE)] for index, name in enumerate(names)}


def markers(names: Sequence[str]) -> dict[str, str]:
    """Assign a marker to each name, so that colour is never the only difference.

    Args:
        names: Names of the categories.

    Returns:
        matplotlib marker by name.
    """
    return {name: _MARKERS[index % len(_MARKERS)] for index, name in enumerate(names)}


def bare(axes: Axes) -> None:
    """Remove ticks, frame and grid, for images.

    Args:
        axes: Axes to change in place.
    """
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def framed(axes: Axes) -> None:
    """Remove ticks and grid and draw a thin frame, for maps that are mostly white.

    Args:
        axes: Axes to change in place.
    """
    bare(axes)
    axes.spines[:].set(visible=True, color=GRID)


def show_map(
    axes: Axes, fault_map: NDArray[Any], aspect: Literal['equal', 'auto'] = 'equal'
) -> None:
    """Draw a fault map, white where it is 0.

    Args:
        axes: Axes to draw on.
        fault_map: (row, column) values in [0, 1].
        aspect: `equal` draws square pixels, `auto` fills the axes.
    """
    axes.imshow(fault_map, cmap=MAP, vmin=0, vmax=1, aspect=aspect)
    framed(axes)


def show_image(axes: Axes, image: NDArray[Any]) -> None:
    """Draw an image in colour if it has three channels, else the mean of its channels in grey.

    Args:
        axes: Axes to draw on.
        image: (channel, height, width) values in [0, 1]; NaN is drawn black.
    """
    clipped = np.clip(np.nan_to_num(image), 0.0, 1.0)
    # matplotlib expects (height, width, channel) or (height, width)
    shown = clipped.transpose(1, 2, 0) if len(image) == 3 else clipped.mean(axis=0)
    axes.imshow(cast(NDArray[Any], shown), cmap='gray', vmin=0, vmax=1)
    bare(axes)


def log_if_wide(axes: Axes, values: NDArray[Any], ratio: float = 20.0) -> None:
    """Set a logarithmic y axis if the values are positive and span a wide range.

    Args:
        axes: Axes to change in place.
        values: Drawn values, any shape.
        ratio: Ratio of largest to smallest value above which the axis is logarithmic.
    """
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() > 0 and finite.max() > ratio * finite.min():
        logarithmic(axes, 'y')


def logarithmic(axes: Axes, which: Literal['x', 'y']) -> None:
    """Set a logarithmic axis with plain numbers, with ticks at 1, 2 and 5 on a short axis.

    Args:
        axes: Axes to change in place, after its limits are final.
        which: The axis.
    """
    getattr(axes, f'set_{which}scale')('log')
    low, high = getattr(axes, f'get_{which}lim')()
    axis = getattr(axes, f'{which}axis')
    # Below about two decades, ticks at powers of ten alone would be fewer than three.
    if high < 150 * low:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter('{x:g}')
    axis.set_minor_formatter(NullFormatter())
