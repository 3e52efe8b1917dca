"""The runs of the shipped cells."""

from experiments.runner.run import Run

CELLS = ('ur5', 'welding_single', 'welding_dual')
SEEDS = (0, 1, 2)
MORE_SEEDS = (3, 4)
"""Further ones, for our block alone."""

CODERS = {
    'welding_single': ('configs/coder/short_recordings.yaml',),
    'welding_dual': ('configs/coder/short_recordings.yaml',),
}
LAST = {'quick': ('configs/trainer/smoke.yaml', 'experiments/quick.yaml'), 'full': ()}
"""What a preset lays over everything else."""


def cells_and_seeds(preset: str) -> list[tuple[str, int]]:
    """All cells and seeds of a full preset, one of each of a quick one."""
    if preset == 'quick':
        return [(CELLS[0], SEEDS[0])]
    return [(cell, seed) for cell in CELLS for seed in SEEDS]


def stage_one(
    preset: str, cell: str, seed: int, variant: str = 'pretrain', overlays: tuple[str, ...] = ()
) -> Run:
    """A run of stage 1.

    Args:
        preset: `quick` or `full`.
        cell: Name of a shipped recording.
        seed: Of weights and order.
        variant: Name of the run; the same overlays have the same name in all experiments.
        overlays: Configuration files laid over the usual ones.
    """
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
    """A run of stage 2, on the usual stage 1 of cell and seed if no other is given.

    Args:
        preset: `quick` or `full`.
        cell: Name of a shipped recording.
        seed: Of weights, order and faults.
        variant: Name of the run; the same overlays have the same name in all experiments.
        overlays: Configuration files laid over the usual ones.
        pretrained: The run of stage 1.
    """
    return Run(
        f'{preset}/{cell}-{seed}/{variant}',
        ('configs/finetune.yaml', f'configs/data/{cell}.yaml', *overlays, *LAST[preset]),
        (f'--seed_everything={seed}', f'--data.seed={seed}', f'--data.faults.seed={seed}'),
        pretrained or stage_one(preset, cell, seed),
    )
