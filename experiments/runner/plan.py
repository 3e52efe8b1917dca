"""Runs on the shipped cells: names, overlays and seeds."""

from experiments.runner.run import Run

CELLS = ('ur5', 'welding_single', 'welding_dual')
SEEDS = (0, 1, 2)
MORE_SEEDS = (3, 4)
"""Further seeds of the fault-map block alone."""

CODERS = {
    'welding_single': ('configs/coder/short_recordings.yaml',),
    'welding_dual': ('configs/coder/short_recordings.yaml',),
}
"""Overlays of stage 1 by cell."""

LAST = {'quick': ('configs/trainer/smoke.yaml', 'experiments/quick.yaml'), 'full': ()}
"""Overlays that come after all others, by preset."""

LAST_FINETUNE = {'quick': ('experiments/quick_finetune.yaml',), 'full': ()}
"""Overlays of stage 2 after `LAST`, by preset."""


def cells_and_seeds(preset: str) -> list[tuple[str, int]]:
    """Return all pairs of cell and seed for the full preset, one pair for the quick preset.

    Args:
        preset: `quick` or `full`.
    """
    if preset == 'quick':
        return [(CELLS[0], SEEDS[0])]
    return [(cell, seed) for cell in CELLS for seed in SEEDS]


def stage_one(
    preset: str, cell: str, seed: int, variant: str = 'pretrain', overlays: tuple[str, ...] = ()
) -> Run:
    """Return a run of stage 1.

    Args:
        preset: `quick` or `full`.
        cell: Name of a shipped recording.
        seed: Seed of the weights and of the order of windows.
        variant: Name of the run; equal overlays must have equal names in all experiments.
        overlays: Configuration files that override the shipped ones.
    """
    # The smoke overlays of the quick preset come last, so that no variant can undo them.
    configs = ('configs/pretrain.yaml', f'configs/data/{cell}.yaml', *CODERS.get(cell, ()))
    return Run(
        f'{preset}/{cell}-{seed}/{variant}',
        (*configs, *overlays, *LAST[preset]),
        (f'--seed_everything={seed}', f'--data.seed={seed}'),
    )


def stage_two(
    preset: str,
    cell: str,
    seed: int,
    variant: str,
    overlays: tuple[str, ...] = (),
    pretrained: Run | None = None,
) -> Run:
    """Return a run of stage 2.

    Args:
        preset: `quick` or `full`.
        cell: Name of a shipped recording.
        seed: Seed of the weights, of the order of windows and of the faults.
        variant: Name of the run; equal overlays must have equal names in all experiments.
        overlays: Configuration files that override the shipped ones.
        pretrained: Run of stage 1; the shipped configuration on this cell and seed if None.
    """
    return Run(
        f'{preset}/{cell}-{seed}/{variant}',
        (
            'configs/finetune.yaml',
            f'configs/data/{cell}.yaml',
            *overlays,
            *LAST[preset],
            *LAST_FINETUNE[preset],
        ),
        (f'--seed_everything={seed}', f'--data.seed={seed}', f'--data.faults.seed={seed}'),
        pretrained or stage_one(preset, cell, seed),
    )
