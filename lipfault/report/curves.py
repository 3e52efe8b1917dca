"""Figure of the training: losses and other quantities logged over the optimizer steps."""

import re

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.results import NothingToShow
from lipfault.report.run import Curve, Run
from lipfault.report.style import BLUE, VERMILION, grid_of, log_if_wide, new_figure

MOST = 12
"""Largest number of panels."""

_STAGES = {'train': (BLUE, 'training'), 'val': (VERMILION, 'validation')}

# Quantities of the figure of norms and gains, bookkeeping of the trainer, and single fault kinds.
_ELSEWHERE = re.compile(r'norm|gain|grad|/lr$|_time|epoch|_kind_')


def draw_losses(run: Run) -> Figure:
    """Draw a panel per logged quantity, training and validation together, losses first.

    Args:
        run: A run with a `metrics.csv`.

    Returns:
        The figure, with at most `MOST` panels.

    Raises:
        NothingToShow: If the training logged nothing.
    """
    names = _names_of(run)
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)  # rounded up
    figure = new_figure(max(5.0, 2.8 * columns), 0.3 + 2.1 * rows)
    panels = list(grid_of(figure, len(names), columns))
    for axes, name in zip(panels, names, strict=True):
        draw_curve(axes, run.history, name)
    for axes in panels[-columns:]:
        axes.set_xlabel('step')
    panels[0].legend(loc='upper right')
    return figure


def draw_loss_panel(axes: Axes, run: Run) -> None:
    """Draw the first panel of `draw_losses`, the loss if it was logged.

    Args:
        axes: Axes to draw on.
        run: A run with a `metrics.csv`.

    Raises:
        NothingToShow: If the training logged nothing.
    """
    draw_curve(axes, run.history, _names_of(run)[0])
    axes.set_xlabel('step')
    axes.legend(loc='upper right')


def draw_curve(axes: Axes, history: dict[str, Curve], name: str) -> None:
    """Draw one quantity over the steps: epoch means opaque, single batches faint.

    Args:
        axes: Axes to draw on.
        history: Columns of `metrics.csv`.
        name: The quantity, without `train/` or `val/`.
    """
    values = [np.zeros(0)]
    for stage, (colour, label) in _STAGES.items():
        # Lightning appends _step and _epoch if a quantity is logged at both.
        for suffix, alpha in (('_step', 0.3), ('', 1.0), ('_epoch', 1.0)):
            curve = history.get(f'{stage}/{name}{suffix}')
            if curve is not None:
                # Few points, or a single one, need markers to be visible.
                marker = 'o' if len(curve.value) < 15 else ''
                (line,) = axes.plot(curve.step, curve.value, marker=marker, ms=3)
                line.set(color=colour, alpha=alpha, label=label if alpha == 1.0 else None)
                values.append(curve.value)
    log_if_wide(axes, np.concatenate(values), ratio=5)
    axes.tick_params(labelsize=7.5)
    axes.set_title(name.replace('_', ' '), fontsize=9)


def panel_names(history: dict[str, Curve]) -> list[str]:
    """List the quantities of training and validation that get a panel, losses first.

    Args:
        history: Columns of `metrics.csv`.

    Returns:
        Names without `train/` or `val/`.

    Example:
        >>> nothing = Curve(np.zeros(0), np.zeros(0))
        >>> keys = ['val/f1', 'train/loss_step', 'val/loss', 'val/recall_kind_bias']
        >>> panel_names(dict.fromkeys(keys, nothing))
        ['loss', 'f1']
    """
    found = [re.fullmatch(r'(train|val)/(.+?)(_step|_epoch)?', column) for column in history]
    names = dict.fromkeys(match[2] for match in found if match)
    kept = [name for name in names if not _ELSEWHERE.search(name)]
    return sorted(kept, key=lambda name: (name != 'loss', 'loss' not in name))


def _names_of(run: Run) -> list[str]:
    """Return the quantities to draw, or raise `NothingToShow` if there are none."""
    names = panel_names(run.history)[:MOST]
    if not names:
        raise NothingToShow('No training or validation curve in metrics.csv: run lipfault fit.')
    return names
