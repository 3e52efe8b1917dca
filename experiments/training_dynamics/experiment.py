"""Losses, errors, norms and gains over the training of both blocks."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.runner.catalogue import Experiment
from experiments.runner.kept import gathered, publish, ready, values_of
from experiments.runner.results import metrics_of, picked, seeds_table, write_figure
from experiments.runner.run import Run
from experiments.runner.watched import watched
from lipfault.report.norms import draw_norm_history
from lipfault.report.run import Run as RunFolder
from lipfault.report.run import load_run
from lipfault.report.style import RC, colours, logarithmic, new_figure

LOSSES = ('train/loss_rec', 'train/loss_sim', 'train/loss_con', 'train/loss_det')
ERRORS = {
    'val/corrector/energy_left_pooled': 'energy of the fault left',
    'val/clean/degradation': 'harm to clean input',
    'val/clean/change': 'mean square change of clean input',
}
"""Validation metrics of each epoch, and their labels."""

GAINS = (
    'gain/corrector/fault',
    'gain/corrector/clean',
    'gain/detector/fault',
    'gain/detector/clean',
)
LAST = ('corrector/fault_gain', 'corrector/clean_gain', 'detector/fault_gain',
        'detector/clean_gain', 'norm/corrector', 'norm/detector', 'corrector/energy_left',
        'corrector/energy_left_pooled', 'detection/f1')  # fmt: skip


def report(preset: str, folder: Path) -> None:
    """Write a table of the final metrics, and the curves of both blocks.

    The curves need the run folders: an earlier figure stays if the runs of any block are missing
    here.

    Args:
        preset: `quick` or `full`.
        folder: Folder of the results.
    """
    columns = watched(preset)
    measured = gathered(columns, folder, ends)
    found = values_of(measured)
    publish(folder, found, seeds_table('at the end, on test windows', found, LAST), measured)
    # Tables come from kept measurements, curves only from run folders.
    here = {n: load_run(r.folder) for n, of in columns.items() for r in of.values() if ready(r)}
    if here and (len(here) == len(measured) or not (folder / 'training.png').exists()):
        write_figure(folder, 'training', draw(here))


def ends(run: Run) -> dict[str, float]:
    """Return the metrics of `LAST`, on the test.

    Args:
        run: A tested run.
    """
    return picked(metrics_of(run), LAST)


def draw(done: dict[str, RunFolder]) -> Figure:
    """Draw a row per block: losses, errors, norms, and gains.

    Args:
        done: Run folders by block. The panel of norms has the paper's 0.03 and 2.0 as lines.
    """
    with rc_context(RC):
        figure = new_figure(15.6, 3.9 * len(done))
        grid = figure.subplots(len(done), 4, squeeze=False)
        for row, (name, run) in zip(grid, done.items(), strict=True):
            losses = {key: key.removeprefix('train/') for key in LOSSES}
            _draw_lines(row[0], run, losses, f'{name}: terms of the loss')
            _draw_lines(row[1], run, ERRORS, 'errors on calibration windows')
            draw_norm_history(row[2], run)
            gains = {key: key.removeprefix('gain/') for key in GAINS}
            _draw_lines(row[3], run, gains, 'gains on training windows')
    return figure


def _draw_lines(axes: Axes, run: RunFolder, labels: Mapping[str, str], title: str) -> None:
    known = [key for key in labels if key in run.history]
    for key, colour in colours(known).items():
        curve = run.history[key]
        # Markers for the few points of a validation, none for losses logged every few steps.
        marker = 'o' if len(curve.step) < 20 else None
        axes.plot(curve.step, curve.value, marker=marker, ms=3, color=colour, label=labels[key])
    axes.set(xlabel='step', title=title)
    if known:
        logarithmic(axes, 'y')
        axes.legend(fontsize=7.5, ncols=2, loc='upper center', bbox_to_anchor=(0.5, -0.17))


EXPERIMENT = Experiment(
    question='How do losses, norms and gains of corrector and detector evolve over training?',
    cost={'quick': '2 min', 'full': '20 min'},
    report=report,
    columns=watched,
)
