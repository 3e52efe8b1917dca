"""Runs that are validated after every epoch, for experiments on the course of training."""

from experiments.runner.plan import cells_and_seeds, stage_two
from experiments.runner.run import Run

OVERLAY = 'experiments/runner/every_epoch.yaml'
BLOCKS: dict[str, tuple[str, ...]] = {
    'fault_map': (),
    'paper': ('configs/block/paper.yaml',),
}
"""Overlays of stage 2 by compute block."""


def watched(preset: str) -> dict[str, dict[int, Run]]:
    """Return one run of each block, on the first cell and seed.

    Args:
        preset: `quick` or `full`.

    Returns:
        Runs by block and seed.
    """
    cell, seed = cells_and_seeds(preset)[0]
    return {
        name: {seed: stage_two(preset, cell, seed, f'{name}_watched', (*overlays, OVERLAY))}
        for name, overlays in BLOCKS.items()
    }
