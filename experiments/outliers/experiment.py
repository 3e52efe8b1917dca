"""Classical outlier detection on the same windows, faults and thresholds as stage 2."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from experiments.outliers.detectors import DETECTORS, Features, PerModality, new_detector
from experiments.outliers.features import Features as FeaturesOf
from experiments.runner.catalogue import Experiment
from experiments.runner.data import data_of
from experiments.runner.plan import cells_and_seeds
from experiments.runner.results import table, write_results
from lipfault import __version__
from lipfault.batch import Batch
from lipfault.data.datamodule import RecordingDataModule
from lipfault.faults.presence import split_missing
from lipfault.metrics.detection import clean_threshold, detection_summary
from lipfault.tasks.clean_windows import clean_signals
from lipfault.tasks.inputs import worst_faulty

SEED = 0
"""Seed of the faults."""

WINDOWS = {'quick': 300, 'full': 6000}
"""Maximum number of windows of each split."""

FALSE_ALARM_RATE = 0.01
"""As in `configs/finetune.yaml`."""

KEYS = ('f1', 'auroc', 'recall', 'false_alarm_rate', 'localization_accuracy')


def batches(data: RecordingDataModule, held_out: bool, limit: int) -> Iterator[Batch]:
    """Yield test windows with the faults of the test, in batches of 64 as in stage 2.

    Args:
        data: DataModule whose test split is used.
        held_out: Whether to inject the held-out kinds instead of the seen ones.
        limit: Maximum number of windows.
    """
    dataset = data.dataset(data.test_split)
    for start in range(0, min(limit, len(dataset)), 64):
        rows = range(start, min(start + 64, limit, len(dataset)))
        yield data.faulty_batch(dataset.fetch(rows), held_out=held_out)


def measure(preset: str, cell: str, seed: int) -> dict[str, dict[str, float]]:
    """Return the detection metrics of each detector, on seen and on held-out kinds.

    Args:
        preset: `quick` or `full`.
        cell: Name of a shipped recording.
        seed: Seed of the faults.
    """
    data, limit = data_of(preset, cell, seed), WINDOWS[preset]
    train = clean_signals(data, data.train_split, limit)
    # Features are fitted on the training split, thresholds on the calibration split.
    make = {n: FeaturesOf.fit(train[n], m) for n, m in data.modalities.items()}
    clean = {s: _features(make, clean_signals(data, s, limit)) for s in (data.val_split,)}
    fitted = _features(make, train)
    tests = {
        prefix: _labelled(make, data, held_out, limit)
        for prefix, held_out in (('detection', False), ('detection_unseen', True))
    }
    found = {}
    for name in DETECTORS:
        detector = PerModality(partial(new_detector, name))
        detector.fit(*_halves(fitted))
        threshold = clean_threshold(_score(detector, clean[data.val_split]), FALSE_ALARM_RATE)
        metrics: dict[str, float] = {}
        for prefix, (features, faulty, modality) in tests.items():
            logits = detector.logits(features)
            summary = detection_summary(
                logits.amax(dim=1), faulty, modality, logits.argmax(dim=1), threshold
            )
            metrics |= {f'{prefix}/{key}': value for key, value in summary.items()}
        found[name] = metrics
    return found


def _halves(features: Features) -> tuple[Features, Features]:
    """The first three quarters of the windows, and the last; at most one episode is in both."""
    # Windows are in order of time, so a cut separates episodes, except for the one that it splits.
    cut = 3 * len(next(iter(features.values()))) // 4
    return {n: f[:cut] for n, f in features.items()}, {n: f[cut:] for n, f in features.items()}


def _labelled(
    make: dict[str, FeaturesOf], data: RecordingDataModule, held_out: bool, limit: int
) -> tuple[Features, Tensor, Tensor]:
    """Features of the test windows, whether each is faulty, and the index of the modality."""
    parts: dict[str, list[Tensor]] = {n: [] for n in make}
    modality: list[Tensor] = []
    for batch in batches(data, held_out, limit):
        # PyOD takes no NaN: missing values are filled as in stage 2.
        finite, _ = split_missing(batch.observed, data.modalities)
        for name, features in _features(make, finite).items():
            parts[name].append(features)
        if batch.labels is not None:
            modality.append(worst_faulty(batch.labels))
    which = torch.cat(modality)
    return {n: torch.cat(p) for n, p in parts.items()}, which >= 0, which


def _features(make: dict[str, FeaturesOf], signals: dict[str, Tensor]) -> Features:
    return {n: make[n](x) for n, x in signals.items()}


def _score(detector: PerModality, features: Features) -> Tensor:
    return detector.logits(features).amax(dim=1)


def report(preset: str, folder: Path) -> None:
    """Measure all detectors on each cell, and write a table per cell.

    Args:
        preset: `quick` or `full`.
        folder: Folder of the results.
    """
    cells = list(dict.fromkeys(cell for cell, _ in cells_and_seeds(preset)))
    found = {cell: measure(preset, cell, SEED) for cell in cells}
    lines: list[str] = []
    for cell, methods in found.items():
        rows = {
            f'`{prefix}/{key}`': [f'{m[f"{prefix}/{key}"]:.4g}' for m in methods.values()]
            for prefix in ('detection', 'detection_unseen')
            for key in KEYS
        }
        lines += [f'## {cell}', '', *table(['metric', *methods], rows), '']
    write_results(folder, found, lines, versions=[__version__])


EXPERIMENT = Experiment(
    question='How well does classical outlier detection perform on the same windows?',
    cost={'quick': '1 min', 'full': '5 min'},
    report=report,
)
