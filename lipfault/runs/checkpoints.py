"""Finding, reading and writing checkpoints."""

import pickle
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_info

from lipfault.runs.atomic import replacing
from lipfault.errors import LipfaultError


CARD = 'lipfault'
"""Key of a checkpoint under which a task writes what it is, in plain types."""


CONFIG_NAME = 'lipfault_config.yaml'
"""Name of the complete configuration in a run's folder."""


def find_checkpoint(path: str | Path, prefer: str = 'best') -> Path:
    """The checkpoint file meant by a path.

    Args:
        path: A checkpoint file, or a run folder.
        prefer: Which one of a run folder, `best` or `last`.

    Raises:
        LipfaultError: If there is none.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.exists():
        raise LipfaultError(f'no checkpoint at {path}: there is no such file or run folder')
    folder = path / 'checkpoints'
    for name in dict.fromkeys((prefer, 'best', 'last')):
        if (folder / f'{name}.ckpt').is_file():
            return folder / f'{name}.ckpt'
    raise LipfaultError(
        f'run folder {path} has no checkpoint: looked for best.ckpt and last.ckpt in {folder}'
    )


def resumable_checkpoint(run: Path) -> Path | None:
    """The newest whole checkpoint that a run can go on from; says so if the newest is torn.

    Args:
        run: An existing run folder.

    Returns:
        `last.ckpt`, or `previous.ckpt` in its place; None if the run was interrupted before it
        saved anything.

    Raises:
        LipfaultError: If there is no such folder, or it has checkpoints and none is whole.
    """
    if not run.is_dir():
        raise LipfaultError(f'no run to resume at {run}: there is no such file or run folder')
    files = [run / 'checkpoints' / f'{name}.ckpt' for name in ('last', 'previous')]
    files = [file for file in files if file.is_file()]
    for file in files:
        try:
            read_checkpoint(file)
        except LipfaultError as error:
            if file == files[-1]:
                raise
            rank_zero_info(f'{error}; going on from the one before')
        else:
            return file
    rank_zero_info(f'{run} has nothing to resume from yet: starting from the beginning')
    return None


class WholeFileIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it, so that no reader ever sees a part.

    The trainer's own writer goes through the system's temporary folder; from there to another file
    system a file is copied, and a copy can be interrupted.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any | None = None,  # noqa: ANN401
    ) -> None:
        """Write all or nothing.

        Raises:
            LipfaultError: If the disk refuses, for example because it is full.
        """
        with replacing(Path(path), overwrite=True) as temporary:
            try:
                torch.save(checkpoint, temporary)
            except (OSError, RuntimeError) as error:
                reason = str(error).splitlines()[0]
                raise LipfaultError(
                    f'cannot save {path}, is the disk full? ({reason}); what was saved before is '
                    'still there'
                ) from error


def remove_leftovers(run: Path) -> None:
    """Remove what an interrupted save has left beside the checkpoints of a run."""
    for file in (run / 'checkpoints').glob('.*.ckpt.*.tmp'):
        file.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of plain types and tensors onto the CPU.

    Raises:
        LipfaultError: If the file is torn, or holds anything but plain types.
    """
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location='cpu', weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LipfaultError(f'{path} is not a readable checkpoint: {reason}') from error
    if not isinstance(checkpoint, dict) or CARD not in checkpoint:
        raise LipfaultError(f'{path} was not written by lipfault: it has no {CARD!r} entry')
    return checkpoint
