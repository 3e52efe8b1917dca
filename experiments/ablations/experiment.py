"""What each part of the fault-map block buys."""

from pathlib import Path

from experiments.runner.catalogue import Experiment
from experiments.runner.compare import compare
from experiments.runner.plan import cells_and_seeds, stage_one, stage_two
from experiments.runner.run import Run

HERE = 'experiments/ablations'
STAGE_ONE = {
    'without_stage_one': (f'{HERE}/untrained.yaml',),
    'dense_encoders': (f'{HERE}/dense_encoders.yaml',),
}
"""Variants of stage 1, on which stage 2 is the usual one."""

QUICK_STAGE_ONE = {'dense_encoders': (f'{HERE}/dense_encoders_quick.yaml',)}
"""What is laid over them in a quick run besides."""

VARIANTS: dict[str, tuple[str, ...]] = {
    'fault_map': (),
    'paper': ('configs/block/paper.yaml',),
    **{
        name: (f'{HERE}/{name}.yaml',)
        for name in ('without_modulation', 'cap_1', 'cap_3', 'cap_12', 'without_floor',
                     'without_contrastive', 'without_clipping', 'one_clip', 'own_windows',
                     'twice_as_long')
    },
    'without_stage_one': (),
    'dense_encoders': (),
}  # fmt: skip
"""What is laid over the usual configuration of stage 2; `paper` corrects the whole latent."""


QUICK = ('fault_map', 'without_modulation', 'dense_encoders')
"""Enough to see that variants of both stages run, and an encoder of another kind."""


def variants(preset: str, cell: str, seed: int) -> dict[str, Run]:
    """Runs of one cell and seed."""
    found = {}
    for name in VARIANTS if preset == 'full' else QUICK:
        overlays, below = VARIANTS[name], None
        if name in STAGE_ONE:
            small = QUICK_STAGE_ONE.get(name, ()) if preset == 'quick' else ()
            layers = (*STAGE_ONE[name], *small)
            below = stage_one(preset, cell, seed, f'pretrain_{name}', layers)
        found[name] = stage_two(preset, cell, seed, name, overlays, below)
    return found


def places(preset: str) -> list[tuple[str, int]]:
    """Cells and seeds: all seeds of the first cell only."""
    every = cells_and_seeds(preset)
    return [(cell, seed) for cell, seed in every if cell == every[0][0]]


def runs(preset: str) -> list[Run]:
    """All variants of a preset."""
    return [run for place in places(preset) for run in variants(preset, *place).values()]


def report(preset: str, folder: Path) -> None:
    """A table of the variants, and what each costs."""
    cells: dict[str, dict[str, dict[int, Run]]] = {}
    for cell, seed in places(preset):
        for name, run in variants(preset, cell, seed).items():
            cells.setdefault(cell, {}).setdefault(name, {})[seed] = run
    compare(cells, 'fault_map', folder)


EXPERIMENT = Experiment(
    question='What does each part of the block, of its training and of stage 1 buy?',
    cost={'quick': '1 min', 'full': '5.5 h'},
    runs=runs,
    report=report,
)
