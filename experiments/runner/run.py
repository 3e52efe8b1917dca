"""A run of an experiment: which configuration, on which stage 1."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path('runs/experiments')
"""Where all runs of experiments lie; experiments that name the same run share it."""


@dataclass(frozen=True)
class Run:
    """One training and its test.

    Args:
        name: Folder of the run below `ROOT`, the same for the same configuration.
        configs: Configuration files, later ones laid over earlier ones.
        options: Further options of the command line, `--key=value`.
        pretrained: The run of stage 1 that a run of stage 2 stands on.
    """

    name: str
    configs: tuple[str, ...]
    options: tuple[str, ...] = ()
    pretrained: 'Run | None' = None

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return ROOT / self.name

    @property
    def settings(self) -> list[str]:
        """Arguments of `lipfault fit` that decide what is trained; not where it lies."""
        return [*(a for c in self.configs for a in ('--config', c)), *self.options]

    @property
    def place(self) -> list[str]:
        """Arguments of `lipfault fit` that say where things lie, and that no report is drawn."""
        stage_one = [] if self.pretrained is None else ['--model.pretrained', self.pretrained.where]
        return ['--run', self.where, '--report=false', *stage_one]

    @property
    def where(self) -> str:
        """The folder as an argument."""
        return str(self.folder)


def with_stage_one(runs: list[Run]) -> list[Run]:
    """The runs with those of stage 1 before the first that needs them, each once."""
    order: dict[str, Run] = {}
    for run in runs:
        for needed in (run.pretrained, run):
            if needed is not None:
                order.setdefault(needed.name, needed)
    return list(order.values())
