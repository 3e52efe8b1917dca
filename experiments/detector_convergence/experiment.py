"""Recall of the detector after each epoch, on clean and on faulty windows."""

from pathlib import Path
from typing import Any

from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import linspace

from experiments.runner.catalogue import Experiment
from experiments.runner.kept import gathered, publish, values_of
from experiments.runner.method_figures import draw_values
from experiments.runner.results import table, write_figure
from experiments.runner.run import Run
from experiments.runner.watched import watched
from lipfault.report.run import load_run
from lipfault.report.style import INK, RC, VERMILION, new_figure

FAULTY = 'val/detection/recall'
FALSE = 'val/detection/false_alarm_rate'
DAMAGE = 'val/detection/recall_damage_'
KIND = 'val/detection/recall_kind_'
WHOLE: dict[str, dict[str, Any]] = {
    'clean': {'color': INK, 'lw': 1.5, 'ls': '--'},
    'faulty': {'color': VERMILION, 'lw': 2.2},
}
"""Line styles of the curves over all clean and over all faulty windows."""


Curves = dict[str, list[float]]
"""Recall after each epoch, by group of windows."""


def report(preset: str, folder: Path) -> None:
    """Write tables and figure of the recall by epoch.

    Args:
        preset: `quick` or `full`.
        folder: Folder of the results.
    """
    measured = gathered(watched(preset), folder, by_epoch)
    found = values_of(measured)
    lines: list[str] = []
    for name, seeds in found.items():
        for seed, curves in seeds.items():
            epochs = [str(e + 1) for e in range(max((len(c) for c in curves.values()), default=0))]
            rows = {k: [f'{v:.4g}' for v in curves[k]] for k in in_order(curves)}
            heads = ['recall after epoch', *epochs]
            lines += [f'## {name}, seed {seed}', '', *table(heads, rows), '']
    publish(folder, found, lines, measured)
    if found:
        first = {name: next(iter(seeds.values())) for name, seeds in found.items()}
        write_figure(folder, 'convergence', draw(first))


def by_epoch(run: Run) -> Curves:
    """Return the recall after each epoch on calibration windows.

    Args:
        run: A run that was validated after every epoch.

    Returns:
        Curves of all clean windows (1 minus the false alarm rate), of all faulty ones, and of the
        faulty ones by damage and by kind.
    """
    history = load_run(run.folder).history
    found: Curves = {}
    # The recall of clean windows is the share without an alarm.
    if FALSE in history:
        found['clean'] = [1 - v for v in history[FALSE].value.tolist()]
    if FAULTY in history:
        found['faulty'] = history[FAULTY].value.tolist()
    for key in (k for k in history if k.startswith(DAMAGE)):
        # `..._recall_damage_16_64` becomes `damage 16 to 64`.
        low, high = key.removeprefix(DAMAGE).split('_')
        found[f'damage {low} to {high}'] = history[key].value.tolist()
    for key in sorted(k for k in history if k.startswith(KIND)):
        found[f'kind {key.removeprefix(KIND)}'] = history[key].value.tolist()
    return found


def in_order(curves: Curves) -> list[str]:
    """Return the names of the curves: all windows first, then by damage, then by kind.

    Args:
        curves: Curves from `by_epoch`.
    """
    damages = sorted(
        (key for key in curves if key.startswith('damage')), key=lambda k: float(k.split()[1])
    )
    kinds = sorted(key for key in curves if key.startswith('kind'))
    return [*(key for key in WHOLE if key in curves), *damages, *kinds]


def draw(values: dict[str, Curves]) -> Figure:
    """Draw a column per block: recall by damage above, by kind of fault below.

    Args:
        values: Curves by block.
    """
    with rc_context(RC):
        # Height of the lower row: 0.17 inch per kind, the size of a printed number.
        kinds = max(sum(k.startswith('kind') for k in curves) for curves in values.values())
        figure = new_figure(5.4 * len(values), 4.6 + (0.6 + 0.17 * kinds if kinds else 0))
        ratios = [4.6, 0.6 + 0.17 * kinds] if kinds else [1]
        grid = figure.subplots(len(ratios), len(values), squeeze=False, height_ratios=ratios)
        for column, (name, curves) in zip(grid.T, values.items(), strict=True):
            _draw_damages(column[0], curves)
            column[0].set_title(name)
            if kinds:
                _draw_kinds(column[1], curves)
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc='outside lower center', ncols=5, fontsize=8)
    return figure


def _draw_damages(axes: Axes, curves: Curves) -> None:
    damages = [key for key in in_order(curves) if key.startswith('damage')]
    # The larger the damage, the darker the line.
    shades = dict(zip(damages, colormaps['Blues'](linspace(0.3, 1, len(damages))), strict=True))
    for key in (*WHOLE, *damages):
        style = {'color': shades[key], 'lw': 1.2} if key in shades else WHOLE[key]
        epochs = range(1, len(curves.get(key, [])) + 1)
        axes.plot(epochs, curves.get(key, []), marker='o', ms=3, label=key, **style)
    axes.set(xlabel='epoch', ylabel='recall', ylim=(0, 1.02))


def _draw_kinds(axes: Axes, curves: Curves) -> None:
    """Draw recall by kind (rows, those detected earliest on top) and epoch (columns)."""
    kinds = [key for key in curves if key.startswith('kind')]
    if not kinds:
        axes.set_axis_off()  # a block without recall by kind beside one with it
        return
    kinds.sort(key=lambda key: -sum(curves[key]))
    axes.imshow([curves[k] for k in kinds], cmap='Blues', vmin=0, vmax=1, aspect='auto')
    draw_values(axes, [curves[kind] for kind in kinds], '.2f', 6.5, dark_above=0.6)
    epochs = range(len(curves[kinds[0]]))
    axes.set_xticks(epochs, labels=[str(epoch + 1) for epoch in epochs])
    axes.set_yticks(range(len(kinds)), labels=[k.removeprefix('kind ') for k in kinds], fontsize=7)
    axes.set(xlabel='epoch', title='recall by kind of fault')
    axes.grid(visible=False)


EXPERIMENT = Experiment(
    question='How fast does the fault detector converge, on clean and on faulty windows?',
    cost={'quick': '2 min', 'full': '20 min'},
    report=report,
    columns=watched,
)
