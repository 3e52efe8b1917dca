"""How fast the detector learns, on clean and on faulty windows."""

from pathlib import Path
from typing import Any

from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure
from numpy import linspace

from experiments.runner.catalogue import Experiment
from experiments.runner.kept import ready
from experiments.runner.results import table, write_figure, write_results
from experiments.runner.run import Run
from experiments.runner.watched import watched
from lipfault.report.run import Run as RunFolder
from lipfault.report.run import load_run
from lipfault.report.style import INK, RC, VERMILION, new_figure

FAULTY = 'val/detection/recall'
FALSE = 'val/detection/false_alarm_rate'
DAMAGE = 'val/detection/recall_damage_'
WHOLE: dict[str, dict[str, Any]] = {
    'clean': {'color': INK, 'lw': 1.5, 'ls': '--'},
    'faulty': {'color': VERMILION, 'lw': 2.2},
}
"""How the curves of all clean and of all faulty windows are drawn."""


def report(preset: str, folder: Path) -> None:
    """Recall by epoch of each block."""
    done = {name: load_run(run.folder) for name, run in watched(preset).items() if ready(run)}
    values = {name: by_epoch(run) for name, run in done.items()}
    lines: list[str] = []
    for name, curves in values.items():
        epochs = [str(e + 1) for e in range(max((len(c) for c in curves.values()), default=0))]
        rows = {k: [f'{v:.4g}' for v in c] for k, c in curves.items()}
        lines += [f'## {name}', '', *table(['recall after epoch', *epochs], rows), '']
    write_results(folder, values, lines or ['No run is done yet.'], runs=runs(preset))
    if values:
        write_figure(folder, 'convergence', draw(values))


def by_epoch(run: RunFolder) -> dict[str, list[float]]:
    """Recall after each epoch on calibration windows: clean, faulty, and faulty by damage."""
    history = run.history
    found: dict[str, Any] = {}
    if FALSE in history:
        found['clean'] = [1 - v for v in history[FALSE].value.tolist()]
    if FAULTY in history:
        found['faulty'] = history[FAULTY].value.tolist()
    of_damage = [k for k in history if k.startswith(DAMAGE)]
    for key in sorted(of_damage, key=lambda k: float(k.removeprefix(DAMAGE).split('_')[0])):
        low, high = key.removeprefix(DAMAGE).split('_')
        found[f'damage {low} to {high}'] = history[key].value.tolist()
    return found


def draw(values: dict[str, dict[str, list[float]]]) -> Figure:
    """A panel for each block; the larger the damage, the darker its line."""
    with rc_context(RC):
        figure = new_figure(5.4 * len(values), 4.6)
        for axes, (name, curves) in zip(
            figure.subplots(1, len(values), squeeze=False)[0], values.items(), strict=True
        ):
            damages = [key for key in curves if key.startswith('damage')]
            shades = dict(
                zip(damages, colormaps['Blues'](linspace(0.3, 1, len(damages))), strict=True)
            )
            for key, curve in curves.items():
                style = {'color': shades[key], 'lw': 1.2} if key in shades else WHOLE[key]
                axes.plot(range(1, len(curve) + 1), curve, marker='o', ms=3, label=key, **style)
            axes.set(xlabel='epoch', ylabel='recall', ylim=(0, 1.02), title=name)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc='outside lower center', ncols=5, fontsize=8)
    return figure


def runs(preset: str) -> list[Run]:
    """Both blocks, watched; the runs of `training_dynamics`."""
    return list(watched(preset).values())


EXPERIMENT = Experiment(
    question='How fast does the failure detector converge, on clean and on faulty windows?',
    cost={'quick': '2 min', 'full': '20 min'},
    runs=runs,
    report=report,
)
