"""The processes of one run: which is the first, and the folder they agree on."""

import os
import time

from lightning.pytorch.utilities import rank_zero_only

from lipfault.errors import LipfaultError
from lipfault.runs.folder import make_new


def first_process() -> bool:
    """Return whether this is the only process or that of rank 0, also without a trainer."""
    rank: int = getattr(rank_zero_only, 'rank', 0)
    # Lightning's own launcher numbers the processes of a node only.
    node = int(os.environ.get('NODE_RANK', 0)) if 'RANK' not in os.environ else 0
    return rank == 0 and node == 0


def new_folder(stage: str) -> str:
    """Make a folder named after stage and time.

    Processes that this one starts get the same folder, from the environment variable LIPFAULT_RUN.

    Args:
        stage: Name of the stage, `pretrain` or `finetune`.

    Returns:
        Path of the folder.

    Raises:
        LipfaultError: If another program has started several processes: they need a common folder.
    """
    # Processes that Lightning starts inherit the environment; those of a launcher do not.
    if first_process() and _started_together() == 1:
        os.environ['LIPFAULT_RUN'] = make_new(f'runs/{stage}-{time.strftime("%Y%m%d-%H%M%S")}')
    elif 'LIPFAULT_RUN' not in os.environ:
        raise LipfaultError('several processes need a common folder: name it with --run')
    return os.environ['LIPFAULT_RUN']


def _started_together() -> int:
    """Return how many processes torchrun or SLURM has started, this one included."""
    if 'RANK' in os.environ:
        return int(os.environ.get('WORLD_SIZE', 1))
    # A shell inside a SLURM job has the variables of the job and is one process all the same.
    if os.environ.get('SLURM_JOB_NAME') in ('bash', 'interactive'):
        return 1
    return int(os.environ.get('SLURM_NTASKS', 1)) if 'SLURM_PROCID' in os.environ else 1
