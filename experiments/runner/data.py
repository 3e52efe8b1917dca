"""The data of a run, without a run."""

from typing import Any

from experiments.runner.plan import LAST
from lipfault.cli import settings
from lipfault.data.datamodule import RecordingDataModule
from lipfault.faults.config import FaultConfig


def data_of(preset: str, cell: str, seed: int) -> RecordingDataModule:
    """The DataModule that stage 2 uses."""
    found = _settings(preset, cell)
    found.pop('faults')
    return RecordingDataModule(**found | {'seed': seed}, faults=faults_of(preset, cell, seed))


def faults_of(preset: str, cell: str, seed: int) -> FaultConfig:
    """The faults that stage 2 injects."""
    given = dict(_settings(preset, cell)['faults'])
    if given.get('severities'):
        given['severities'] = {int(k): v for k, v in given['severities'].items()}
    return FaultConfig(**given | {'seed': seed})


def _settings(preset: str, cell: str) -> dict[str, Any]:
    overlays = ('configs/finetune.yaml', f'configs/data/{cell}.yaml', *LAST[preset])
    found: dict[str, Any] = settings(['fit', *(a for o in overlays for a in ('--config', o))])
    return dict(found['data'])
