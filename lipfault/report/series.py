"""Figure of series samples: the most affected channels over time, and the fault maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.results import Array, Examples
from lipfault.report.selection import most_affected_channels, sample_label, select_samples
from lipfault.report.style import SIGNAL_COLOURS, VERMILION, new_figure, show_map

ROWS = 6
CHANNELS = 3
"""Largest number of samples in the figure, and of channels per sample."""

_LINES: dict[str, dict[str, Any]] = {
    'clean': {'lw': 2.6, 'alpha': 0.3},
    'faulty': {'lw': 1.2},
    'reconstruction_faulty': {'lw': 1.1, 'ls': '--', 'label': 'reconstruction of faulty'},
    'reconstruction': {'lw': 1.3},
    'corrected': {'lw': 1.3},
}
_MAPS = {'true_map': 'true\nfault map', 'fault_map': 'predicted\nfault map'}


def draw_series(examples: Examples, kinds: Sequence[str]) -> Figure:
    """Draw a row per sample: its most affected channels, the true and the predicted fault map.

    Args:
        examples: Samples of a series modality.
        kinds: Names of the fault kinds.

    Returns:
        The figure, with at most `ROWS` samples of at most `CHANNELS` channels.
    """
    chosen = select_samples(examples.kind, examples.severity, ROWS)
    channels = min(CHANNELS, examples.clean.shape[1])
    maps = [key for key in _MAPS if getattr(examples, key) is not None]
    figure = new_figure(1.1 + 2.9 * channels + 1.35 * len(maps), 0.6 + 1.55 * len(chosen))
    widths = [2.0] * channels + [0.85] * len(maps)
    grid = figure.subplots(len(chosen), len(widths), squeeze=False, width_ratios=widths)
    for row, index in zip(grid, chosen, strict=True):
        selected = most_affected_channels(examples, index, channels)
        for axes, channel in zip(row, selected, strict=False):
            draw_channel(axes, examples, index, channel)
        for axes, key in zip(row[channels:], maps, strict=True):
            show_map(axes, getattr(examples, key)[index], aspect='auto')  # (channel, time)
        # An annotation: a long y label would shift the axes of this row alone.
        at: Any = {'xycoords': 'axes fraction', 'ha': 'right', 'va': 'center'}
        row[0].annotate(sample_label(examples, index, kinds), (-0.24, 0.5), **at)
    _label(figure, grid, channels, maps)
    return figure


def draw_channel(axes: Axes, examples: Examples, index: int, channel: int) -> None:
    """Draw all versions of one channel over time, with the faulty interval shaded.

    Args:
        axes: Axes to draw on.
        examples: Samples of a series modality.
        index: Index of the sample.
        channel: Index of the channel.
    """
    versions = {key: getattr(examples, key) for key in _LINES}
    for key, signal in versions.items():
        if signal is not None:
            line = {'label': key, 'color': SIGNAL_COLOURS[key]} | _LINES[key]
            axes.plot(signal[index, channel], **line)
    if examples.true_map is not None:
        _shade(axes, examples.true_map[index, channel] > 0.5)
    axes.margins(x=0)
    axes.locator_params(axis='y', nbins=4)
    axes.tick_params(labelsize=7.5)
    name, unit = examples.channels[channel], examples.units[channel]
    shown_unit = f' [{unit}]' if unit not in ('', '1') else ''  # 1: dimensionless
    axes.set_title(f'{name or f"channel {channel}"}{shown_unit}', fontsize=8.5, weight='normal')


def _label(figure: Figure, grid: Any, channels: int, maps: Sequence[str]) -> None:  # noqa: ANN401
    """Add the titles of the maps, the time axes and the legend."""
    for axes in grid[-1, :channels]:
        axes.set_xlabel('time step')
    for axes, key in zip(grid[0, channels:], maps, strict=True):
        axes.set_title(_MAPS[key], fontsize=9, loc='center')
    if maps:
        grid[-1, channels].set_xlabel('time →', fontsize=8)
        grid[-1, channels].set_ylabel('channel →', fontsize=8)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside upper center', ncols=len(labels))


def _shade(axes: Axes, faulty: Array) -> None:
    """Shade the faulty time steps, `faulty` being (time,) bool."""
    # Zeros on both ends give every interval a start and a stop.
    edges = np.flatnonzero(np.diff(np.concatenate([[0], faulty.astype(int), [0]])))
    for start, stop in edges.reshape(-1, 2):
        axes.axvspan(start - 0.5, stop - 0.5, color=VERMILION, alpha=0.1, lw=0)
