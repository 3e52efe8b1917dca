"""The DataModule: windows of recordings in, batches with faults out."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import DataLoader

from lipfault.batch import Batch, Signals
from lipfault.data.geometry import Geometry
from lipfault.data.recording_set import RecordingSet
from lipfault.data.sharing import EvaluationSampler, TrainLoader, TrainSampler
from lipfault.data.splits import split_episodes
from lipfault.data.stillness import stillness
from lipfault.data.unpack import shapes, unpack, without_lost_frames
from lipfault.data.window_batch import Windows, join
from lipfault.data.windows import CacheMode, WindowDataset
from lipfault.errors import LipfaultError
from lipfault.faults.collection import NAMES
from lipfault.faults.config import FaultConfig
from lipfault.faults.engine import FaultEngine
from lipfault.faults.image.site import last_frames
from lipfault.faults.labels import FaultLabels
from lipfault.faults.scenario import FaultScenario
from lipfault.modality import Modality

_DEFAULT_SPLITS = {'pretrain': 0.4, 'finetune': 0.36, 'calibration': 0.12, 'test': 0.12}
# Keeps the orders of neighbouring seeds apart: the sampler adds the epoch to its seed.
_SEED_STEP = 1_000_003


class RecordingDataModule(LightningDataModule):
    """Windows of recordings, split by episode, with faults injected on the device.

    The order of the training windows is a function of (seed, epoch), a window's faults are one of
    (seed, epoch, sample id), whatever the number of workers or devices. Validation and test use the
    faults of epoch 0; predictions are made from signals as recorded. Windows with a missing sample
    are left out of everything but predictions.

    Attributes:
        train_split: Split to train on.
        val_split: Split to validate on.
        test_split: Split to test on and to predict.

    Args:
        path: The recording, one HDF5 file or several.
        window_s: Length of a window in seconds.
        stride_s: Distance between the ends of two windows in seconds.
        history_s: Seconds before the window kept for faults that need them, such as delay.
        splits: For each split its fraction of the episodes or the list of their ids.
        split_seed: Seed of the assignment of episodes.
        train_split: Split to train on.
        val_split: Split to validate on.
        test_split: Split to test on and to predict.
        batch_size: Windows in a batch, on each device.
        num_workers: Processes that load batches; 0 loads in the main process.
        cache: What to keep in memory: `none`, the `series`, or `all`.
        cache_limit_gb: Most memory that the cache of one split may take, in GB.
        faults: Faults to inject; none are if not given. Kinds held out of training get a second
            test loader.
        seed: Seed of the order of the training windows; the faults have their own.
        predict_faults: Whether to predict from signals with the faults of the test (those of kinds
            not held out) instead of those recorded.

    Raises:
        LipfaultError: When the recording is first used, if it or the splits do not fit.
    """

    def __init__(
        self,
        path: str | list[str],
        window_s: float = 1.0,
        stride_s: float = 0.1,
        history_s: float = 1.0,
        splits: dict[str, float | list[str]] | None = None,
        split_seed: int = 0,
        train_split: str = 'pretrain',
        val_split: str = 'calibration',
        test_split: str = 'test',
        batch_size: int = 128,
        num_workers: int = 0,
        cache: CacheMode = 'all',
        cache_limit_gb: float = 8.0,
        faults: FaultConfig | None = None,
        seed: int = 0,
        predict_faults: bool = False,
    ) -> None:
        """Note what is wanted; nothing is opened yet."""
        super().__init__()
        self._paths = [path] if isinstance(path, str) else list(path)
        self._lengths = (window_s, stride_s, history_s)
        self._splits, self._split_seed = dict(splits or _DEFAULT_SPLITS), split_seed
        self.train_split, self.val_split, self.test_split = train_split, val_split, test_split
        self._batch_size, self._num_workers = batch_size, num_workers
        self._cache, self._cache_limit_gb = cache, cache_limit_gb
        self._faults, self._seed, self._predict_faults = faults, seed, predict_faults
        self._datasets: dict[tuple[str, bool], WindowDataset] = {}

    @cached_property
    def recordings(self) -> RecordingSet:
        """The recordings, opened on first use."""
        return RecordingSet(self._paths)

    @property
    def modalities(self) -> dict[str, Modality]:
        """Description of each modality by name."""
        return dict(self.recordings.modalities)

    @cached_property
    def geometry(self) -> Geometry:
        """Which samples make up a window."""
        return Geometry(self.modalities, *self._lengths)

    @property
    def window_shape(self) -> dict[str, tuple[int, ...]]:
        """Shape of one window's signal by modality: (channel, time) or (channel, height, width)."""
        return dict(shapes(self.geometry))

    @property
    def description(self) -> dict[str, Any]:
        """What a task must know of the data, in plain types, for checkpoints.

        `modalities` by name as of `Modality.to_dict`, and `steps`, the samples in a window of each
        series.
        """
        steps = {
            name: self.geometry.span(name).window
            for name, modality in self.modalities.items()
            if modality.kind == 'series'
        }
        fields = {name: modality.to_dict() for name, modality in self.modalities.items()}
        return {'modalities': fields, 'steps': steps}

    @cached_property
    def split_ids(self) -> dict[str, list[str]]:
        """Ids of the episodes of each split."""
        ids = [info.episode_id for info in self.recordings.episodes]
        return split_episodes(ids, self._splits, self._split_seed)

    def dataset(self, split: str, complete: bool = True) -> WindowDataset:
        """Windows of one split, made on first use.

        Args:
            split: Its name.
            complete: Whether windows with a missing sample are left out.

        Raises:
            LipfaultError: If there is no such split, an episode does not fit, or no window is left.
        """
        if split not in self.split_ids:
            raise LipfaultError(f'there is no split {split!r}; splits are {sorted(self.split_ids)}')
        whole = self._datasets.get((split, True))
        if whole is not None and not whole.left_out:
            return whole  # nothing is missing, and nothing is cached twice
        if (split, complete) not in self._datasets:
            wanted = set(self.split_ids[split])
            episodes = enumerate(self.recordings.episodes)
            positions = [place for place, info in episodes if info.episode_id in wanted]
            found = WindowDataset(
                self.recordings,
                positions,
                self.geometry,
                self._cache,
                self._cache_limit_gb,
                complete,
            )
            _tell_left_out(split, found)
            self._datasets[split, complete] = found
        return self._datasets[split, complete]

    def used_splits(self, stage: str) -> tuple[str, ...]:
        """The splits that `fit`, `validate`, `test` or `predict` reads."""
        used = {'fit': (self.train_split, self.val_split), 'validate': (self.val_split,)}
        return used.get(stage, (self.test_split,))

    def setup(self, stage: str) -> None:
        """Read what the stage caches, before workers start, and check the faults' settings."""
        if self._faults is not None:
            _ = self._engine
        for split in self.used_splits(stage):
            self.dataset(split, complete=stage != 'predict')

    def train_dataloader(self) -> DataLoader[Windows]:
        """Shuffled batches of the training split, the same for the same (seed, epoch)."""
        dataset = self.dataset(self.train_split)
        processes, rank = self._share
        seed = self._seed * _SEED_STEP
        sampler = TrainSampler(dataset, processes, rank, seed, self._batch_size, self._batches_done)
        if len(sampler) < self._batch_size:
            raise LipfaultError(
                f'split {self.train_split!r} has {len(sampler)} windows for each device, '
                f'fewer than batch_size={self._batch_size}; use a smaller batch or more episodes'
            )
        return self._loader(dataset, TrainLoader, sampler=sampler, drop_last=True)

    def val_dataloader(self) -> DataLoader[Windows]:
        """Batches of the validation split in order."""
        return self._in_order(self.dataset(self.val_split))

    @property
    def test_names(self) -> tuple[str, ...]:
        """Name of each test loader: `seen` kinds of faults and, if some are held out, `unseen`."""
        held_out = self._faults is not None and self._faults.held_out
        return ('seen', 'unseen') if held_out else ('seen',)

    def test_dataloader(self) -> list[DataLoader[Windows]]:
        """Batches of the test split in order, once for each of `test_names`."""
        return [self._in_order(self.dataset(self.test_split)) for _ in self.test_names]

    def predict_dataloader(self) -> DataLoader[Windows]:
        """Batches of the test split in order, without faults unless `predict_faults` is set."""
        return self._in_order(self.dataset(self.test_split, complete=False), even=False)

    def clean_batch(self, windows: Windows) -> Batch:
        """The batch as recorded: observed and clean signals are the same tensors."""
        signals, history = self._unpacked(windows)
        still = stillness(signals, last_frames(history), self.modalities)
        return replace(
            _batch(windows, signals, signals, None), stillness=still, clean_stillness=still
        )

    def faulty_batch(self, windows: Windows, epoch: int = 0, held_out: bool = False) -> Batch:
        """The batch with the faults of an epoch.

        Args:
            windows: The batch, on any device.
            epoch: Epoch of the draws.
            held_out: Whether to draw the kinds held out of training instead of the others.

        Raises:
            LipfaultError: If no faults are configured, or `held_out` and none is held out.
        """
        signals, history = self._unpacked(windows)
        engine = self._held_out_engine if held_out else self._engine
        plan = engine.plan(windows.sample_id, epoch)
        observed, labels = engine.apply(signals, history, plan)
        before = engine.previous_frames(signals, history, plan)
        return self._with_stillness(windows, (signals, history), (observed, before), labels)

    def on_after_batch_transfer(self, batch: Windows, dataloader_idx: int) -> Batch:
        """Unpack the windows on the device and inject the faults of the stage."""
        if self._faults is None or self.trainer is None or self._clean_predictions:
            return self.clean_batch(batch)
        epoch = self.trainer.current_epoch if self.trainer.training else 0
        return self.faulty_batch(batch, epoch, held_out=self.trainer.testing and dataloader_idx > 0)

    def scenario_batch(self, windows: Windows, scenario: FaultScenario) -> Batch:
        """The batch with the faults of a schedule.

        Args:
            windows: Windows of one episode in order of time, on any device.
            scenario: The schedule's run through this episode.

        Raises:
            LipfaultError: If the windows are of several episodes or not in order.
        """
        episodes = sorted(set(windows.episode.tolist()))
        if len(episodes) > 1 or bool((windows.end_s.diff() < 0).any()):
            raise LipfaultError(
                'a scenario needs the windows of one episode in order of time, got windows of the '
                f'episodes {episodes} that end at {windows.end_s.tolist()} s'
            )
        signals, history = unpack(windows, self.geometry)
        observed, labels = scenario(signals, history, windows.end_s)
        before = scenario.previous_frames(signals, history, windows.end_s)
        return self._with_stillness(windows, (signals, history), (observed, before), labels)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of faults that the labels' indices stand for."""
        return NAMES if self._faults is None else self._engine.names

    def _unpacked(self, windows: Windows) -> tuple[Signals, dict[str, Tensor]]:
        """Signals and history; only where something is predicted a frame may be missing."""
        signals, history = unpack(windows, self.geometry)
        if self.trainer is not None and self.trainer.predicting:
            signals = without_lost_frames(signals, windows.present)
        return signals, history

    @property
    def _clean_predictions(self) -> bool:
        return bool(self.trainer and self.trainer.predicting) and not self._predict_faults

    def _with_stillness(
        self,
        windows: Windows,
        recorded: tuple[Signals, Mapping[str, Tensor]],
        shown: tuple[Signals, Mapping[str, Tensor]],
        labels: FaultLabels,
    ) -> Batch:
        """The batch of (signals, history) as recorded and (signals, frames before) as shown."""
        clean, history = recorded
        observed, before = shown
        return replace(
            _batch(windows, clean, observed, labels),
            stillness=stillness(observed, before, self.modalities),
            clean_stillness=stillness(clean, last_frames(history), self.modalities),
        )

    @property
    def has_faults(self) -> bool:
        """Whether faults are configured."""
        return self._faults is not None

    @cached_property
    def _engine(self) -> FaultEngine:
        """Draws the kinds not held out."""
        if self._faults is None:
            raise LipfaultError('no faults are configured; set data.faults')
        return FaultEngine(self.modalities, self._faults)

    @cached_property
    def _held_out_engine(self) -> FaultEngine:
        """Draws the kinds held out."""
        return self._engine.only_held_out()

    @property
    def _share(self) -> tuple[int, int]:
        """Number of processes, and which of them this is."""
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def _batches_done(self) -> int:
        """Batches of the running epoch that were done before it was interrupted."""
        if self.trainer is None:
            return 0
        return self.trainer.fit_loop.epoch_loop.batch_progress.current.ready

    def _in_order(self, dataset: WindowDataset, even: bool = True) -> DataLoader[Windows]:
        """Batches of a split in order, dealt out to the processes."""
        processes, rank = self._share
        if processes == 1:
            return self._loader(dataset, DataLoader)
        sampler = EvaluationSampler(dataset, processes, rank, self._batch_size, even)
        return self._loader(dataset, DataLoader, sampler=sampler)

    def _loader(
        self,
        dataset: WindowDataset,
        kind: type[DataLoader[Windows]],
        **options: Any,  # noqa: ANN401
    ) -> DataLoader[Windows]:
        """A loader that fetches whole batches."""
        return kind(
            dataset,
            batch_size=self._batch_size,
            num_workers=self._num_workers,
            collate_fn=join,
            persistent_workers=self._num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            **options,
        )


def _tell_left_out(split: str, found: WindowDataset) -> None:
    """Say what a split lacks.

    Raises:
        LipfaultError: If nothing is left of it.
    """
    if found.left_out:
        message = f'split {split!r}: {found.left_out} windows with a missing sample are left out'
        if not len(found):
            raise LipfaultError(f'{message}, and no other is there; see `<modality>_present`')
        rank_zero_info(message)


def _batch(
    windows: Windows, clean: Signals, observed: Signals, labels: FaultLabels | None
) -> Batch:
    """Put together what a task sees, all of it on the device of the signals."""
    device = next(iter(clean.values())).device
    sample_id = windows.sample_id.to(device, non_blocking=True)
    present = windows.present
    if labels is not None:
        present = {name: here & labels.present[name] for name, here in present.items()}
    return Batch(clean, observed, present, sample_id, labels)
