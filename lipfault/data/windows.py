"""Windows of recordings as a torch data set that fetches whole batches."""

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lipfault.data.geometry import Geometry
from lipfault.data.validation import dtype_of, sample_shape
from lipfault.data.window_batch import Windows
from lipfault.errors import LipfaultError

if TYPE_CHECKING:
    from lipfault.data.recording_set import RecordingSet

CacheMode = Literal['none', 'series', 'all']


class WindowDataset(Dataset[Windows]):
    """Windows of some episodes; one item is a `Windows` of batch size 1.

    A loader with `collate_fn=join` fetches whole batches. What is cached is read at once; the rest
    is read on demand, by each worker through its own handle.

    Args:
        recordings: The recordings.
        positions: Positions of the episodes in `recordings.episodes`.
        geometry: Which samples make up a window.
        cache: What to keep in memory: `none`, the `series`, or `all`.
        cache_limit_gb: Most memory that the cache may take, in GB (10^9 bytes).
        complete: Whether windows with a missing sample are left out: they have no truth to learn
            from or to compare with.

    Attributes:
        left_out: How many windows were.
        sample_id: (window,) int64, the same for a window whatever the other episodes are.
        episode: (window,) int64, position of the episode of each window.

    Raises:
        LipfaultError: If an episode is shorter than a window with its history, or the cache would
            exceed its limit.
    """

    def __init__(
        self,
        recordings: 'RecordingSet',
        positions: Sequence[int],
        geometry: Geometry,
        cache: CacheMode = 'none',
        cache_limit_gb: float = 8.0,
        complete: bool = False,
    ) -> None:
        """Number the windows and fill the cache."""
        self.geometry = geometry
        self._recordings, self._positions = recordings, list(positions)
        self._number_windows(positions)
        self._present = {name: self._presence(name) for name in recordings.modalities}
        self.left_out = self._leave_out() if complete else 0
        cached = [
            name
            for name, modality in recordings.modalities.items()
            if cache == 'all' or (cache == 'series' and modality.kind == 'series')
        ]
        _require_memory(recordings, positions, cached, cache, cache_limit_gb)
        self._cache = {name: self._load(name) for name in cached}
        # Workers open the files themselves.
        recordings.close()

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.sample_id)

    def __getitem__(self, index: int) -> Windows:
        """The window of one index, as a batch of size 1."""
        if not -len(self) <= index < len(self):
            raise IndexError(f'window {index} of {len(self)}')
        return self.fetch([index % len(self)])

    def __getitems__(self, indices: Sequence[int]) -> list[Windows]:
        """The windows of several indices in one piece; a loader's fetcher calls this."""
        return [self.fetch(indices)]

    def fetch(self, indices: Sequence[int]) -> Windows:
        """The windows of several indices, one after the other."""
        rows = np.asarray(indices, dtype=np.int64)
        episode, window = self.episode[rows], self._window[rows]
        picked = torch.from_numpy(rows)
        return Windows(
            blocks={name: self._fetch(name, episode, window) for name in self._present},
            present={name: present[picked] for name, present in self._present.items()},
            sample_id=torch.from_numpy(self.sample_id[rows]),
            episode=torch.from_numpy(episode),
            end_s=torch.from_numpy(self.geometry.end_s(window).astype(np.float32)),
        )

    def _number_windows(self, positions: Sequence[int]) -> None:
        """Give each window its episode, its number in it, and its id among all windows."""
        counts = np.array([self.geometry.count(info.lengths) for info in self._recordings.episodes])
        for position in positions:
            if counts[position] == 0:
                info = self._recordings.episodes[position]
                raise LipfaultError(
                    f'episode {info.episode_id!r} lasts {info.duration_s:.3f} s, too short for '
                    f'window_s={self.geometry.window_s} after history_s={self.geometry.history_s}'
                )
        chosen = np.asarray(positions, dtype=np.int64)
        first = np.cumsum(counts) - counts
        self.episode = np.repeat(chosen, counts[chosen])
        windows = [np.arange(count, dtype=np.int64) for count in counts[chosen]]
        self._window = np.concatenate(windows) if windows else np.zeros(0, dtype=np.int64)
        self.sample_id: npt.NDArray[np.int64] = first[self.episode] + self._window

    def _presence(self, name: str) -> Tensor:
        """(window,) bool, false where a sample of the window is missing."""
        whole = np.ones(len(self), dtype=np.bool_)
        for position in np.unique(self.episode).tolist():
            length = self._recordings.episodes[position].lengths[name]
            mask = self._recordings.present(position, name, 0, length)
            if mask is None:
                continue
            missing_before = np.concatenate([[0], np.cumsum(~mask)])
            mine = self.episode == position
            stop = self.geometry.stop(name, self._window[mine])
            start = stop - self.geometry.span(name).window
            whole[mine] = missing_before[stop] == missing_before[start]
        return torch.from_numpy(whole)

    def _leave_out(self) -> int:
        """Forget the windows with a missing sample, and say how many there were."""
        whole = torch.stack(list(self._present.values())).all(dim=0)
        rows = whole.numpy()
        self.episode, self._window = self.episode[rows], self._window[rows]
        self.sample_id = self.sample_id[rows]
        self._present = {name: present[whole] for name, present in self._present.items()}
        return int((~whole).sum())

    def _load(self, name: str) -> Tensor:
        """Whole signals of one modality, one episode after the other.

        One tensor rather than arrays: a loader shares its memory with spawned workers.
        """
        modality = self._recordings.modalities[name]
        total = sum(self._recordings.episodes[p].lengths[name] for p in self._positions)
        signals = np.empty((total, *sample_shape(modality)), dtype_of(modality))
        for position, start in self._starts(name).items():
            length = self._recordings.episodes[position].lengths[name]
            signals[start : start + length] = self._read(name, position, 0, length)
        return torch.from_numpy(signals)

    def _starts(self, name: str) -> dict[int, int]:
        """First sample of each episode in the cached signals of one modality."""
        lengths = [self._recordings.episodes[p].lengths[name] for p in self._positions]
        return dict(zip(self._positions, accumulate(lengths, initial=0), strict=False))

    def _fetch(
        self, name: str, episode: npt.NDArray[np.int64], window: npt.NDArray[np.int64]
    ) -> Tensor:
        """(batch, history + window, ...) samples of one modality, from memory or disk."""
        modality, total = self._recordings.modalities[name], self.geometry.span(name).total
        firsts = (self.geometry.stop(name, window) - total).tolist()
        block = np.empty((len(window), total, *sample_shape(modality)), dtype_of(modality))
        if name in self._cache:
            signals, starts = self._cache[name].numpy(), self._starts(name)
            for row, position, first in zip(block, episode.tolist(), firsts, strict=True):
                row[:] = signals[starts[position] + first :][:total]
        else:
            for row, position, first in zip(block, episode.tolist(), firsts, strict=True):
                row[:] = self._read(name, position, first, first + total)
        return torch.from_numpy(block)

    def _read(self, name: str, position: int, start: int, stop: int) -> npt.NDArray[Any]:
        """Samples from the disk; missing values of a series are NaN."""
        samples = self._recordings.read(position, name, start, stop)
        mask = self._recordings.present(position, name, start, stop)
        if mask is not None and samples.dtype == np.float32:
            samples[~mask] = np.nan
        return samples


def _require_memory(
    recordings: 'RecordingSet',
    positions: Sequence[int],
    names: Sequence[str],
    cache: CacheMode,
    limit_gb: float,
) -> None:
    """Refuse a cache larger than its limit, estimated from lengths and shapes alone."""
    bytes_per_sample = {
        name: dtype_of(recordings.modalities[name]).itemsize
        * int(np.prod(sample_shape(recordings.modalities[name])))
        for name in names
    }
    needed_gb = 1e-9 * sum(
        recordings.episodes[position].lengths[name] * bytes_per_sample[name]
        for position in positions
        for name in names
    )
    if needed_gb > limit_gb:
        raise LipfaultError(
            f'cache={cache!r} needs {needed_gb:.3g} GB, more than cache_limit_gb={limit_gb:g}; '
            "raise the limit or use cache='series' or 'none'"
        )
