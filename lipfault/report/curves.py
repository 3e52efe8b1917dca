"""What was logged over training: losses and other validation figures."""

import re

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.results import NothingToShow
from lipfault.report.run import Curve, Run
from lipfault.report.style import BLUE, VERMILION, grid_of, log_if_wide, new_figure

MOST = 12
_STAGES = {'train': (BLUE, 'training'), 'val': (VERMILION, 'validation')}
_ELSEWHERE = re.compile(r'norm|gain|grad|/lr$|_time|epoch')


def draw_losses(run: Run) -> Figure:
    """A panel per logged quantity, training and validation together; losses come first.

    Args:
        run: A run with a `metrics.csv`; at most twelve quantities are shown.

    Raises:
        NothingToShow: If nothing was logged while training.
    """
    names = _names_of(run)
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)
    figure = new_figure(max(5.0, 2.8 * columns), 0.3 + 2.1 * rows)
    panels = list(grid_of(figure, len(names), columns))
    for axes, name in zip(panels, names, strict=True):
        draw_curve(axes, run.history, name)
    for axes in panels[-columns:]:
        axes.set_xlabel('step')
    panels[0].legend(loc='upper right')
    return figure


def draw_loss_panel(axes: Axes, run: Run) -> None:
    """The first of the quantities of `draw_losses`: where there is one, the loss.

    Args:
        axes: Where to draw.
        run: A run with a `metrics.csv`.

    Raises:
        NothingToShow: If nothing was logged while training.
    """
    draw_curve(axes, run.history, _names_of(run)[0])
    axes.set_xlabel('step')
    axes.legend(loc='upper right')


def draw_curve(axes: Axes, history: dict[str, Curve], name: str) -> None:
    """One quantity over the steps: means over epochs in full, single batches faint.

    Args:
        axes: Where to draw.
        history: Columns of `metrics.csv`.
        name: The quantity, without `train/` or `val/`.
    """
    values = [np.zeros(0)]
    for stage, (colour, label) in _STAGES.items():
        for suffix, alpha in (('_step', 0.3), ('', 1.0), ('_epoch', 1.0)):
            curve = history.get(f'{stage}/{name}{suffix}')
            if curve is not None:
                marker = 'o' if len(curve.value) < 15 else ''
                (line,) = axes.plot(curve.step, curve.value, marker=marker, ms=3)
                line.set(color=colour, alpha=alpha, label=label if alpha == 1.0 else None)
                values.append(curve.value)
    log_if_wide(axes, np.concatenate(values), ratio=5)
    axes.tick_params(labelsize=7.5)
    axes.set_title(name.replace('_', ' '), fontsize=9)


def _names_of(run: Run) -> list[str]:
    """What to show of a run; `NothingToShow` where that is nothing."""
    names = panel_names(run.history)[:MOST]
    if not names:
        raise NothingToShow('No training or validation curve in metrics.csv; lipfault fit logs it.')
    return names


def panel_names(history: dict[str, Curve]) -> list[str]:
    """Quantities of training or validation that deserve a panel; losses first.

    Args:
        history: Columns of `metrics.csv`.

    Example:
        >>> nothing = Curve(np.zeros(0), np.zeros(0))
        >>> panel_names(dict.fromkeys(['val/f1', 'train/loss_step', 'val/loss'], nothing))
        ['loss', 'f1']
    """
    found = [re.fullmatch(r'(train|val)/(.+?)(_step|_epoch)?', column) for column in history]
    names = dict.fromkeys(match[2] for match in found if match)
    kept = [name for name in names if not _ELSEWHERE.search(name)]
    return sorted(kept, key=lambda name: (name != 'loss', 'loss' not in name))
