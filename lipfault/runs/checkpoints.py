"""Read, write and clean up checkpoints."""

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_info

from lipfault.errors import LipfaultError
from lipfault.runs.atomic import replacing
from lipfault.runs.layout import RunFolder
from lipfault.runs.reading import require_printable

_UNREADABLE = (
    RuntimeError, EOFError, OSError, pickle.UnpicklingError, KeyError, ValueError, TypeError,
    AttributeError, IndexError, MemoryError, OverflowError, RecursionError,
)  # fmt: skip
"""What torch raises for files that are torn or are no checkpoints."""

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

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        """Read a checkpoint, and adapt the paths in it if the run was moved.

        Args:
            path: The file.
            args: As of Lightning's interface.
            kwargs: As of Lightning's interface.

        Returns:
            The checkpoint.
        """
        checkpoint: dict[str, Any] = super().load_checkpoint(path, *args, **kwargs)
        relocate_best(checkpoint, Path(path).parent)
        return checkpoint


def relocate_best(checkpoint: dict[str, Any], folder: Path) -> None:
    """Let the states of `ModelCheckpoint` in a checkpoint refer to the folder that it lies in.

    Lightning drops the best value so far where the folder is another one than at the save. The next
    validation of a run that was moved would then replace `best.ckpt`, however good it was.

    Args:
        checkpoint: A checkpoint, modified in place.
        folder: Folder of the checkpoint.
    """
    for key, state in checkpoint.get('callbacks', {}).items():
        if not str(key).startswith('ModelCheckpoint') or not isinstance(state, dict):
            continue
        old, new = str(state.get('dirpath')), os.path.realpath(folder)
        # Paths of another folder, as of a `ModelCheckpoint` of the user's own, stay.
        if old == new or Path(old).name != folder.name:
            continue
        for name in ('best_model_path', 'kth_best_model_path', 'last_model_path'):
            state[name] = _moved(state.get(name, ''), old, new)
        state['best_k_models'] = {
            _moved(file, old, new): value for file, value in state.get('best_k_models', {}).items()
        }
        state['dirpath'] = new


def _moved(file: str, old: str, new: str) -> str:
    """Return the path of a file of a folder that was moved."""
    return os.path.join(new, file[len(old) + 1 :]) if file.startswith(f'{old}{os.sep}') else file


def remove_leftovers(run: Path) -> None:
    """Remove the temporary files of interrupted writing.

    Args:
        run: The run folder.
    """
    folder = RunFolder(run)
    for place in (folder.path, folder.checkpoints, folder.figures):
        for file in place.glob('.*.tmp'):
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
    # A folder or a pipe in its place; a torn archive gives another message.
    if path.exists() and not path.is_file():
        raise LipfaultError(f'{path} is not a readable checkpoint: it is no regular file')
    # weights_only: unpickling anything else would run code from the file.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # about the protocol of a foreign pickle
            checkpoint: dict[str, Any] = torch.load(path, map_location='cpu', weights_only=True)
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        # Texts of torch about this recommend to run the file's code.
        if isinstance(error, pickle.UnpicklingError) or 'weights_only' in str(error):
            reason = 'it is no checkpoint, or holds other objects than plain types and tensors'
        raise LipfaultError(f'{path} is not a readable checkpoint: {reason}') from error
    if not isinstance(checkpoint, dict) or CARD not in checkpoint:
        raise LipfaultError(f'{path} was not written by lipfault: it has no {CARD!r} entry')
    _require_whole(checkpoint, path)
    return checkpoint


def _require_whole(checkpoint: dict[str, Any], path: Path) -> None:
    """Refuse a checkpoint whose card or weights are not of the kind that lipfault writes."""
    card, weights = checkpoint[CARD], checkpoint.get('state_dict')
    wanted: dict[str, type] = {'stage': str, 'description': dict}
    for key, kind in wanted.items():
        if not isinstance(card, dict) or not isinstance(card.get(key), kind):
            raise LipfaultError(f'{path}: its {CARD!r} entry is damaged: it has no {key!r}')
    description = card['description']
    for key in ('modalities', 'steps'):
        if not isinstance(description.get(key), dict):
            raise LipfaultError(f'{path}: its description of the data is damaged: no {key!r}')
    if not isinstance(weights, dict):
        raise LipfaultError(f'{path}: its weights are damaged: state_dict must hold tensors')
    for name, value in weights.items():
        if not isinstance(value, torch.Tensor):
            raise LipfaultError(
                f'{path}: its weights are damaged: state_dict must hold tensors, {name} is '
                f'{type(value).__name__}'
            )
    require_printable(card, str(path))
