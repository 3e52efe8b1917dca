"""Figures of methods: a chart of what people compare, and heat maps of recall."""

from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.runner.kept import Columns
from experiments.runner.method_tables import Figures
from experiments.runner.results import tested, write_figure
from experiments.runner.run import Run
from lipfault.report.recall import draw_recall_map
from lipfault.report.results import NothingToShow
from lipfault.report.run import load_run
from lipfault.report.style import BLUE, FAINT, INK, RC, grid_of, new_figure

Methods = Mapping[str, Mapping[int, Run]]
"""Runs by method and seed."""

Pairs = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Mean, low and high of the difference to ours, by method and figure."""

DRAWN = {
    'detection/f1': 'F1, seen kinds',
    'detection_unseen/f1': 'F1, kinds held out',
    'recovery/seen': 'recovery, seen kinds',
    'corrector/energy_left': 'energy left, seen kinds',
    'corrector/energy_left_unseen': 'energy left, kinds held out',
    'clean/degradation': 'harm to clean input',
}
"""Figures of the chart."""

DIFFERENCES = {'f1': 'F1', 'energy_left': 'energy left', 'recovery': 'recovery'}
"""Figures of which differences are drawn."""


def chart(metrics: Figures) -> Figure:
    """A panel for each figure: a dot for each seed, a bar for their mean.

    Args:
        metrics: By method and seed.
    """
    with rc_context(RC):
        figure = new_figure(10.5, 2 * (0.9 + 0.2 * len(metrics)))
        for axes, (key, title) in zip(figure.subplots(2, 3).flat, DRAWN.items(), strict=True):
            draw_bars(axes, metrics, key, title)
    return figure


def draw_bars(
    axes: Axes,
    metrics: Figures,
    key: str,
    title: str,
    colour_of: Callable[[str], str] = lambda name: BLUE,
) -> None:
    """One figure of all methods, the first on top: a dot for each seed, a bar for their mean.

    Args:
        axes: Where to draw.
        metrics: By method and seed.
        key: The figure.
        title: What it is called.
        colour_of: Colour of a method's bar.
    """
    names = list(metrics)[::-1]
    for place, name in enumerate(names):
        values = [m[key] for m in metrics[name].values() if key in m]
        if values:
            mean = sum(values) / len(values)
            axes.barh(place, mean, color=colour_of(name), alpha=0.35, height=0.7)
            axes.plot(values, [place] * len(values), '.', color=INK, ms=4)
    if key == 'clean/degradation':
        axes.set_xscale('symlog', linthresh=0.01)
    axes.set_yticks(range(len(names)), labels=names, fontsize=7)
    axes.set_title(title, fontsize=9)
    axes.grid(visible=False, axis='y')


def draw_differences(pairs: Mapping[str, Pairs], ours: str) -> Figure:
    """How far each other method is from ours, with the 95 % interval.

    Near zero the axes are linear, so that small differences and large ones are seen together.

    Args:
        pairs: By split (`''`, `', kinds held out'`).
        ours: The method from which all others are subtracted.
    """
    panels = [(figure, split) for split in pairs for figure in DIFFERENCES]
    rows = max(len(found) for found in pairs.values())
    with rc_context(RC):
        figure = new_figure(10.5, len(pairs) * (1.1 + 0.2 * rows))
        grid = figure.subplots(len(pairs), len(DIFFERENCES), squeeze=False)
        for axes, (key, split) in zip(grid.flat, panels, strict=True):
            _draw_intervals(axes, {n: f[key] for n, f in pairs[split].items() if key in f})
            axes.set_title(f'{DIFFERENCES[key]}{split}', fontsize=9)
            axes.set_xlabel(f'{ours} minus the other', fontsize=8)
    return figure


def _draw_intervals(axes: Axes, found: Mapping[str, Mapping[str, float]]) -> None:
    names = list(found)[::-1]
    for place, name in enumerate(names):
        low, mean, high = (found[name][key] for key in ('low', 'mean', 'high'))
        colour = INK if low <= 0 <= high else BLUE
        axes.plot([low, high], [place, place], color=colour, lw=1.6)
        axes.plot([mean], [place], 'o', color=colour, ms=4)
    axes.axvline(0, color=FAINT, lw=0.8)
    axes.set_xscale('symlog', linthresh=0.01)
    axes.set_yticks(range(len(names)), labels=names, fontsize=7)
    axes.tick_params(axis='x', labelsize=7)
    axes.grid(visible=False, axis='y')


def draw_recalls(stem: Path, methods: Methods, found: Columns) -> None:
    """Heat maps of the methods that are here; those of an earlier report stay if any is not."""
    here = {
        name: {seed: run for seed, run in methods[name].items() if tested(run)} for name in found
    }
    done = {name: runs for name, runs in here.items() if runs}
    if done and (len(done) == len(found) or not stem.with_suffix('.png').exists()):
        write_figure(stem.parent, stem.name, recall_maps(done))


def recall_maps(done: Methods) -> Figure:
    """Recall by fault kind and severity, one map for each method, its first seed."""
    with rc_context(RC):
        figure = new_figure(4.2 * min(3, len(done)), 5.2 * -(-len(done) // 3))
        for axes, (name, runs) in zip(grid_of(figure, len(done), 3), done.items(), strict=True):
            seed = min(runs)
            try:
                draw_recall_map(axes, load_run(runs[seed].folder), 'seen', counts=False)
            except NothingToShow as reason:
                axes.text(0.5, 0.5, str(reason), ha='center', va='center', wrap=True)
            axes.set_title(f'{name}, seed {seed}: recall in %', fontsize=9)
    return figure
