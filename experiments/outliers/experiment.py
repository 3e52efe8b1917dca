"""How far classical outlier detection gets on the same windows, faults and thresholds."""

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
from experiments.runner.run import Run
from lipfault.batch import Batch
from lipfault.data.datamodule import RecordingDataModule
from lipfault.faults.presence import split_missing
from lipfault.metrics.detection import clean_threshold, detection_summary
from lipfault.tasks.clean_windows import clean_signals
from lipfault.tasks.inputs import worst_faulty

SEED = 0
"""Of the faults."""

WINDOWS = {'quick': 300, 'full': 6000}
FALSE_ALARM_RATE = 0.01
SHOWN = ('f1', 'auroc', 'recall', 'false_alarm_rate', 'localization_accuracy')


def batches(data: RecordingDataModule, held_out: bool, limit: int) -> Iterator[Batch]:
    """Test windows with the faults of the test, as stage 2 sees them."""
    dataset = data.dataset(data.test_split)
    for start in range(0, min(limit, len(dataset)), 64):
        rows = range(start, min(start + 64, limit, len(dataset)))
        yield data.faulty_batch(dataset.fetch(rows), held_out=held_out)


def measure(preset: str, cell: str, seed: int) -> dict[str, dict[str, float]]:
    """Detection metrics of each detector, on seen and on held-out kinds."""
    data, limit = data_of(preset, cell, seed), WINDOWS[preset]
    train = clean_signals(data, data.train_split, limit)
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
    """The first three quarters of the windows, and the last: other episodes but for one."""
    cut = 3 * len(next(iter(features.values()))) // 4
    return {n: f[:cut] for n, f in features.items()}, {n: f[cut:] for n, f in features.items()}


def _labelled(
    make: dict[str, FeaturesOf], data: RecordingDataModule, held_out: bool, limit: int
) -> tuple[Features, Tensor, Tensor]:
    """Features of the test windows, whether they are faulty, and in which modality."""
    parts: dict[str, list[Tensor]] = {n: [] for n in make}
    modality: list[Tensor] = []
    for batch in batches(data, held_out, limit):
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
    """Measure everything on the first seed of each cell, and write a table for each."""
    cells = list(dict.fromkeys(cell for cell, _ in cells_and_seeds(preset)))
    found = {cell: measure(preset, cell, SEED) for cell in cells}
    lines: list[str] = []
    for cell, methods in found.items():
        rows = {
            f'`{prefix}/{key}`': [f'{m[f"{prefix}/{key}"]:.4g}' for m in methods.values()]
            for prefix in ('detection', 'detection_unseen')
            for key in SHOWN
        }
        lines += [f'## {cell}', '', *table(['figure', *methods], rows), '']
    write_results(folder, found, lines)


def runs(preset: str) -> list[Run]:
    """Nothing is trained by gradient."""
    return []


EXPERIMENT = Experiment(
    question='How far does classical outlier detection get on the same windows?',
    cost={'quick': '1 min', 'full': '5 min'},
    runs=runs,
    report=report,
)
