"""Series samples: the most affected channels over time, and the fault map."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.images import show_map
from lipfault.report.picks import most_affected, pick, sample_name
from lipfault.report.results import Array, Examples
from lipfault.report.style import ROLES, VERMILION, new_figure

ROWS = 6
CHANNELS = 3
_LINES: dict[str, dict[str, Any]] = {
    'clean': {'lw': 2.6, 'alpha': 0.3},
    'faulty': {'lw': 1.2},
    'uncorrected': {'lw': 1.1, 'ls': '--'},
    'corrected': {'lw': 1.3},
}


def draw_series(examples: Examples, kinds: Sequence[str]) -> Figure:
    """A row per sample: its most affected channels, the true and the found fault map.

    Args:
        examples: Samples of a series modality.
        kinds: Names of the fault kinds.
    """
    chosen = pick(examples.kind, examples.severity, ROWS)
    channels = min(CHANNELS, examples.clean.shape[1])
    maps = [key for key in ('true_map', 'fault_map') if getattr(examples, key) is not None]
    figure = new_figure(1.1 + 2.9 * channels + 1.35 * len(maps), 0.6 + 1.55 * len(chosen))
    widths = [2.0] * channels + [0.85] * len(maps)
    grid = figure.subplots(len(chosen), len(widths), squeeze=False, width_ratios=widths)
    for row, place in zip(grid, chosen, strict=True):
        shown = most_affected(examples, place, channels)
        for axes, channel in zip(row, shown, strict=False):
            draw_channel(axes, examples, place, channel)
        for axes, key in zip(row[channels:], maps, strict=True):
            show_map(axes, getattr(examples, key)[place], aspect='auto')
        row[0].annotate(
            sample_name(examples, place, kinds),
            (-0.24, 0.5),
            xycoords='axes fraction',
            ha='right',
            va='center',
        )
    for axes in grid[-1, :channels]:
        axes.set_xlabel('time step')
    for axes, key in zip(grid[0, channels:], maps, strict=True):
        axes.set_title({'true_map': 'true fault', 'fault_map': 'fault found'}[key], fontsize=9)
    if maps:
        grid[-1, channels].set_xlabel('time →', fontsize=8)
        grid[-1, channels].set_ylabel('channel →', fontsize=8)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside upper center', ncols=len(labels))
    return figure


def draw_channel(axes: Axes, examples: Examples, place: int, channel: int) -> None:
    """All versions of one channel over time, the span of the fault shaded.

    Args:
        axes: Where to draw.
        examples: Samples of a series modality.
        place: Index of the sample.
        channel: Index of the channel.
    """
    versions = {key: getattr(examples, key) for key in _LINES}
    lines = {key: signal[place, channel] for key, signal in versions.items() if signal is not None}
    for key, line in lines.items():
        label = 'reconstruction' if examples.faulty is None and key == 'corrected' else key
        axes.plot(line, color=ROLES[key], label=label, **_LINES[key])
    if examples.true_map is not None:
        _shade(axes, examples.true_map[place, channel] > 0.5)
    axes.margins(x=0)
    axes.locator_params(axis='y', nbins=4)
    axes.tick_params(labelsize=7.5)
    name, unit = examples.channels[channel], examples.units[channel]
    shown_unit = f' [{unit}]' if unit not in ('', '1') else ''
    axes.set_title(f'{name or f"channel {channel}"}{shown_unit}', fontsize=8.5, weight='normal')


def _shade(axes: Axes, faulty: Array) -> None:
    """Shade the time steps that are faulty."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], faulty.astype(int), [0]])))
    for start, stop in edges.reshape(-1, 2):
        axes.axvspan(start - 0.5, stop - 0.5, color=VERMILION, alpha=0.1, lw=0)
