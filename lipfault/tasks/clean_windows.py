"""Clean windows in memory, and the PCA baseline fitted on them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, cast

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from numpy.typing import NDArray

from lipfault.batch import Batch
from lipfault.data.splits import EVERY_EPISODE
from lipfault.errors import LipfaultError
from lipfault.metrics.recovery import error_per_sample, skill
from lipfault.modality import Signals
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.autoencoder.pca import fit_pca
from lipfault.tasks.distributed import PerSample

CHUNK = 8
"""Windows that are read at once: the allocator returns the memory of small blocks for reuse."""

FIT_LIMIT = 6000
"""Windows on which standardization and PCA are fitted, evenly spread over the split."""


class WindowSequence(Protocol):
    """Windows of one split, as `lipfault.data.windows.WindowDataset` holds them."""

    @property
    def sample_id(self) -> NDArray[np.int64]:
        """Return (window,) ids of the windows, ascending."""

    @property
    def episode(self) -> NDArray[np.int64]:
        """Return (window,) position of the episode of each window in the recordings."""

    @property
    def end_s(self) -> NDArray[np.float64]:
        """Return (window,) end of each window in seconds from the start of its episode."""

    def __len__(self) -> int:
        """Return the number of windows."""

    def fetch(self, indices: Sequence[int]) -> Any:  # noqa: ANN401
        """Read several windows.

        Args:
            indices: Indices of the windows.

        Returns:
            The windows, input of `WindowSource.clean_batch` and `WindowSource.faulty_batch`.
        """


class WindowSource(Protocol):
    """What tasks and callbacks use of `lipfault.data.datamodule.RecordingDataModule`.

    A protocol keeps the whole data package out of the imports of tasks and callbacks.
    """

    train_split: str
    val_split: str
    test_split: str

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return the names of the fault kinds in the order of the labels."""

    @property
    def has_faults(self) -> bool:
        """Return whether faults are configured."""

    @property
    def split_ids(self) -> Mapping[str, Sequence[str]]:
        """Return the ids of the episodes of each split."""

    def used_splits(self, stage: str) -> tuple[str, ...]:
        """Return the splits that a stage reads.

        Args:
            stage: `fit`, `validate`, `test` or `predict`.

        Returns:
            Names of the splits.
        """

    def dataset(self, split: str) -> WindowSequence:
        """Return the complete windows of a split.

        Args:
            split: Name of the split.

        Returns:
            The windows in order of time.
        """

    def clean_batch(self, windows: Any) -> Batch:  # noqa: ANN401
        """Unpack windows without injecting faults.

        Args:
            windows: Windows of `WindowSequence.fetch`, on any device.

        Returns:
            Batch whose observed signals are the clean ones.
        """

    def faulty_batch(self, windows: Any) -> Batch:  # noqa: ANN401
        """Unpack windows and inject the faults of epoch 0.

        Args:
            windows: Windows of `WindowSequence.fetch`, on any device.

        Returns:
            Batch with labels.
        """


def recording_data(trainer: lightning.Trainer) -> WindowSource:
    """Return the DataModule of a trainer.

    Args:
        trainer: A trainer of a task of lipfault.

    Returns:
        The DataModule.

    Raises:
        LipfaultError: If the trainer runs without one.
    """
    datamodule = getattr(trainer, 'datamodule', None)
    if not hasattr(datamodule, 'clean_batch'):
        raise LipfaultError('the tasks of lipfault need a RecordingDataModule, pass datamodule=...')
    return cast(WindowSource, datamodule)


def warn_of_training_episodes(
    trained: Collection[str], datamodule: WindowSource, stage: str
) -> None:
    """Warn of splits with episodes on which stage 1 was trained.

    Args:
        trained: Ids of these episodes, from the card of the checkpoint.
        datamodule: The DataModule.
        stage: `fit`, `validate`, `test` or `predict`.
    """
    for split in datamodule.used_splits(stage):
        if split == EVERY_EPISODE:  # of recordings that need not be those of the training
            continue
        known = [e for e in datamodule.split_ids[split] if e in trained]
        if known:
            shown = ', '.join(repr(e) for e in known[:3]) + (', ...' if len(known) > 3 else '')
            rank_zero_warn(
                f'stage 1 was trained on {len(known)} episodes of split {split!r} ({shown}): '
                'metrics are not those of new recordings; set data.splits and data.split_seed as '
                'in stage 1'
            )


def with_places(values: PerSample, windows: WindowSequence) -> PerSample:
    """Add the episode and the time of each window to its values.

    Args:
        values: Per sample, among them `sample_id`.
        windows: Windows of the split.

    Returns:
        The values with `episode`, the position of the episode in the recordings, and `end_s`, the
        end of the window in seconds from the start of its episode.
    """
    rows = np.searchsorted(windows.sample_id, values['sample_id'].numpy())
    places = {'episode': windows.episode[rows], 'end_s': windows.end_s[rows]}
    return values | {key: torch.from_numpy(place) for key, place in places.items()}


def clean_signals(datamodule: WindowSource, split: str, limit: int) -> Signals:
    """Read clean windows of a split, on the CPU, in physical units.

    Args:
        datamodule: The DataModule.
        split: Name of the split.
        limit: At most so many windows, evenly spread.

    Returns:
        For each modality (window, channel, time) or (window, channel, height, width), float32.
    """
    dataset = datamodule.dataset(split)
    count = len(dataset)
    indices = sorted(set(torch.linspace(0, count - 1, min(limit, count)).long().tolist()))
    kept: Signals = {}
    for start in range(0, len(indices), CHUNK):
        rows = slice(start, start + CHUNK)
        clean = datamodule.clean_batch(dataset.fetch(indices[rows])).clean
        for name, signals in clean.items():
            if name not in kept:
                kept[name] = signals.new_empty(len(indices), *signals.shape[1:])
            kept[name][rows] = signals
    return kept


@torch.no_grad()
def pca_floor(
    autoencoder: Autoencoder, datamodule: WindowSource, train_split: str
) -> dict[str, float]:
    """Compute the skill of a PCA of whole windows with a latent of the same size.

    Args:
        autoencoder: Stage 1, for the units and the size of the latent.
        datamodule: The DataModule.
        train_split: Split on which the autoencoder was trained; the PCA is fitted on it and
            measured on the test split.

    Returns:
        `skill_pca/<modality>`, 1 - MSE / variance.
    """
    device = next(autoencoder.parameters()).device
    train = clean_signals(datamodule, train_split, FIT_LIMIT)
    test = clean_signals(datamodule, datamodule.test_split, FIT_LIMIT)
    metrics = {}
    for name in tuple(train):
        fitted = autoencoder.standardized({name: train.pop(name).to(device)})[name].flatten(1)
        tested = autoencoder.standardized({name: test.pop(name).to(device)})[name].flatten(1)
        size = min(autoencoder.latent_size(name), *fitted.shape)
        error = error_per_sample(fit_pca(fitted, size).reconstruct(tested), tested)
        metrics[f'skill_pca/{name}'] = skill(error, tested.square().mean(dim=1))
    return metrics
