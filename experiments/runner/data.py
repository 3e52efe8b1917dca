"""DataModule and faults of a run's stage 2, without the run."""

from functools import cache
from typing import Any

from experiments.runner.plan import LAST
from lipfault.cli.lightning import settings
from lipfault.data.datamodule import RecordingDataModule
from lipfault.faults.config import FaultConfig


def data_of(preset: str, cell: str, seed: int) -> RecordingDataModule:
    """Return the DataModule of stage 2.

    Args:
        preset: `quick` or `full`.
        cell: Name of a shipped recording.
        seed: Seed of the faults and of the order of windows.
    """
    found = _settings(preset, cell) | {'seed': seed, 'faults': faults_of(preset, cell, seed)}
    return RecordingDataModule(**found)


def faults_of(preset: str, cell: str, seed: int) -> FaultConfig:
    """Return the configuration of the faults that stage 2 injects.

    Args:
        preset: `quick` or `full`.
        cell: Name of a shipped recording.
        seed: Seed of the faults.
    """
    given = dict(_settings(preset, cell)['faults'])
    if given.get('severities'):
        # Keys of YAML mappings dumped by the parser are strings.
        given['severities'] = {int(k): v for k, v in given['severities'].items()}
    return FaultConfig(**given | {'seed': seed})


@cache
def _settings(preset: str, cell: str) -> dict[str, Any]:
    """Parse the settings of the DataModule once; callers must not change the result."""
    overlays = ('configs/finetune.yaml', f'configs/data/{cell}.yaml', *LAST[preset])
    found: dict[str, Any] = settings(['fit', *(a for o in overlays for a in ('--config', o))])
    return dict(found['data'])
