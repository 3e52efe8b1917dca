"""How fast the detector learns, on clean and on faulty windows."""

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from experiments.runner.catalogue import Experiment
from experiments.runner.kept import ready
from experiments.runner.results import table, write_figure, write_results
from experiments.runner.run import Run
from experiments.runner.watched import watched
from lipfault.report.run import Run as RunFolder
from lipfault.report.run import load_run
from lipfault.report.style import RC, colours, markers, new_figure

FAULTY = 'val/detection/recall'
FALSE = 'val/detection/false_alarm_rate'
DAMAGE = 'val/detection/recall_damage_'


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
    for key in sorted(k for k in history if k.startswith(DAMAGE)):
        low, high = key.removeprefix(DAMAGE).split('_')
        found[f'damage {low} to {high}'] = history[key].value.tolist()
    return found


def draw(values: dict[str, dict[str, list[float]]]) -> Figure:
    """A panel for each block."""
    with rc_context(RC):
        figure = new_figure(5.4 * len(values), 3.8)
        for axes, (name, curves) in zip(
            figure.subplots(1, len(values), squeeze=False)[0], values.items(), strict=True
        ):
            marks = markers(list(curves))
            for key, colour in colours(list(curves)).items():
                epochs = range(1, len(curves[key]) + 1)
                axes.plot(epochs, curves[key], color=colour, marker=marks[key], ms=4, label=key)
            axes.set(xlabel='epoch', ylabel='recall', ylim=(0, 1.02), title=name)
            axes.legend(fontsize=7.5)
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
