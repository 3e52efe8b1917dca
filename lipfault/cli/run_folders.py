"""Choose the run folder and the checkpoint of a command, and guard the folders of other runs."""

from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_info

from lipfault.errors import LipfaultError
from lipfault.runs.checkpoints import read_checkpoint, resumable_checkpoint
from lipfault.runs.config import read_config
from lipfault.runs.environment import environment_changes
from lipfault.runs.folder import RunFolder, changes_since, find_checkpoint, require_writable
from lipfault.runs.launch import first_process
from lipfault.runs.lock import LOCK_NAME
from lipfault.runs.resume import refuse_ineffective


def evaluated(wanted: str | None, run: str | None, name: str) -> tuple[Path, Path]:
    """Choose the checkpoint to evaluate, and the folder for what is measured.

    The folder is the one in which the checkpoint lies, whatever its configuration says: the run may
    have been moved or copied.

    Args:
        wanted: A run folder, a checkpoint file, or `best` or `last` of the folder `run`.
        run: Another folder for the results, None for that of the checkpoint.
        name: The command, for messages.

    Returns:
        Checkpoint and folder.

    Raises:
        LipfaultError: If there is no checkpoint, or the folder cannot be written or is of another
            run.
    """
    if wanted is None:
        raise LipfaultError(
            f'{name} needs trained weights: give --ckpt_path a run folder or a checkpoint file'
        )
    file = find_checkpoint(run, wanted) if wanted in ('last', 'best') and run else None
    file = find_checkpoint(wanted) if file is None else file
    read_checkpoint(file)
    owner = RunFolder.of(file).path
    folder = owner if run is None else Path(run)
    if folder.resolve() != owner.resolve() and any(RunFolder(folder).checkpoints.glob('*.ckpt')):
        raise LipfaultError(
            f'run folder {folder} has weights of its own, and {file} is not of this run: its '
            f'results would be replaced; choose another --run, or leave it out to write to {owner}'
        )
    try:
        require_writable(folder)
    except LipfaultError as error:
        hint = '' if run else '; name another folder for the results with --run'
        raise LipfaultError(f'{error}{hint}') from error
    return file, folder


def resumed(run: Path, wanted: str) -> str | None:
    """Return the checkpoint to go on from.

    Args:
        run: The run folder.
        wanted: `last`, `best`, a checkpoint file or a run folder.

    Returns:
        Path of the file; None if the run was interrupted before its first save.

    Raises:
        LipfaultError: If there is no readable checkpoint.
    """
    if wanted == 'last':
        file = resumable_checkpoint(run)
        return None if file is None else str(file)
    file = find_checkpoint(*((run, wanted) if wanted == 'best' else (wanted, 'last')))
    read_checkpoint(file)
    return str(file)


def require_own(run: Path, checkpoint: str | None, resumes: bool) -> None:
    """Refuse to train in the folder of another run.

    Args:
        run: The run folder.
        checkpoint: The checkpoint to go on from, None for a start from the beginning.
        resumes: Whether the user asks to go on with a run.

    Raises:
        LipfaultError: If the folder holds something, and not the checkpoint to go on from.
    """
    if not run.exists() or all(file.name == LOCK_NAME for file in run.iterdir()):
        return
    if not resumes:
        raise LipfaultError(
            f'run folder {run} is not empty: choose another --run, or resume '
            f'it with --ckpt_path last'
        )
    owner = run if checkpoint is None else RunFolder.of(checkpoint).path
    if owner.resolve() != run.resolve():
        raise LipfaultError(
            f'run folder {run} is not empty, and {checkpoint} is not of this run: choose '
            f'another --run, or --run {owner} to go on with that one'
        )


def resumed_autoencoder(checkpoint: str, given: str | None) -> str | None:
    """Return the stage 1 that a resumed run of stage 2 has started from.

    A resumed run takes its autoencoder from its own checkpoint.

    Args:
        checkpoint: The checkpoint to go on from.
        given: Stage 1 as configured now, None if it is not.

    Returns:
        Stage 1 as the configuration of the run names it, else as given.

    Raises:
        LipfaultError: If another stage 1 is given than the run has started from.
    """
    file = RunFolder.of(checkpoint).config
    model = read_config(file).get('model') if file.is_file() else None
    settings = model.get('init_args') if isinstance(model, dict) else None
    before = settings.get('pretrained') if isinstance(settings, dict) else None
    if not isinstance(before, str):
        return given
    if given is not None and Path(given).resolve() != Path(before).resolve():
        raise LipfaultError(
            f'model.pretrained is {given}, was {before}: a resumed run cannot change it, since its '
            'checkpoint holds the autoencoder; leave it out, or train a new run'
        )
    return before


def compare(checkpoint: str, settings: dict[str, Any], paths: str | list[str]) -> None:
    """Refuse or log what differs from the part of a run that is resumed.

    Args:
        checkpoint: Checkpoint to go on from.
        settings: Complete configuration in plain types.
        paths: The recordings.

    Raises:
        LipfaultError: If a setting is changed that a resumed run cannot change.
    """
    changed = changes_since(Path(checkpoint), settings)
    refuse_ineffective(changed)
    if changed:
        rank_zero_info(f'going on with another configuration: {"; ".join(changed)}')
    owner = RunFolder.of(checkpoint).path
    changed = environment_changes(owner, paths) if first_process() else []
    if changed:
        rank_zero_info(f'going on with another environment or data: {"; ".join(changed)}')
