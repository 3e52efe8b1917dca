"""Figure of norms and gains of corrector and detector."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.results import NothingToShow
from lipfault.report.run import Curve, Run
from lipfault.report.style import BLUE, FAINT, INK, VERMILION, logarithmic, new_figure
from lipfault.tracking.names import PAPER_NORMS

COLOURS = {'corrector': BLUE, 'detector': VERMILION}
"""Colour of each module."""

_MODULES = '(corrector|detector)'
_GAINS = {'fault_gain': '-', 'clean_gain': ':'}
# Names under which `JacobianMonitor` logs the gains on its probe batch.
_PROBED = {'fault_gain': 'fault', 'clean_gain': 'clean'}


def draw_norms(run: Run) -> Figure:
    """Draw norms over training, gains over training, and the norm of every layer.

    Args:
        run: A run whose `metrics.csv` or `metrics.json` has norms or gains.

    Returns:
        The figure, without the panels that the run has no data for.

    Raises:
        NothingToShow: If the run has no norms and no gains.
    """
    gains = _logged(run, f'{_MODULES}/(fault|clean)_gain')
    gains = gains or _logged(run, f'gain/{_MODULES}/(fault|clean)')
    available = {
        draw_norm_history: _logged(run, f'norm/{_MODULES}'),
        draw_gain_history: gains,
        draw_layers: bool(layer_norms(run)),
    }
    panels = [draw for draw, has_data in available.items() if has_data]
    if not panels:
        raise NothingToShow('No norms and no gains in metrics.csv or metrics.json.')
    figure = new_figure(max(5.0, 3.9 * len(panels)), max(3.4, 0.6 + 0.2 * len(layer_norms(run))))
    for axes, draw in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        draw(axes, run)
    return figure


def draw_norm_history(axes: Axes, run: Run) -> None:
    """Draw the product of spectral norms of both modules over training, with the paper's values.

    Args:
        axes: Axes to draw on.
        run: A run with `norm/corrector` or `norm/detector` in `metrics.csv` or `metrics.json`.

    Raises:
        NothingToShow: If the run has no norms.

    Reference:
        Altinses & Schwung, 2026: https://arxiv.org/abs/2603.25103
    """
    if not _logged(run, f'norm/{_MODULES}'):
        raise NothingToShow('No norm/corrector and norm/detector in metrics.csv or metrics.json.')
    for module, colour in COLOURS.items():
        key = f'norm/{module}'
        _draw_line(axes, run, key, colour, '-', module, history_of(run, key))
        axes.axhline(PAPER_NORMS[module], color=colour, lw=0.9, ls='--')
        axes.annotate(
            f'paper {PAPER_NORMS[module]:g}',
            (0.02, PAPER_NORMS[module]),
            color=colour,
            fontsize=7.5,
            xycoords=('axes fraction', 'data'),
            va='bottom',
            bbox={'facecolor': 'white', 'alpha': 0.8, 'edgecolor': 'none', 'pad': 1},
        )
    _finish_history(axes, 'spectral norms (products)')


def draw_gain_history(axes: Axes, run: Run) -> None:
    """Draw the gains of both modules along faults and between clean samples, over training.

    Args:
        axes: Axes to draw on.
        run: A run with gains in `metrics.csv` or `metrics.json`.
    """
    for module, colour in COLOURS.items():
        for gain, style in _GAINS.items():
            label, key = f'{module}, {gain.replace("_", " ")}', f'{module}/{gain}'
            curve = history_of(run, key)
            # One validation is no line: the probe of JacobianMonitor is logged more often.
            if curve is None or len(curve.step) < 2:
                curve = run.history.get(f'gain/{module}/{_PROBED[gain]}', curve)
            _draw_line(axes, run, key, colour, style, label, curve)
    axes.axhline(1.0, color=FAINT, lw=0.9)
    _finish_history(axes, 'effective gains')


def draw_layers(axes: Axes, run: Run) -> None:
    """Draw the spectral norm of every layer of both modules after training.

    Args:
        axes: Axes to draw on.
        run: A run with `norm/<module>/<layer>` in `metrics.json`.
    """
    norms = layer_norms(run)
    rows = np.arange(len(norms))[::-1]  # the y axis points up
    for row, ((module, _), value) in zip(rows, norms.items(), strict=True):
        axes.plot([1.0, value], [row, row], color=COLOURS[module], lw=1.2, alpha=0.5)
        axes.plot(value, row, 'o', color=COLOURS[module], ms=5)
    axes.axvline(1.0, color=FAINT, lw=0.9)
    labels = [f'{module[:3]}. {layer}' for module, layer in norms]
    axes.set_yticks(rows, labels=labels, fontsize=7)
    axes.set(title='spectral norm of each layer')
    logarithmic(axes, 'x')


def layer_norms(run: Run) -> dict[tuple[str, str], float]:
    """Return the positive spectral norms after training.

    Args:
        run: A run.

    Returns:
        Norm by (module, layer).
    """
    found = {key: re.fullmatch(f'norm/{_MODULES}/(.+)', key) for key in run.metrics}
    return {
        (match[1], match[2]): run.metrics[key]
        for key, match in found.items()
        if match and run.metrics[key] > 0
    }


def history_of(run: Run, key: str) -> Curve | None:
    """Return the curve of a quantity, of validation if logged there, else of training.

    Args:
        run: A run.
        key: Key of the quantity in `metrics.json`.

    Returns:
        The curve, `None` if the quantity was not logged.
    """
    names = _logged_names(key)
    return next((run.history[name] for name in names if name in run.history), None)


def _logged_names(key: str) -> Iterator[str]:
    """Yield the names under which Lightning may have logged a quantity."""
    for prefix in ('val/', '', 'train/'):
        for suffix in ('', '_epoch', '_step'):
            yield f'{prefix}{key}{suffix}'


def _draw_line(
    axes: Axes, run: Run, key: str, colour: str, style: str, label: str, curve: Curve | None
) -> None:
    """Draw a curve, and the value of the test as a dot at its end."""
    final = run.metrics.get(key)
    if curve is not None:
        axes.plot(curve.step, curve.value, color=colour, ls=style, label=label)
    if final is not None and final > 0:
        last = 0.0 if curve is None else float(curve.step.max())
        # Hollow dots belong to dotted lines; the colour stands for the module in both.
        hollow = style == ':'
        dot: dict[str, Any] = {'mfc': 'none', 'mec': colour} if hollow else {'mec': INK}
        dot |= {'marker': 'o', 'color': colour, 'ms': 6, 'mew': 1.5 if hollow else 0.8}
        text = label if curve is None else None
        axes.plot(last, final, ls='', label=text, clip_on=False, **dot)


def _finish_history(axes: Axes, title: str) -> None:
    """Label a panel over training; its legend is below, since lines cross the whole panel."""
    axes.set(xlabel='step', title=title)
    logarithmic(axes, 'y')
    axes.legend(loc='upper center', bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=7.5)


def _logged(run: Run, pattern: str) -> bool:
    """Return whether any key of the run matches."""
    full = re.compile(rf'(val/|train/)?{pattern}(_epoch|_step)?')
    return any(full.fullmatch(key) for key in (*run.history, *run.metrics))
