"""The data of a run, without a run."""

from functools import cache
from typing import Any

from experiments.runner.plan import LAST
from lipfault.cli.lightning import settings
from lipfault.data.datamodule import RecordingDataModule
from lipfault.faults.config import FaultConfig


def data_of(preset: str, cell: str, seed: int) -> RecordingDataModule:
    """The DataModule that stage 2 uses."""
    found = _settings(preset, cell) | {'seed': seed, 'faults': faults_of(preset, cell, seed)}
    return RecordingDataModule(**found)


def faults_of(preset: str, cell: str, seed: int) -> FaultConfig:
    """The faults that stage 2 injects."""
    given = dict(_settings(preset, cell)['faults'])
    if given.get('severities'):
        given['severities'] = {int(k): v for k, v in given['severities'].items()}
    return FaultConfig(**given | {'seed': seed})


@cache
def _settings(preset: str, cell: str) -> dict[str, Any]:
    """Parsed once; nobody changes it."""
    overlays = ('configs/finetune.yaml', f'configs/data/{cell}.yaml', *LAST[preset])
    found: dict[str, Any] = settings(['fit', *(a for o in overlays for a in ('--config', o))])
    return dict(found['data'])
