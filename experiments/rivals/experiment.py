"""Our block against everything else that can be tried on the same data."""

from pathlib import Path

from experiments.runner.catalogue import Experiment
from experiments.runner.compare import compare
from experiments.runner.plan import cells_and_seeds, stage_two
from experiments.runner.run import Run

METHODS: dict[str, tuple[str, ...]] = {
    'fault_map': (),
    'paper': ('configs/block/paper.yaml',),
    'uncorrected': ('configs/block/uncorrected.yaml',),
    'denoising': ('configs/block/denoising.yaml',),
    'unimodal': ('configs/block/unimodal.yaml',),
    'vae': ('configs/block/vae.yaml',),
    'adversarial': ('configs/block/adversarial.yaml',),
    'residual_attention': ('configs/block/residual_attention.yaml',),
    'detect_reject_correct': ('configs/block/detect_reject_correct.yaml',),
    'modality_dropout': ('configs/block/modality_dropout.yaml',),
    'kalman': ('configs/block/kalman.yaml',),
    'pca': ('configs/block/pca.yaml',),
}
"""What is laid over the usual configuration of stage 2."""

PAGE = Path('docs/rivals.md')
HEAD = """\
# The main table

Written by `python -m experiments run rivals --preset full`, or with `report` in the place of `run`
from the runs that are done. What the methods are is in
[experiments/rivals](../experiments/rivals/README.md), what the figures mean in
[metrics](metrics.md). `cpu_s` is the time to train and to test, `cpu_ms_per_window` that to detect
and correct one window, on one thread. `parameters` are those of the compute block. Damage is the
RMS change of the touched signal in units of its sensor noise. ±: standard deviation over the seeds;
in brackets: 95 % interval of a paired difference, test episodes resampled.
"""


def runs(preset: str) -> list[Run]:
    """All methods on one stage 1, cell by cell and seed by seed."""
    return [
        stage_two(preset, cell, seed, name, overlays)
        for cell, seed in cells_and_seeds(preset)
        for name, overlays in METHODS.items()
    ]


def report(preset: str, folder: Path) -> None:
    """The main table."""
    cells: dict[str, dict[str, dict[int, Run]]] = {}
    for cell, seed in cells_and_seeds(preset):
        for name, overlays in METHODS.items():
            run = stage_two(preset, cell, seed, name, overlays)
            cells.setdefault(cell, {}).setdefault(name, {})[seed] = run
    compare(cells, 'fault_map', folder, HEAD, PAGE if preset == 'full' else None)


EXPERIMENT = Experiment(
    question='Is the fault-map block better than everything else tried on the same windows?',
    cost={'quick': '4 min', 'full': '7 h'},
    runs=runs,
    report=report,
)
