"""The layout of a run folder: where its checkpoints, configuration, metrics and report are."""

import itertools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipfault.errors import LipfaultError
from lipfault.runs.config import read_config
from lipfault.runs.config_diff import config_diff

CONFIG_NAME = 'lipfault_config.yaml'
"""Name of the complete configuration in a run folder."""

_CHECKPOINTS = 'checkpoints'
_UNCOMPARED = (
    'group', 'trust_run_code',
    'run', 'report', 'ckpt_path', 'save_every', 'loggers', 'config', 'verbose', 'weights_only',
    'trainer.default_root_dir', 'trainer.callbacks', 'trainer.logger', 'trainer.log_every_n_steps',
    'trainer.enable_progress_bar', 'trainer.enable_model_summary',
)  # fmt: skip
"""Keys that may change between the parts of a run without a message: they change no weight."""


class _InRun:
    """Descriptor for the path of a file or folder in a run folder.

    Args:
        name: Name relative to the run folder.
    """

    def __init__(self, name: str) -> None:
        """Keep the name."""
        self._name = name

    def __get__(self, run: 'RunFolder', kind: type) -> Path:
        """Return the path in a run folder."""
        return run.path / self._name


@dataclass(frozen=True)
class RunFolder:
    """The files of one run.

    Args:
        path: The folder; it need not exist.

    Example:
        >>> RunFolder.of('runs/a/checkpoints/best.ckpt').config.as_posix()
        'runs/a/lipfault_config.yaml'
    """

    path: Path

    @classmethod
    def of(cls, path: str | Path) -> 'RunFolder':
        """Return the run folder that a checkpoint belongs to.

        Args:
            path: A checkpoint file, in `checkpoints/` of its run or directly in it, or a run
                folder.

        Returns:
            The run folder; `path` itself unless it is a file or ends in `.ckpt`.
        """
        path = Path(path)
        # By suffix where nothing exists yet; `runs/v1.2` has one too, but not this.
        if path.suffix != '.ckpt' and not path.is_file():
            return cls(path)
        return cls(path.parent.parent if path.parent.name == _CHECKPOINTS else path.parent)

    checkpoints = _InRun(_CHECKPOINTS)
    """Folder of the checkpoints."""

    config = _InRun(CONFIG_NAME)
    """Complete configuration of the fit, YAML."""

    environment = _InRun('environment.json')
    """Versions, seed, device and command of the fit, JSON."""

    history = _InRun('metrics.csv')
    """Values logged during the fit, CSV; see `history_parts` for a resumed run."""

    @property
    def history_parts(self) -> list[Path]:
        """Values logged by the interrupted parts of a resumed run, the oldest first."""
        # By number, not by name: part 10 follows part 9.
        numbers = {part: _number_of(part) for part in self.path.glob('metrics.part*.csv')}
        return sorted((part for part, n in numbers.items() if n), key=lambda part: numbers[part])

    metrics = _InRun('metrics.json')
    """Metrics of the last test, flat JSON."""

    certificate = _InRun('certificate.json')
    """Sensitivity to faults, measured by `certify`, JSON."""

    figures = _InRun('figures')
    """Folder of the drawn figures."""

    results = _InRun('results.npz')
    """Arrays of the last test that the report draws, NumPy archive."""

    report = _InRun('report.html')
    """The drawn page, HTML."""

    def checkpoint(self, name: str) -> Path:
        """Return the path of a checkpoint.

        Args:
            name: `best`, `last` or `previous`.

        Returns:
            Path of the file; it need not exist.
        """
        return self.checkpoints / f'{name}.ckpt'


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
    number = max(map(_number_of, folder.history_parts), default=0) + 1
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


def _number_of(part: Path) -> int:
    """Return the number of a part of the history, 0 for another file."""
    found = re.fullmatch(r'metrics\.part([0-9]{1,9})\.csv', part.name)
    return int(found[1]) if found else 0
