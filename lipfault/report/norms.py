"""Norms and gains of corrector and detector: what the paper logs, and what it means."""

import re

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.results import NothingToShow
from lipfault.report.run import Curve, Run
from lipfault.report.style import BLUE, FAINT, INK, VERMILION, logarithmic, new_figure
from lipfault.tracking.names import PAPER_NORMS

COLOURS = {'corrector': BLUE, 'detector': VERMILION}
_NORMS = 'norm/(corrector|detector)'
_GAINS = {'fault_gain': '-', 'clean_gain': ':'}
_PROBED = {'fault_gain': 'fault', 'clean_gain': 'clean'}


def draw_norms(run: Run) -> Figure:
    """Norms over training, gains over training, and the norm of every layer, as far as logged.

    Args:
        run: Its `metrics.csv` or `metrics.json` has norms or gains.

    Raises:
        NothingToShow: If neither has any.
    """
    panels = [
        draw
        for draw, logged in (
            (draw_norm_history, _logged(run, _NORMS)),
            (
                draw_gain_history,
                _logged(run, r'(corrector|detector)/(fault|clean)_gain')
                or _logged(run, 'gain/(corrector|detector)/(fault|clean)'),
            ),
            (draw_layers, bool(layer_norms(run))),
        )
        if logged
    ]
    if not panels:
        raise NothingToShow('No norms and no gains in metrics.csv or metrics.json.')
    figure = new_figure(max(5.0, 3.9 * len(panels)), max(3.4, 0.6 + 0.2 * len(layer_norms(run))))
    for axes, draw in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        draw(axes, run)
    return figure


def draw_norm_history(axes: Axes, run: Run) -> None:
    """Product of spectral norms of both modules over training, with the paper's two figures.

    Args:
        axes: Where to draw.
        run: Its `metrics.csv` or `metrics.json` has `norm/corrector` or `norm/detector`.

    Raises:
        NothingToShow: If neither has one.
    """
    if not _logged(run, _NORMS):
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
    axes.set(xlabel='step', title='spectral norms (products)')
    logarithmic(axes, 'y')
    _legend(axes)


def draw_gain_history(axes: Axes, run: Run) -> None:
    """Gain along faults and between clean samples, for both modules, over training.

    From validations; where these are too few for a line, from the probe of `JacobianMonitor`.

    Args:
        axes: Where to draw.
        run: A run that logged gains.
    """
    for module, colour in COLOURS.items():
        for gain, style in _GAINS.items():
            label, key = f'{module}, {gain.replace("_", " ")}', f'{module}/{gain}'
            curve = history_of(run, key)
            if curve is None or len(curve.step) < 2:
                curve = run.history.get(f'gain/{module}/{_PROBED[gain]}', curve)
            _draw_line(axes, run, key, colour, style, label, curve)
    axes.axhline(1.0, color=FAINT, lw=0.9)
    axes.set(xlabel='step', title='effective gains')
    logarithmic(axes, 'y')
    _legend(axes)


def draw_layers(axes: Axes, run: Run) -> None:
    """Spectral norm of every layer of both modules after training, as dots.

    Args:
        axes: Where to draw.
        run: Its `metrics.json` has `norm/<module>/<layer>`.
    """
    norms = layer_norms(run)
    places = np.arange(len(norms))[::-1]
    for place, ((module, _), value) in zip(places, norms.items(), strict=True):
        axes.plot([1.0, value], [place, place], color=COLOURS[module], lw=1.2, alpha=0.5)
        axes.plot(value, place, 'o', color=COLOURS[module], ms=5)
    axes.axvline(1.0, color=FAINT, lw=0.9)
    labels = [f'{module[:3]}. {layer}' for module, layer in norms]
    axes.set_yticks(places, labels=labels, fontsize=7)
    axes.set(title='spectral norm of each layer')
    logarithmic(axes, 'x')


def layer_norms(run: Run) -> dict[tuple[str, str], float]:
    """Norms after training by (module, layer); without those that are not positive.

    Args:
        run: A run.
    """
    found = {key: re.fullmatch(r'norm/(corrector|detector)/(.+)', key) for key in run.metrics}
    return {
        (match[1], match[2]): run.metrics[key]
        for key, match in found.items()
        if match and run.metrics[key] > 0
    }


def history_of(run: Run, key: str) -> Curve | None:
    """The curve of a quantity, logged while training, validating or under its own name.

    Args:
        run: A run.
        key: Key of the quantity in `metrics.json`.

    Returns:
        The curve, `None` where nothing of the name was logged.
    """
    for prefix in ('val/', '', 'train/'):
        for suffix in ('', '_epoch', '_step'):
            if f'{prefix}{key}{suffix}' in run.history:
                return run.history[f'{prefix}{key}{suffix}']
    return None


def _draw_line(
    axes: Axes, run: Run, key: str, colour: str, style: str, label: str, curve: Curve | None
) -> None:
    """A curve and, where the test measured the quantity too, a dot at its end."""
    final = run.metrics.get(key)
    if curve is not None:
        axes.plot(curve.step, curve.value, color=colour, ls=style, label=label)
    if final is not None and final > 0:
        last = 0.0 if curve is None else float(curve.step.max())
        hollow = 'none' if style == ':' else colour
        axes.plot(
            last,
            final,
            'o',
            color=colour,
            mfc=hollow,
            ms=6,
            mec=INK,
            mew=0.8,
            label=label if curve is None else None,
            clip_on=False,
        )


def _legend(axes: Axes) -> None:
    """Below the panel, since lines run across the whole of it."""
    axes.legend(loc='upper center', bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=7.5)


def _logged(run: Run, pattern: str) -> bool:
    """Whether any key of the run matches."""
    full = re.compile(rf'(val/|train/)?{pattern}(_epoch|_step)?')
    return any(full.fullmatch(key) for key in (*run.history, *run.metrics))
