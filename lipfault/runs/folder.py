"""Find, make and guard run folders, and compare their configurations."""

import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lipfault.errors import LipfaultError
from lipfault.runs.config import read_config
from lipfault.runs.config_diff import config_diff
from lipfault.runs.layout import CONFIG_NAME as CONFIG_NAME
from lipfault.runs.layout import RunFolder as RunFolder
from lipfault.runs.layout import number_of

_UNCOMPARED = (
    'group', 'trust_run_code',
    'run', 'report', 'ckpt_path', 'save_every', 'loggers', 'config', 'verbose', 'weights_only',
    'trainer.default_root_dir', 'trainer.callbacks', 'trainer.logger', 'trainer.log_every_n_steps',
    'trainer.enable_progress_bar', 'trainer.enable_model_summary',
)  # fmt: skip
"""Keys that may change between the parts of a run without a message: they change no weight."""


def find_checkpoint(path: str | Path, prefer: str = 'best') -> Path:
    """Return the checkpoint file that a path stands for.

    Args:
        path: A checkpoint file, or a run folder.
        prefer: Checkpoint of a run folder to prefer, `best` or `last`.

    Returns:
        Path of an existing file.

    Raises:
        LipfaultError: If there is none.
    """
    path = Path(path)
    try:
        if path.is_file():
            return path
        found = path.exists()
    except OSError as error:  # such as a name that is too long
        raise LipfaultError(f'no checkpoint at {path}: {error.strerror}') from error
    if not found:
        raise LipfaultError(f'no checkpoint at {path}: there is no such file or run folder')
    run = RunFolder(path)
    # Each name once, the preferred one first.
    for name in dict.fromkeys((prefer, 'best', 'last')):
        if run.checkpoint(name).is_file():
            return run.checkpoint(name)
    raise LipfaultError(
        f'run folder {path} has no checkpoint: looked for best.ckpt and last.ckpt in '
        f'{run.checkpoints}'
    )


def make_new(name: str) -> str:
    """Make a folder, with a number behind its name if that exists already.

    Args:
        name: Path of the folder.

    Returns:
        Path of the folder made, which no other process has made.

    Raises:
        LipfaultError: If the system refuses to make it.
    """
    for number in itertools.count(1):
        folder = Path(name if number == 1 else f'{name}-{number}')
        # mkdir is atomic: of two runs started in the same second only one gets the name.
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

    Args:
        folder: The run folder; it need not exist.

    Raises:
        LipfaultError: Names the path in the way.
    """
    try:
        # What exists decides: the folder itself or the nearest folder above it.
        above = next(p for p in (folder, *folder.absolute().parents) if os.path.lexists(p))
        is_folder = above.is_dir()
    except OSError as error:
        raise LipfaultError(f'run folder {folder} cannot be made: {error.strerror}') from error
    if not is_folder:
        raise LipfaultError(f'run folder {folder} cannot be made: {above} is no folder')
    if not os.access(above, os.W_OK | os.X_OK):
        raise LipfaultError(
            f'run folder {folder} cannot be written: no permission to write in {above}, or it is '
            'on a read-only file system'
        )


def changes_since(checkpoint: Path, config: Mapping[str, Any]) -> list[str]:
    """Compare a configuration with that of the run a checkpoint belongs to.

    Args:
        checkpoint: A checkpoint.
        config: The complete configuration now, in plain types.

    Returns:
        A phrase for each key that has changed; none if the checkpoint is in no run folder.
    """
    file = RunFolder.of(checkpoint).config
    if not file.is_file():
        return []
    return config_diff(read_config(file), config, _UNCOMPARED)


def keep_metrics(run: Path) -> Path | None:
    """Rename the history of the interrupted part; the CSV logger starts a new file.

    Args:
        run: The run folder.

    Returns:
        The renamed file, for `restore_metrics`; None if there was no history.
    """
    folder = RunFolder(run)
    if not folder.history.exists():
        return None
    # Not by their count: with a part gone that would be the number of another one.
    number = max(map(number_of, folder.history_parts), default=0) + 1
    return folder.history.rename(run / f'metrics.part{number}.csv')


def restore_metrics(run: Path, part: Path | None) -> None:
    """Undo `keep_metrics` if the resumed part had nothing left to log.

    Args:
        run: The run folder.
        part: The file that `keep_metrics` has returned.
    """
    history = RunFolder(run).history
    if part is not None and part.exists() and not history.exists():
        part.rename(history)


def require_inside(run: Path, path: Path) -> None:
    """Refuse to write where a link leads out of a run.

    Args:
        run: The run folder, which may itself be reached by a link.
        path: File or folder in the run; it need not exist.

    Raises:
        LipfaultError: If the folder of `path` is outside the run; names both.
    """
    folder = path.parent.resolve()
    if not folder.is_relative_to(run.resolve()):
        raise LipfaultError(
            f'{path} is not written: a link or a name leads out of the run, to {folder}'
        )
