"""The folder of a run: which one, whether it can be written, and how its run was configured."""

import itertools
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.utilities import rank_zero_only

from lipfault.errors import LipfaultError
from lipfault.runs.checkpoints import CONFIG_NAME
from lipfault.runs.config_diff import differences

_FREE = (
    'group',
    'run', 'report', 'ckpt_path', 'save_every', 'loggers', 'config', 'verbose', 'weights_only',
    'trainer.default_root_dir', 'trainer.callbacks', 'trainer.logger', 'trainer.log_every_n_steps',
    'trainer.enable_progress_bar', 'trainer.enable_model_summary',
)  # fmt: skip
"""Keys that may change between the parts of a run without a word."""


def first_process() -> bool:
    """Whether this is the process of rank 0, or the only one, also before there is a trainer."""
    rank: int = getattr(rank_zero_only, 'rank', 0)
    # Lightning's own launcher numbers the processes of a node only.
    node = int(os.environ.get('NODE_RANK', 0)) if 'RANK' not in os.environ else 0
    return rank == 0 and node == 0


def new_folder(stage: str) -> str:
    """A folder named after stage and time, the same in the processes that this one starts.

    Raises:
        LipfaultError: If another program has started several processes: they need a common one.
    """
    if first_process() and _started_together() == 1:
        os.environ['LIPFAULT_RUN'] = make_new(f'runs/{stage}-{time.strftime("%Y%m%d-%H%M%S")}')
    elif 'LIPFAULT_RUN' not in os.environ:
        raise LipfaultError('several processes need a common folder: name it with --run')
    return os.environ['LIPFAULT_RUN']


def make_new(name: str) -> str:
    """Make a folder that no other run takes at the same second; its name."""
    for number in itertools.count(1):
        folder = Path(name if number == 1 else f'{name}-{number}')
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise LipfaultError(f'cannot make {folder}: {error.strerror}') from error
        break
    return str(folder)


def require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be made or written, before anything costs time.

    Raises:
        LipfaultError: Naming the place that is in the way.
    """
    above = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not above.is_dir():
        raise LipfaultError(f'run folder {folder} cannot be made: {above} is no folder')
    if not os.access(above, os.W_OK | os.X_OK):
        raise LipfaultError(
            f'run folder {folder} cannot be written: no permission to write in {above}, or it is '
            'on a read-only file system'
        )


def changes_since(checkpoint: Path, config: Mapping[str, Any]) -> list[str]:
    """What is configured otherwise than in the run that a checkpoint is of, a phrase for each key.

    Args:
        checkpoint: A checkpoint; nothing is compared if it is in no run folder.
        config: The complete configuration now, in plain types.
    """
    file = checkpoint.parent.parent / CONFIG_NAME
    if not file.is_file():
        return []
    before = yaml.safe_load(file.read_text())
    return differences(before if isinstance(before, dict) else {}, config, _FREE)


def _started_together() -> int:
    """How many processes torchrun or SLURM has started beside this one, itself included."""
    if 'RANK' in os.environ:
        return int(os.environ.get('WORLD_SIZE', 1))
    if os.environ.get('SLURM_JOB_NAME') in ('bash', 'interactive'):
        return 1
    return int(os.environ.get('SLURM_NTASKS', 1)) if 'SLURM_PROCID' in os.environ else 1


def owner_of(checkpoint: Path) -> Path:
    """The run folder that a checkpoint lies in."""
    folder = checkpoint.parent
    return folder.parent if folder.name == 'checkpoints' else folder


def keep_metrics(run: Path) -> None:
    """Put the metrics of the interrupted part aside; the CSV logger starts a new file."""
    metrics = run / 'metrics.csv'
    if metrics.exists():
        parts = len(list(run.glob('metrics.part*.csv')))
        metrics.rename(run / f'metrics.part{parts + 1}.csv')


def restore_metrics(run: Path) -> None:
    """Put the metrics back if the resumed part had nothing left to log."""
    parts = sorted(run.glob('metrics.part*.csv'), key=lambda part: part.stat().st_mtime)
    if parts and not (run / 'metrics.csv').exists():
        parts[-1].rename(run / 'metrics.csv')
