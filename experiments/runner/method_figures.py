"""Figures of methods: bar charts, paired differences, and heat maps of recall."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.runner.kept import Columns
from experiments.runner.method_tables import MethodMetrics
from experiments.runner.results import tested, write_figure
from experiments.runner.run import Run
from lipfault.report.recall import draw_recall_map
from lipfault.report.results import NothingToShow
from lipfault.report.run import load_run
from lipfault.report.style import BLUE, FAINT, INK, RC, grid_of, new_figure

Methods = Mapping[str, Mapping[int, Run]]
"""Runs by method and seed."""

Pairs = Mapping[str, Mapping[str, Mapping[str, float]]]
"""`mean`, `low` and `high` of a difference, by method and metric."""

DRAWN = {
    'detection/f1': 'F1, seen kinds',
    'detection_unseen/f1': 'F1, kinds held out',
    'recovery/seen': 'recovery, seen kinds',
    'corrector/energy_left_pooled': 'energy left (pooled), seen kinds',
    'corrector/energy_left_pooled_unseen': 'energy left (pooled), kinds held out',
    'clean/degradation': 'harm to clean input',
}
"""Metrics of the bar chart, and the titles of their panels."""

DIFFERENCES = {'f1': 'F1', 'energy_left': 'energy left, pooled', 'recovery': 'recovery'}
"""Metrics whose differences are drawn, and the titles of their panels."""


def chart(metrics: MethodMetrics) -> Figure:
    """Draw a panel per metric: a dot per seed, a bar for the mean.

    Args:
        metrics: Metrics by method and seed.
    """
    with rc_context(RC):
        # Inches: two rows of panels, each with 0.2 per method and 0.9 for title and axis.
        figure = new_figure(10.5, 2 * (0.9 + 0.2 * len(metrics)))
        for axes, (key, title) in zip(figure.subplots(2, 3).flat, DRAWN.items(), strict=True):
            draw_bars(axes, metrics, key, title)
    return figure


def draw_bars(
    axes: Axes,
    metrics: MethodMetrics,
    key: str,
    title: str,
    colour_of: Callable[[str], str] = lambda name: BLUE,
) -> None:
    """Draw one metric of all methods, the first on top: a dot per seed, a bar for the mean.

    Args:
        axes: Axes to draw into.
        metrics: Metrics by method and seed.
        key: Key of the metric.
        title: Title of the panel.
        colour_of: Returns the colour of a method's bar.
    """
    names = list(metrics)[::-1]  # matplotlib counts positions from below
    for position, name in enumerate(names):
        values = [m[key] for m in metrics[name].values() if key in m]
        if values:
            mean = sum(values) / len(values)
            axes.barh(position, mean, color=colour_of(name), alpha=0.35, height=0.7)
            axes.plot(values, [position] * len(values), '.', color=INK, ms=4)
    if key == 'clean/degradation':
        # From 0.001 to 20 between methods, and negative values are possible.
        axes.set_xscale('symlog', linthresh=0.01)
    axes.set_yticks(range(len(names)), labels=names, fontsize=7)
    axes.set_title(title, fontsize=9)
    axes.grid(visible=False, axis='y')


def draw_values(
    axes: Axes, values: Sequence[Sequence[float]], form: str, size: float, dark_above: float
) -> None:
    """Write the values of a heat map into its cells.

    Args:
        axes: Axes of the heat map.
        values: Values by row and column.
        form: Format of a value.
        size: Font size in points.
        dark_above: Value above which a cell of the colour map is dark, so that the text is white.
    """
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            colour = 'white' if value > dark_above else 'black'
            text = format(value, form)
            axes.text(column, row, text, ha='center', va='center', fontsize=size, color=colour)


def draw_differences(pairs: Mapping[str, Pairs], ours: str) -> Figure:
    """Draw the paired differences to each other method with their 95 % intervals.

    Args:
        pairs: Differences by split (`''`, `', kinds held out'`).
        ours: Method from which the others are subtracted.
    """
    panels = [(metric, split) for split in pairs for metric in DIFFERENCES]
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
    for position, name in enumerate(names):
        low, mean, high = (found[name][key] for key in ('low', 'mean', 'high'))
        colour = INK if low <= 0 <= high else BLUE
        axes.plot([low, high], [position, position], color=colour, lw=1.6)
        axes.plot([mean], [position], 'o', color=colour, ms=4)
    axes.axvline(0, color=FAINT, lw=0.8)
    # Linear within ±0.01, logarithmic outside: differences span three orders of magnitude.
    axes.set_xscale('symlog', linthresh=0.01)
    axes.set_yticks(range(len(names)), labels=names, fontsize=7)
    axes.tick_params(axis='x', labelsize=7)
    axes.grid(visible=False, axis='y')


def draw_recalls(stem: Path, methods: Methods, found: Columns) -> None:
    """Write heat maps of recall, from the run folders on this machine.

    An earlier figure stays if the runs of any method in the table are missing here.

    Args:
        stem: Path of the figure without suffix.
        methods: Runs by method and seed.
        found: Measurements behind the table, by method and seed.
    """
    here = {
        name: {seed: run for seed, run in methods[name].items() if tested(run)} for name in found
    }
    done = {name: runs for name, runs in here.items() if runs}
    if done and (len(done) == len(found) or not stem.with_suffix('.png').exists()):
        write_figure(stem.parent, stem.name, recall_maps(done))


def recall_maps(done: Methods) -> Figure:
    """Draw recall by fault kind and severity, one map per method, of its first seed.

    Args:
        done: Tested runs by method and seed.
    """
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
