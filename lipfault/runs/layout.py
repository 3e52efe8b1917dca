"""The layout of a run folder: where its checkpoints, configuration, metrics and report are."""

import re
from dataclasses import dataclass
from pathlib import Path

CONFIG_NAME = 'lipfault_config.yaml'
"""Name of the complete configuration in a run folder."""

_CHECKPOINTS = 'checkpoints'


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
        numbers = {part: number_of(part) for part in self.path.glob('metrics.part*.csv')}
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


def number_of(part: Path) -> int:
    """Return the number of a part of the history.

    Args:
        part: A file of a run.

    Returns:
        The number, 0 for another file.
    """
    found = re.fullmatch(r'metrics\.part([0-9]{1,9})\.csv', part.name)
    return int(found[1]) if found else 0
