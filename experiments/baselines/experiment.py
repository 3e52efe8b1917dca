"""Our block against everything else that can be tried on the same data."""

from collections.abc import Mapping
from pathlib import Path

from experiments.runner.catalogue import Experiment, results_folder
from experiments.runner.compare import compare
from experiments.runner.method_figures import Methods
from experiments.runner.plan import MORE_SEEDS, cells_and_seeds, stage_two
from experiments.runner.run import Run

OURS = 'fault_map'
WITHOUT_CONTRAST = 'paper_con_0.0'
TUNED = 'residual_attention_tuned'
AGAIN = (WITHOUT_CONTRAST, TUNED)
"""The same code as another; left out of a quick run."""

METHODS: dict[str, tuple[str, ...]] = {
    OURS: (),
    'paper': ('configs/block/paper.yaml',),
    WITHOUT_CONTRAST: ('configs/block/paper.yaml', 'experiments/lambda_sweep/con_0.0.yaml'),
    'uncorrected': ('configs/block/uncorrected.yaml',),
    'denoising': ('configs/block/denoising.yaml',),
    'unimodal': ('configs/block/unimodal.yaml',),
    'vae': ('configs/block/vae.yaml',),
    'adversarial': ('configs/block/adversarial.yaml',),
    'residual_attention': ('configs/block/residual_attention.yaml',),
    TUNED: (
        'configs/block/residual_attention.yaml',
        'experiments/baselines/residual_attention_tuned.yaml',
    ),
    'detect_reject_correct': ('configs/block/detect_reject_correct.yaml',),
    'modality_dropout': ('configs/block/modality_dropout.yaml',),
    'kalman': ('configs/block/kalman.yaml',),
    'pca': ('configs/block/pca.yaml',),
}
"""What is laid over the usual configuration of stage 2."""

PAGE = Path('docs/baselines.md')
HEAD = """\
# The main table

Written by `python -m experiments run baselines --preset full`; with `report` in the place of `run`
from the runs that are done. What the methods are is in
[experiments/baselines](../experiments/baselines/README.md), what the figures mean in
[metrics](metrics.md). `cpu_s` is the processor time to train and to test, beside that of a GPU
where one did the computing; `cpu_ms_per_window` that to detect and correct one window without a
GPU, on one thread, measured once, with a noise of some 20 %. `parameters` are those of the compute
block. Damage is the RMS change of the touched signal in units of its sensor noise. ±: standard
deviation over the seeds, their number in brackets; in square brackets: 95 % interval of a paired
difference, by Student's t and the jackknife over the few test episodes. `delay`: share of the
faults scheduled on continuous recordings that are found, and within how many seconds half of all
are, from [delay](../experiments/delay/README.md), as far as measured there, in part on other
trainings of the same configurations.
"""


def variants(preset: str) -> dict[str, dict[str, dict[int, Run]]]:
    """Runs by cell, method and seed; our block has more seeds than the others."""
    found: dict[str, dict[str, dict[int, Run]]] = {}
    methods_of = {n: o for n, o in METHODS.items() if preset == 'full' or n not in AGAIN}
    for cell, seed in cells_and_seeds(preset):
        for name, overlays in methods_of.items():
            run = stage_two(preset, cell, seed, name, overlays)
            found.setdefault(cell, {}).setdefault(name, {})[seed] = run
    for cell, methods in found.items() if preset == 'full' else ():
        methods[OURS] |= {s: stage_two(preset, cell, s, OURS) for s in MORE_SEEDS}
    return found


FEW = (OURS, 'paper', 'kalman')
"""Methods that other experiments look at in a quick run."""


def looked_at(preset: str) -> dict[str, dict[str, dict[int, Run]]]:
    """Runs by cell, method and seed of which other experiments measure more."""
    names = FEW if preset == 'quick' else tuple(METHODS)
    return {c: {n: methods[n] for n in names} for c, methods in variants(preset).items()}


def runs_of(cells: Mapping[str, Methods]) -> list[Run]:
    """All runs, cell by cell."""
    return [
        run for methods in cells.values() for seeds in methods.values() for run in seeds.values()
    ]


def runs(preset: str) -> list[Run]:
    """All methods, cell by cell."""
    return runs_of(variants(preset))


def report(preset: str, folder: Path) -> None:
    """The main table."""
    page = PAGE if preset == 'full' else None
    delays = results_folder('delay', preset)
    compare(variants(preset), OURS, folder, HEAD, page, beside=delays, maps=True)


EXPERIMENT = Experiment(
    question='Is the fault-map block better than everything else tried on the same windows?',
    cost={'quick': '2 min', 'full': '8 h'},
    runs=runs,
    report=report,
)
