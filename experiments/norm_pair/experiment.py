"""Conditions under which the paper's pair of norms is reached, and their cost."""

from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from experiments.runner.catalogue import Experiment
from experiments.runner.kept import gathered, publish, values_of
from experiments.runner.method_figures import draw_bars
from experiments.runner.method_tables import MethodMetrics
from experiments.runner.plan import SEEDS, cells_and_seeds, stage_two
from experiments.runner.results import metrics_of, picked, seeds_table, write_figure
from experiments.runner.run import Run
from lipfault.report.style import BLUE, RC, VERMILION, new_figure

HERE = 'experiments/norm_pair'
PAPER = 'configs/block/paper.yaml'
PRODUCTS = ('0.03', '0.1', '0.3', '1', '3', '10')
"""Bounds of the product of norms along the path to the corrected latent."""

VARIANTS: dict[str, tuple[str, ...]] = {
    **{f'paper_{p}': (PAPER, f'{HERE}/paper_{p}.yaml') for p in PRODUCTS},
    'paper': (PAPER,),
    'paper_0.03_free_trunk': (PAPER, f'{HERE}/paper_0.03_free_trunk.yaml'),
    'fault_map_0.03': (f'{HERE}/fault_map_0.03.yaml',),
    'fault_map': (),
}
"""Overlays of the shipped stage 2, by variant."""

QUICK = ('paper_0.03', 'fault_map_0.03')
"""Variants of the quick preset, one of each block."""

KEYS = (
    'norm/corrector', 'norm/detector', 'corrector/fault_gain', 'corrector/clean_gain',
    'corrector/selectivity', 'corrector/energy_left', 'corrector/energy_left_pooled',
    'recovery/seen', 'clean/degradation', 'detector/fault_gain', 'detector/clean_gain',
    'detection/f1', 'detection/auroc',
)  # fmt: skip
DRAWN = {
    'corrector/energy_left_pooled': 'energy of the fault left',
    'clean/degradation': 'harm to clean input',
    'corrector/fault_gain': 'corrector: fault gain',
    'corrector/clean_gain': 'corrector: clean gain',
}


def variants(preset: str) -> dict[str, dict[int, Run]]:
    """Return the runs by variant and seed, all on the first cell.

    Args:
        preset: `quick` or `full`.
    """
    cell = cells_and_seeds(preset)[0][0]
    seeds = SEEDS if preset == 'full' else SEEDS[:1]
    names = tuple(VARIANTS) if preset == 'full' else QUICK
    return {n: {s: stage_two(preset, cell, s, n, VARIANTS[n]) for s in seeds} for n in names}


def report(preset: str, folder: Path) -> None:
    """Write a table with a row per variant, and a bar chart.

    Args:
        preset: Size of the runs, `quick` or `full`.
        folder: Folder for `norm_pair` figure, tables and values.
    """
    measured = gathered(variants(preset), folder, measure)
    found = values_of(measured)
    publish(folder, found, seeds_table('variant (seeds)', found, KEYS), measured)
    if found:
        write_figure(folder, 'norm_pair', draw(found))


def measure(run: Run) -> dict[str, float]:
    """Return the metrics of `KEYS`.

    Args:
        run: A tested run.
    """
    return picked(metrics_of(run), KEYS)


def draw(found: MethodMetrics) -> Figure:
    """Draw a panel per metric: a bar per variant, a dot per seed.

    Args:
        found: Metrics by variant and seed.
    """
    with rc_context(RC):
        figure = new_figure(12.6, 1.3 + 0.26 * len(found))
        # Shared names on the left; `sharey` keeps the order of the bars in all panels.
        panels = figure.subplots(1, len(DRAWN), sharey=True)
        for axes, (key, title) in zip(panels, DRAWN.items(), strict=True):
            draw_bars(axes, found, key, title, _colour_of)
    return figure


def _colour_of(variant: str) -> str:
    return BLUE if variant.startswith('paper') else VERMILION


EXPERIMENT = Experiment(
    question="Under which conditions are the paper's 0.03 and 2.0 reached, and at what cost?",
    cost={'quick': '2 min', 'full': '2.5 h'},
    report=report,
    columns=variants,
)
