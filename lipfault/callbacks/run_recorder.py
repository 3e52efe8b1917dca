"""Write environment, metrics and arrays of a run into its folder."""

import json
import math
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from lipfault.modality import Modality
from lipfault.runs.atomic import replacing
from lipfault.runs.environment import data_files, package_versions, without_home
from lipfault.tasks.clean_windows import recording_data


class RunRecorder(Callback):
    """Write `environment.json` when a run starts, `metrics.json` and `results.npz` after a test.

    Args:
        run: Folder of the run.
        seed: Seed of the run, for `environment.json`.
        data: Recordings of the run, whose checksums go to `environment.json`.
    """

    def __init__(self, run: Path, seed: int | None, data: str | Sequence[str] = ()) -> None:
        """Keep folder, seed and paths."""
        self.run, self.seed, self.data = run, seed, data

    @rank_zero_only
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write versions, seed, device, command line and checksums of the data.

        Args:
            trainer: The trainer.
            pl_module: The task.
        """
        environment = {
            'command': without_home(sys.argv),
            'seed': self.seed,
            'python': platform.python_version(),
            'platform': platform.platform(),
            'processors': os.cpu_count(),
            'device': _device(pl_module.device),
            'packages': package_versions(),
            'data': data_files(self.data),
        }
        write_json(self.run / 'environment.json', environment)

    @rank_zero_only
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the metrics as flat JSON and the arrays of the report.

        Args:
            trainer: The trainer.
            pl_module: A task, with `test_results` unless it has no results to write.
        """
        results: dict[str, Any] = getattr(pl_module, 'test_results', {})
        if not results:
            return
        kinds = recording_data(trainer).kinds
        arrays = report_arrays(results['modalities'], kinds, results['arrays'])
        with (
            replacing(self.run / 'results.npz', overwrite=True) as temporary,
            # An open file: given a name without .npz, numpy would append it.
            temporary.open('wb') as file,
        ):
            np.savez_compressed(file, **arrays)
        write_json(self.run / 'metrics.json', finite_or_null(results['metrics']))


def report_arrays(
    modalities: Mapping[str, Modality], kinds: Sequence[str], arrays: Mapping[str, Any]
) -> dict[str, Any]:
    """Add the names of modalities, kinds, channels and units to the arrays of a test.

    Args:
        modalities: Description of each modality by name.
        kinds: Names of the fault kinds in the order of the labels.
        arrays: Measured arrays by key.

    Returns:
        Arrays by key as `lipfault.report.results.Results` reads them.
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
    """Replace NaN and infinity by None, since JSON has no numbers for them.

    Args:
        metrics: Values by key.

    Returns:
        The same keys with finite values or None.
    """
    return {key: value if math.isfinite(value) else None for key, value in metrics.items()}


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write plain values as JSON, completely or not at all.

    Args:
        path: The file; an existing one is replaced.
        values: Plain values by key.

    Raises:
        LipfaultError: If the file cannot be written.
    """
    with replacing(path, overwrite=True) as temporary:
        # Sorted keys: two runs can be compared line by line.
        temporary.write_text(json.dumps(values, indent=2, sort_keys=True) + '\n')


def _device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == 'cuda' else device.type
