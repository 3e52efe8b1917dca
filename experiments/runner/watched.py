"""Runs that are validated after every epoch, for experiments that look at the training itself."""

from experiments.runner.plan import cells_and_seeds, stage_two
from experiments.runner.run import Run

OVERLAY = 'experiments/runner/every_epoch.yaml'
BLOCKS: dict[str, tuple[str, ...]] = {
    'fault_map': (),
    'paper': ('configs/block/paper.yaml',),
}


def watched(preset: str) -> dict[str, dict[int, Run]]:
    """One run of each block on the first cell and seed, by the block's name and the seed."""
    cell, seed = cells_and_seeds(preset)[0]
    return {
        name: {seed: stage_two(preset, cell, seed, f'{name}_watched', (*overlays, OVERLAY))}
        for name, overlays in BLOCKS.items()
    }


def runs(preset: str) -> list[Run]:
    """The run of each block."""
    return [run for seeds in watched(preset).values() for run in seeds.values()]
