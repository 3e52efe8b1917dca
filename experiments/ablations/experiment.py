"""Ablations of the fault-map block, its training and stage 1."""

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
"""Overlays of stage 1, for the variants in which stage 1 varies."""

QUICK_STAGE_ONE = {'dense_encoders': (f'{HERE}/dense_encoders_quick.yaml',)}
"""Further overlays of stage 1 with the quick preset."""

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
"""Overlays of the shipped stage 2; `paper` corrects the whole latent instead of a fault map."""


QUICK = ('fault_map', 'without_modulation', 'dense_encoders')
"""Variants of the quick preset: one of each stage, and another kind of encoder."""


def variants(preset: str, cell: str, seed: int) -> dict[str, Run]:
    """Return the runs of one cell and seed by variant.

    Args:
        preset: `quick` or `full`.
        cell: Name of a shipped recording.
        seed: Seed of all runs.
    """
    found = {}
    for name in VARIANTS if preset == 'full' else QUICK:
        overlays, below = VARIANTS[name], None
        if name in STAGE_ONE:
            # Stage 2 keeps the shipped configuration, on another stage 1.
            small = QUICK_STAGE_ONE.get(name, ()) if preset == 'quick' else ()
            layers = (*STAGE_ONE[name], *small)
            below = stage_one(preset, cell, seed, f'pretrain_{name}', layers)
        found[name] = stage_two(preset, cell, seed, name, overlays, below)
    return found


def columns(preset: str) -> dict[str, dict[str, dict[int, Run]]]:
    """Return the runs by cell, variant and seed: all seeds of the first cell.

    Args:
        preset: `quick` or `full`.
    """
    # Ablations of one cell: another cell would cost 5.5 hours more.
    pairs = cells_and_seeds(preset)
    found: dict[str, dict[str, dict[int, Run]]] = {pairs[0][0]: {}}
    for cell, seed in pairs:
        for name, run in variants(preset, cell, seed).items() if cell in found else ():
            found[cell].setdefault(name, {})[seed] = run
    return found


def report(preset: str, folder: Path) -> None:
    """Write the table of the variants and their differences to the fault-map block.

    Args:
        preset: `quick` or `full`.
        folder: Folder of the results.
    """
    compare(columns(preset), 'fault_map', folder)


EXPERIMENT = Experiment(
    question='How much does each part of the block, of its training and of stage 1 contribute?',
    cost={'quick': '1 min', 'full': '5.5 h'},
    report=report,
    columns=columns,
)
