"""DataModule: splits, datasets and loaders of windows, with faults injected on the device."""

from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from lipfault.batch import Batch
from lipfault.data.batch_builder import BatchBuilder
from lipfault.data.geometry import Geometry
from lipfault.data.grid import with_quanta
from lipfault.data.injection import ScheduledFaults
from lipfault.data.recording_set import RecordingSet
from lipfault.data.sample_cache import CacheMode
from lipfault.data.sharing import EvaluationSampler, TrainLoader, TrainSampler
from lipfault.data.splits import EVERY_EPISODE, split_episodes
from lipfault.data.spread import spread_windows
from lipfault.data.unpack import signal_shapes, unpack
from lipfault.data.window_batch import Windows, collate
from lipfault.data.window_lengths import fitting_batch_size, fitting_geometry, long_enough
from lipfault.data.windows import WindowDataset
from lipfault.domains import Count, CountOrZero, NonNegative, Positive, Seed, Share, validated
from lipfault.errors import LipfaultError
from lipfault.faults.collection import NAMES
from lipfault.faults.config import FaultConfig
from lipfault.faults.engine import FaultEngine
from lipfault.faults.severity import SCALE_WINDOWS, SeverityScale
from lipfault.modality import Modality

_DEFAULT_SPLITS = {'pretrain': 0.4, 'finetune': 0.36, 'calibration': 0.12, 'test': 0.12}

# Prime above any number of epochs: the sampler seeds its shuffle with seed + epoch, and seed 0 in
# epoch 1 must differ from seed 1 in epoch 0.
_SEED_STEP = 1_000_003


@validated
class RecordingDataModule(LightningDataModule):
    """Windows of recordings, split by episode, with faults injected on the device.

    The order of the training windows is a function of (seed, epoch), the faults of a window are a
    function of (seed, epoch, episode, end of the window), for any number of workers or devices.
    Validation and test use the faults of epoch 0; predictions are made from signals as recorded.
    Windows with a missing sample are used in predictions only.

    Attributes:
        train_split: Split to train on.
        val_split: Split to validate on.
        test_split: Split to test on.

    Args:
        path: Path of the recording, one HDF5 file or several.
        window_s: Length of a window in seconds; null derives it from rates and episodes, see
            `lipfault.data.window_lengths`.
        stride_s: Distance between the ends of two windows in seconds, or null.
        history_s: Seconds before the window, for faults that need them, such as delay, or null.
        splits: For each split its fraction of the episodes or the list of their ids.
        split_seed: Seed of the assignment of episodes.
        train_split: Split to train on.
        val_split: Split to validate on.
        test_split: Split to test on.
        predict_split: Split to predict; by default every episode is predicted, with
            `predict_faults` the test split.
        batch_size: Windows in a batch, on each device; null takes 64, fewer where frames are large
            or the training split is small.
        num_workers: Processes that load batches; 0 loads in the main process.
        cache: Modalities to keep in memory: `none`, the `series`, or `all`.
        cache_limit_gb: Largest memory of the cache of one split, in GB (10^9 bytes).
        faults: Faults to inject, none by default. Kinds held out of training get a second test
            loader.
        seed: Seed of the order of the training windows; the faults have a seed of their own.
        predict_faults: Whether to predict from signals with the faults of the test (of the kinds
            not held out) instead of the signals as recorded.

    Raises:
        LipfaultError: At the first access to the recordings, if they or the splits are invalid.
    """

    def __init__(
        self,
        path: str | list[str],
        window_s: Positive | None = 1.0,
        stride_s: Positive | None = 0.1,
        history_s: NonNegative | None = 1.0,
        splits: dict[str, Share | list[str]] | None = None,
        split_seed: Seed = 0,
        train_split: str = 'pretrain',
        val_split: str = 'calibration',
        test_split: str = 'test',
        predict_split: str | None = None,
        batch_size: Count | None = 128,
        num_workers: CountOrZero = 0,
        cache: CacheMode = 'all',
        cache_limit_gb: NonNegative = 8.0,
        faults: FaultConfig | None = None,
        seed: Seed = 0,
        predict_faults: bool = False,
    ) -> None:
        """Store the settings; no file is opened."""
        super().__init__()
        self._paths = [path] if isinstance(path, str) else list(path)
        self._lengths = (window_s, stride_s, history_s)
        self._splits, self._split_seed = dict(splits or _DEFAULT_SPLITS), split_seed
        self.train_split, self.val_split, self.test_split = train_split, val_split, test_split
        self.predict_split = predict_split
        self._given_batch_size, self._num_workers = batch_size, num_workers
        self._cache, self._cache_limit_gb = cache, cache_limit_gb
        self._faults, self._seed, self._predict_faults = faults, seed, predict_faults
        # By (split, complete).
        self._datasets: dict[tuple[str, bool], WindowDataset] = {}

    @cached_property
    def recordings(self) -> RecordingSet:
        """The recordings, opened at the first access."""
        return RecordingSet(self._paths)

    @property
    def modalities(self) -> dict[str, Modality]:
        """Description of each modality by name, with the quanta inferred if not stated."""
        return dict(self._modalities)

    @cached_property
    def geometry(self) -> Geometry:
        """Lengths of window, stride and history; those that were derived are logged."""
        return fitting_geometry(self.modalities, self.recordings.episodes, *self._lengths)

    @cached_property
    def batch_size(self) -> int:
        """Windows in a batch, on each device."""
        if self._given_batch_size is not None:
            return self._given_batch_size
        processes, _ = self._share
        return fitting_batch_size(self.modalities, self.count(self.train_split) // processes)

    @property
    def settings(self) -> dict[str, Any]:
        """Values of the settings that may be derived from the recordings, by name."""
        geometry = self.geometry
        lengths = {key: getattr(geometry, key) for key in ('window_s', 'stride_s', 'history_s')}
        return lengths | {'batch_size': self.batch_size}

    @property
    def window_shape(self) -> dict[str, tuple[int, ...]]:
        """Shape of one window's signal by modality: (channel, time) or (channel, height, width)."""
        return dict(signal_shapes(self.geometry))

    @property
    def description(self) -> dict[str, Any]:
        """Description of the data for tasks and checkpoints, in plain types.

        `modalities` by name as of `Modality.to_dict`, and `steps`, the number of samples in a
        window of each series.
        """
        return self.geometry.description()

    @cached_property
    def split_ids(self) -> dict[str, list[str]]:
        """Ids of the episodes of each split, without those shorter than a window."""
        fill = self._splits == _DEFAULT_SPLITS
        return split_episodes(self._long_enough, self._splits, self._split_seed, fill)

    @cached_property
    def _long_enough(self) -> list[str]:
        """Ids of the episodes that hold a window or are named in the splits; logs the others."""
        listed = [ids for ids in self._splits.values() if isinstance(ids, list)]
        return long_enough(self.geometry, self.recordings.episodes, set().union(*listed))

    @property
    def has_faults(self) -> bool:
        """Whether faults are configured."""
        return self._faults is not None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of faults that the indices of the labels refer to."""
        return NAMES if self._engine is None else self._engine.names

    @cached_property
    def batch_builder(self) -> BatchBuilder:
        """Builder of the batches; does not depend on the trainer."""
        return BatchBuilder(self.geometry, self._engine)

    def dataset(self, split: str, complete: bool = True) -> WindowDataset:
        """Return the windows of one split, made at the first call.

        Args:
            split: Name of the split.
            complete: Whether windows with a missing sample are left out.

        Returns:
            The windows.

        Raises:
            LipfaultError: If there is no such split, an episode does not fit, or no window is left.
        """
        if split != EVERY_EPISODE and split not in self.split_ids:
            raise LipfaultError(f'there is no split {split!r}; splits are {sorted(self.split_ids)}')
        whole = self._datasets.get((split, True))
        # Without missing samples both datasets are equal, and one cache suffices.
        if whole is not None and not whole.left_out:
            return whole
        if (split, complete) not in self._datasets:
            self._datasets[split, complete] = self._make_dataset(split, complete)
        return self._datasets[split, complete]

    def count(self, split: str) -> int:
        """Count the windows without a missing sample of one split; reads no signals.

        Args:
            split: Name of the split.

        Returns:
            Number of windows.
        """
        if (split, True) in self._datasets:
            return len(self._datasets[split, True])
        positions = self._positions(split)
        infos = [self.recordings.episodes[position] for position in positions]
        if any(info.partial for info in infos):
            return len(WindowDataset(self.recordings, positions, self.geometry, complete=True))
        return sum(self.geometry.count(info.lengths) for info in infos)

    def used_splits(self, stage: str) -> tuple[str, ...]:
        """Return the splits that a stage reads.

        Args:
            stage: `fit`, `validate`, `test` or `predict`.

        Returns:
            Names of the splits.
        """
        # The faults of the test are those of the windows of the test.
        tested = self._predict_faults
        used = {
            'fit': (self.train_split, self.val_split),
            'validate': (self.val_split,),
            'predict': (self.predict_split or (self.test_split if tested else EVERY_EPISODE),),
        }
        return used.get(stage, (self.test_split,))

    def setup(self, stage: str) -> None:
        """Check the fault settings and fill the caches of a stage, before workers start.

        Args:
            stage: `fit`, `validate`, `test` or `predict`.

        Raises:
            LipfaultError: If the fault settings, the recordings or the splits are invalid.
        """
        if stage != 'predict' or self._predict_faults:
            _ = self._engine
        for split in self.used_splits(stage):
            self.dataset(split, complete=stage != 'predict')

    def train_dataloader(self) -> DataLoader[Windows]:
        """Return shuffled batches of the training split, the same for the same (seed, epoch).

        Raises:
            LipfaultError: If the split has fewer windows than a batch.
        """
        dataset = self.dataset(self.train_split)
        processes, rank = self._share
        seed = self._seed * _SEED_STEP
        sampler = TrainSampler(dataset, processes, rank, seed, self.batch_size, self._batches_done)
        if len(sampler) < self.batch_size:
            raise LipfaultError(
                f'split {self.train_split!r} has {len(sampler)} windows for each device, '
                f'fewer than batch_size={self.batch_size}; use a smaller batch or more episodes'
            )
        return self._loader(dataset, TrainLoader, sampler=sampler, drop_last=True)

    def val_dataloader(self) -> DataLoader[Windows]:
        """Return the batches of the validation split in order."""
        return self._in_order(self.dataset(self.val_split))

    @property
    def test_names(self) -> tuple[str, ...]:
        """Name of each test loader: `seen` kinds of faults and, if some are held out, `unseen`."""
        held_out = self._faults is not None and self._faults.held_out
        return ('seen', 'unseen') if held_out else ('seen',)

    def test_dataloader(self) -> list[DataLoader[Windows]]:
        """Return the batches of the test split in order, once for each of `test_names`."""
        return [self._in_order(self.dataset(self.test_split)) for _ in self.test_names]

    def predict_dataloader(self) -> DataLoader[Windows]:
        """Return the batches to predict in order, windows with missing samples included."""
        (split,) = self.used_splits('predict')
        # Each window once: repeated batches would repeat lines of the predictions.
        return self._in_order(self.dataset(split, complete=False), even=False)

    def on_after_batch_transfer(self, batch: Windows, dataloader_idx: int) -> Batch:
        """Build the batch of the stage on the device; the trainer calls this hook.

        Args:
            batch: The windows on the device.
            dataloader_idx: Index of the loader; the second test loader gets the kinds held out.

        Returns:
            The batch, with the faults of the stage if faults are configured.
        """
        if self._faults is None or self.trainer is None or self._clean_predictions:
            return self.clean_batch(batch)
        if self.trainer.training:
            return self._train_builder.faulty_batch(batch, self.trainer.current_epoch)
        return self.faulty_batch(batch, held_out=self.trainer.testing and dataloader_idx > 0)

    def clean_batch(self, windows: Windows) -> Batch:
        """Build the batch as recorded, see `BatchBuilder.clean_batch`.

        Args:
            windows: The windows, on any device.

        Returns:
            The batch; missing frames are NaN in predictions.
        """
        return self.batch_builder.clean_batch(windows, missing_as_nan=self._predicting)

    def faulty_batch(self, windows: Windows, epoch: int = 0, held_out: bool = False) -> Batch:
        """Build the batch with random faults, see `BatchBuilder.faulty_batch`.

        Args:
            windows: The windows, on any device.
            epoch: Epoch of the draws.
            held_out: Whether to draw the kinds held out of training instead of the others.

        Returns:
            The batch with the ground truth of its faults; missing frames are NaN in predictions.

        Raises:
            LipfaultError: If no faults are configured, or `held_out` is set and no kind is held
                out.
        """
        return self.batch_builder.faulty_batch(
            windows, epoch, held_out, missing_as_nan=self._predicting
        )

    def scenario_batch(self, windows: Windows, scenario: ScheduledFaults) -> Batch:
        """Build the batch with the faults of a schedule, see `BatchBuilder.scenario_batch`.

        Args:
            windows: Windows of one episode in order of time.
            scenario: Run of the schedule through this episode, a `FaultScenario`.

        Returns:
            The batch with its labels.

        Raises:
            LipfaultError: If the windows are of several episodes or not in order of time.
        """
        return self.batch_builder.scenario_batch(windows, scenario)

    @cached_property
    def severity_scale(self) -> SeverityScale | None:
        """Strength of faults by severity, if faults with edges of the damage are configured."""
        if self._faults is None or self._faults.damage is None:
            return None
        windows = spread_windows(self.recordings, self.geometry, SCALE_WINDOWS)
        signals, history = unpack(windows, self.geometry)
        return SeverityScale(self.modalities, signals, history, self._faults)

    @cached_property
    def _modalities(self) -> dict[str, Modality]:
        """Description of each modality with its quanta."""
        return with_quanta(self.recordings)

    @cached_property
    def _engine(self) -> FaultEngine | None:
        """Injector of the kinds not held out, if faults are configured."""
        if self._faults is None:
            return None
        return FaultEngine(self.modalities, self._faults, scale=self.severity_scale)

    @cached_property
    def _train_builder(self) -> BatchBuilder:
        """Builder of the training batches, with the share of clean samples of the training."""
        faults = self._faults
        if faults is None or faults.train_clean_share is None:
            return self.batch_builder
        faults = replace(faults, clean_share=faults.train_clean_share)
        engine = FaultEngine(self.modalities, faults, scale=self.severity_scale)
        return BatchBuilder(self.geometry, engine)

    @property
    def _predicting(self) -> bool:
        """Whether the trainer predicts."""
        return bool(self.trainer and self.trainer.predicting)

    @property
    def _clean_predictions(self) -> bool:
        """Whether the trainer predicts from signals as recorded."""
        return self._predicting and not self._predict_faults

    @property
    def _share(self) -> tuple[int, int]:
        """Number of processes, and the rank of this one."""
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def _batches_done(self) -> int:
        """Return the number of batches of the epoch that were done before an interruption."""
        if self.trainer is None:
            return 0
        return self.trainer.fit_loop.epoch_loop.batch_progress.current.ready

    def _make_dataset(self, split: str, complete: bool) -> WindowDataset:
        """Make the windows of one split; log how many are left out."""
        dataset = WindowDataset(
            self.recordings,
            self._positions(split),
            self.geometry,
            self._cache,
            self._cache_limit_gb,
            complete,
        )
        dataset.log_left_out(split)
        return dataset

    def places(self, sample_id: Tensor) -> list[dict[str, Any]]:
        """Return episode and time of predicted windows.

        Args:
            sample_id: (window,) int64, ids of windows of the predicted episodes.

        Returns:
            For each window the id of its `episode`, and `end_s`, its end in seconds from the start
            of the episode.
        """
        (split,) = self.used_splits('predict')
        return self.dataset(split, complete=False).places(sample_id)

    def _positions(self, split: str) -> list[int]:
        """Return the positions of the episodes of one split in the recordings."""
        ids = set(self._long_enough if split == EVERY_EPISODE else self.split_ids[split])
        episodes = enumerate(self.recordings.episodes)
        return [position for position, info in episodes if info.episode_id in ids]

    def _in_order(self, dataset: WindowDataset, even: bool = True) -> DataLoader[Windows]:
        """Return the batches of a split in order, shared among the processes."""
        processes, rank = self._share
        if processes == 1:
            return self._loader(dataset, DataLoader)
        sampler = EvaluationSampler(dataset, processes, rank, self.batch_size, even)
        return self._loader(dataset, DataLoader, sampler=sampler)

    def _loader(
        self,
        dataset: WindowDataset,
        kind: type[DataLoader[Windows]],
        **options: Any,  # noqa: ANN401
    ) -> DataLoader[Windows]:
        """Return a loader that fetches whole batches."""
        return kind(
            dataset,
            batch_size=self.batch_size,
            num_workers=self._num_workers,
            collate_fn=collate,
            persistent_workers=self._num_workers > 0,
            # Page-locked memory only helps copies to a GPU.
            pin_memory=torch.cuda.is_available(),
            **options,
        )
