"""A run of an experiment: its configuration, and the stage 1 that it loads."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path('runs/experiments')
"""Folder of all runs of experiments; experiments that name the same run share it."""


@dataclass(frozen=True)
class Run:
    """One training and its test.

    Args:
        name: Folder of the run below `ROOT`; equal names require equal configurations.
        configs: Configuration files; later ones override earlier ones.
        options: Further options of the command line, `--key=value`.
        pretrained: Run of stage 1 that a run of stage 2 loads; None for stage 1.
    """

    name: str
    configs: tuple[str, ...]
    options: tuple[str, ...] = ()
    pretrained: 'Run | None' = None

    @property
    def folder(self) -> Path:
        """Path of the run's folder."""
        return ROOT / self.name

    @property
    def settings(self) -> list[str]:
        """Arguments of `lipfault fit` that determine the training, without any paths."""
        # The hash of a run is made from these alone: moving a folder keeps it valid.
        return [*(a for c in self.configs for a in ('--config', c)), *self.options]

    @property
    def place(self) -> list[str]:
        """Arguments of `lipfault fit` that name folders, and turn the HTML report off."""
        stage_one = [] if self.pretrained is None else ['--model.pretrained', self.pretrained.where]
        return ['--run', self.where, '--report=false', *stage_one]

    @property
    def where(self) -> str:
        """Path of the run's folder as a command line argument."""
        return str(self.folder)


RunTree = Mapping[Any, 'Run | RunTree']
"""Runs in nested mappings, by cell, method and seed for instance."""


def flattened(tree: RunTree) -> Iterator[Run]:
    """Yield the runs of nested mappings, depth first.

    Args:
        tree: Mappings whose leaves are runs.
    """
    for value in tree.values():
        if isinstance(value, Run):
            yield value
        else:
            yield from flattened(value)


def with_stage_one(runs: Iterable[Run]) -> list[Run]:
    """Return the runs and their runs of stage 1, each once.

    Args:
        runs: Runs of either stage.

    Returns:
        The runs in their order, each run of stage 1 before the first run that loads it.
    """
    order: dict[str, Run] = {}
    for run in runs:
        # Stage 1 loads no other run, so one level is enough.
        for needed in (run.pretrained, run):
            if needed is not None:
                order.setdefault(needed.name, needed)
    return list(order.values())
