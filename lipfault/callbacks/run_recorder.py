"""Writes what a run found into its folder."""

import json
import math
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_only

from lipfault.modality import Modality
from lipfault.tasks.clean_windows import recording_data

_PACKAGES = ('lipfault', 'torch', 'lightning', 'torchmetrics', 'numpy', 'h5py', 'jsonargparse')


class RunRecorder(lightning.Callback):
    """Writes `environment.json` when a run starts, `metrics.json` and `results.npz` after a test.

    Args:
        run: The run's folder.
        seed: The run's seed, for the record.
    """

    def __init__(self, run: Path, seed: int | None) -> None:
        """Nothing is written yet."""
        self.run, self.seed = run, seed

    @rank_zero_only
    def on_fit_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Versions, seed, device and command line."""
        environment = {
            'command': sys.argv,
            'seed': self.seed,
            'python': platform.python_version(),
            'platform': platform.platform(),
            'processors': os.cpu_count(),
            'device': _device(pl_module.device),
            'packages': {name: _version(name) for name in _PACKAGES},
        }
        write_json(self.run / 'environment.json', environment)

    @rank_zero_only
    def on_test_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Metrics as flat JSON, arrays for the report."""
        results: dict[str, Any] = getattr(pl_module, 'test_results', {})
        if not results:
            return
        kinds = recording_data(trainer).kinds
        arrays = report_arrays(results['modalities'], kinds, results['arrays'])
        temporary = self.run / 'results.tmp.npz'
        np.savez_compressed(temporary, **arrays)
        temporary.replace(self.run / 'results.npz')
        write_json(self.run / 'metrics.json', finite_or_null(results['metrics']))


def report_arrays(
    modalities: Mapping[str, Modality], kinds: Sequence[str], arrays: Mapping[str, Any]
) -> dict[str, Any]:
    """Arrays as the report reads them, with the names that belong to them.

    Args:
        modalities: What is known of each modality.
        kinds: Names of the kinds of faults, in the order that labels count them.
        arrays: What was measured, by key.
    """
    named: dict[str, Any] = {
        'modalities': np.array(list(modalities)),
        'kinds': np.array(kinds),
    }
    for name, modality in modalities.items():
        named[f'channels/{name}'] = np.array(modality.channels)
        named[f'units/{name}'] = np.array(modality.units)
    return named | {key: np.asarray(value) for key, value in arrays.items()}


def finite_or_null(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Metrics with None in the place of what JSON has no word for: NaN and infinity."""
    return {key: value if math.isfinite(value) else None for key, value in metrics.items()}


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write plain values as JSON, all or nothing."""
    temporary = path.with_suffix('.tmp')
    temporary.write_text(json.dumps(values, indent=2, sort_keys=True) + '\n')
    temporary.replace(path)


def _device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == 'cuda' else device.type


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return 'not installed'
