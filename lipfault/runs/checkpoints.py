"""Read, write and clean up checkpoints."""

import pickle
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_info

from lipfault.errors import LipfaultError
from lipfault.runs.atomic import replacing
from lipfault.runs.folder import RunFolder

CARD = 'lipfault'
"""Key of a checkpoint under which a task describes itself, in plain types."""


def resumable_checkpoint(run: Path) -> Path | None:
    """Return the newest readable checkpoint of a run; log it if the newest one is torn.

    Args:
        run: An existing run folder.

    Returns:
        `last.ckpt`, or `previous.ckpt` in its place; None if the run was interrupted before its
        first save.

    Raises:
        LipfaultError: If there is no such folder, or it has checkpoints and none is readable.
    """
    if not run.is_dir():
        raise LipfaultError(f'no run to resume at {run}: there is no such file or run folder')
    files = [RunFolder(run).checkpoint(name) for name in ('last', 'previous')]
    files = [file for file in files if file.is_file()]
    for file in files:
        try:
            read_checkpoint(file)
        except LipfaultError as error:
            if file == files[-1]:  # no older one to fall back on
                raise
            rank_zero_info(f'{error}; going on from the one before')
        else:
            return file
    rank_zero_info(f'{run} has nothing to resume from yet: starting from the beginning')
    return None


class WholeFileIO(TorchCheckpointIO):
    """Write a checkpoint to a temporary file beside its path and rename it: all or nothing.

    The trainer's own writer goes through the system's temporary folder. From there to another file
    system a file is copied, and a copy can be interrupted.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any | None = None,  # noqa: ANN401
    ) -> None:
        """Write all or nothing.

        Args:
            checkpoint: Plain types and tensors.
            path: The finished file.
            storage_options: Ignored; part of Lightning's interface.

        Raises:
            LipfaultError: If the system refuses to write, for example because the disk is full.
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
    """Remove the temporary files of an interrupted save.

    Args:
        run: The run folder.
    """
    for file in RunFolder(run).checkpoints.glob('.*.ckpt.*.tmp'):
        file.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of plain types and tensors onto the CPU.

    Args:
        path: The file.

    Returns:
        The checkpoint; its entry `CARD` describes the task.

    Raises:
        LipfaultError: If the file is torn, or holds anything but plain types and tensors.
    """
    # weights_only: unpickling anything else would run code from the file.
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location='cpu', weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, pickle.UnpicklingError):  # its text recommends to run the file's code
            reason = 'it is no checkpoint, or holds other objects than plain types and tensors'
        raise LipfaultError(f'{path} is not a readable checkpoint: {reason}') from error
    if not isinstance(checkpoint, dict) or CARD not in checkpoint:
        raise LipfaultError(f'{path} was not written by lipfault: it has no {CARD!r} entry')
    return checkpoint
