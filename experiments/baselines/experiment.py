"""The fault-map block against baselines on the same data."""

from pathlib import Path

from experiments.runner.catalogue import Experiment, results_folder
from experiments.runner.compare import compare
from experiments.runner.plan import MORE_SEEDS, cells_and_seeds, stage_two
from experiments.runner.run import Run

OURS = 'fault_map'
WITHOUT_CONTRAST = 'paper_con_0.0'
TUNED = 'residual_attention_tuned'
AGAIN = (WITHOUT_CONTRAST, TUNED)
"""Methods that run the code of another one; the quick preset leaves them out."""

METHODS: dict[str, tuple[str, ...]] = {
    OURS: (),
    'paper': ('configs/block/paper.yaml',),
    # Isolates the contrastive loss, whose gradient reaches the corrector in this block.
    WITHOUT_CONTRAST: ('configs/block/paper.yaml', 'experiments/lambda_sweep/con_0.0.yaml'),
    'uncorrected': ('configs/block/uncorrected.yaml',),
    'denoising': ('configs/block/denoising.yaml',),
    'unimodal': ('configs/block/unimodal.yaml',),
    'vae': ('configs/block/vae.yaml',),
    'adversarial': ('configs/block/adversarial.yaml',),
    'residual_attention': ('configs/block/residual_attention.yaml',),
    # The published setting stays at chance level within the common number of epochs.
    TUNED: (
        'configs/block/residual_attention.yaml',
        'experiments/baselines/residual_attention_tuned.yaml',
    ),
    'detect_reject_correct': ('configs/block/detect_reject_correct.yaml',),
    'modality_dropout': ('configs/block/modality_dropout.yaml',),
    'kalman': ('configs/block/kalman.yaml',),
    'pca': ('configs/block/pca.yaml',),
    'statistics_mahalanobis': ('configs/block/statistics_mahalanobis.yaml',),
    'statistics_logistic': ('configs/block/statistics_logistic.yaml',),
    'statistics_boosting': ('configs/block/statistics_boosting.yaml',),
}
"""Overlays of the shipped stage 2, by method."""

FEW = (OURS, 'paper', 'kalman')
"""Methods that other experiments measure with the quick preset."""

PAGE = Path('docs/baselines.md')
HEAD = """\
# Comparison with baselines

Written by `python -m experiments run baselines --preset full`, or with `report` instead of `run`
from the finished runs alone. The methods are described in
[experiments/baselines](../experiments/baselines/README.md), the metrics in
[metrics](metrics.md). `cpu_s` is the CPU time in seconds to train and to test; for a run on a GPU
it is the time of the host. `cpu_ms_per_window` is the CPU time in milliseconds to detect and
correct one window on one thread, measured once, with a repeatability of about 20 %. `parameters`
is the number of parameters of the compute block. Damage is the RMS change of the affected signal in
units of its sensor noise. ±: standard deviation over seeds; (n): number of seeds; [a, b]: 95 %
interval of a paired difference, by Student's t and the jackknife over test episodes.
Results of an earlier version, which is then named, are on the faults of that version; the
[changelog](../CHANGELOG.md) lists how the faults differ. `delay/detected` is the share of faults
scheduled on continuous recordings that are detected, `delay/median_s` the delay within which half
of all are; both come from [delay](../experiments/delay/README.md), where they were measured, partly
on other trainings of the same configurations."""


def variants(preset: str) -> dict[str, dict[str, dict[int, Run]]]:
    """Return the runs by cell, method and seed; the fault-map block has more seeds.

    Args:
        preset: `quick` or `full`.
    """
    found: dict[str, dict[str, dict[int, Run]]] = {}
    methods_of = {n: o for n, o in METHODS.items() if preset == 'full' or n not in AGAIN}
    for cell, seed in cells_and_seeds(preset):
        for name, overlays in methods_of.items():
            run = stage_two(preset, cell, seed, name, overlays)
            found.setdefault(cell, {}).setdefault(name, {})[seed] = run
    # Two more seeds of the fault-map block show the spread between its trainings.
    for cell, methods in found.items() if preset == 'full' else ():
        methods[OURS] |= {s: stage_two(preset, cell, s, OURS) for s in MORE_SEEDS}
    return found


def methods_by_cell(preset: str) -> dict[str, dict[str, dict[int, Run]]]:
    """Return the runs that other experiments measure, by cell, method and seed.

    Args:
        preset: `quick` or `full`.
    """
    names = FEW if preset == 'quick' else tuple(METHODS)
    return {c: {n: methods[n] for n in names} for c, methods in variants(preset).items()}


def report(preset: str, folder: Path) -> None:
    """Write the table of all methods; the full preset writes a page of the docs.

    Args:
        preset: `quick` or `full`.
        folder: Folder of the results.
    """
    page = PAGE if preset == 'full' else None
    delays = results_folder('delay', preset)
    compare(variants(preset), OURS, folder, HEAD, page, beside=delays, maps=True)


EXPERIMENT = Experiment(
    question='Is the fault-map block better than the baselines on the same windows?',
    cost={'quick': '2 min', 'full': '8 h'},
    report=report,
    columns=variants,
)
