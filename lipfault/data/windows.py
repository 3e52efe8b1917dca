"""Windows of recordings as a torch dataset that fetches whole batches."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import Dataset

from lipfault.data.episode import EpisodeSource
from lipfault.data.geometry import Geometry
from lipfault.data.sample_cache import CacheMode, SampleCache
from lipfault.data.window_batch import Windows
from lipfault.errors import LipfaultError
from lipfault.faults.draws import instant_keys, text_key


class WindowDataset(Dataset[Windows]):
    """Windows of some episodes; one item is a `Windows` of batch size 1.

    A loader with `collate_fn=collate` fetches whole batches. Cached modalities are read at once,
    the others on demand, by each worker through its own handle.

    Args:
        recordings: The recordings.
        positions: Positions of the episodes in `recordings.episodes`.
        geometry: Lengths of window, stride and history.
        cache: Modalities to keep in memory: `none`, the `series`, or `all`.
        cache_limit_gb: Largest memory of the cache, in GB (10^9 bytes).
        complete: Whether windows with a missing sample are left out; they have no ground truth to
            train on or to compare with.

    Attributes:
        left_out: Number of windows left out.
        sample_id: (window,) int64, index of each window among all windows of the recordings,
            whatever episodes are chosen.
        episode: (window,) int64, position of the episode of each window.

    Raises:
        LipfaultError: If an episode is shorter than a window with its history, or the cache would
            exceed its limit.
    """

    def __init__(
        self,
        recordings: EpisodeSource,
        positions: Sequence[int],
        geometry: Geometry,
        cache: CacheMode = 'none',
        cache_limit_gb: float = 8.0,
        complete: bool = False,
    ) -> None:
        """Index the windows and fill the cache."""
        self.geometry = geometry
        self._recordings = recordings
        self._index_windows(positions)
        self._present = {name: self._presence(name) for name in recordings.modalities}
        self._present_before = {name: self._presence(name, 1) for name in self._with_gaps()}
        self.left_out = self._leave_out() if complete else 0
        self._samples = SampleCache(recordings, positions, cache, cache_limit_gb)
        # An open HDF5 handle must not reach a forked worker.
        recordings.close()

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.sample_id)

    @property
    def end_s(self) -> npt.NDArray[np.float64]:
        """Return (window,) end of each window in seconds from the start of its episode."""
        return self.geometry.end_s(self._window)

    def log_left_out(self, split: str) -> None:
        """Log the number of windows with a missing sample that are left out.

        Args:
            split: Name of the split of these windows.

        Raises:
            LipfaultError: If no window is left.
        """
        if not self.left_out:
            return
        message = f'split {split!r}: {self.left_out} windows with a missing sample are left out'
        if not len(self):
            raise LipfaultError(f'{message}, and no other is there; see `<modality>_present`')
        rank_zero_info(message)

    def places(self, sample_id: Tensor) -> list[dict[str, Any]]:
        """Return episode and time of windows.

        Args:
            sample_id: (window,) int64, ids of windows of this dataset.

        Returns:
            For each window the id of its `episode`, and `end_s`, its end in seconds from the start
            of the episode.
        """
        rows = np.searchsorted(self.sample_id, sample_id.cpu().numpy())
        infos = [self._recordings.episodes[position] for position in self.episode[rows]]
        ends = self.geometry.end_s(self._window[rows]).round(6).tolist()
        return [
            {'episode': info.episode_id, 'end_s': end}
            for info, end in zip(infos, ends, strict=True)
        ]

    def __getitem__(self, index: int) -> Windows:
        """Return the window of one index as a batch of size 1."""
        if not -len(self) <= index < len(self):
            raise IndexError(f'window {index} of {len(self)}')
        return self.fetch([index % len(self)])

    def __getitems__(self, indices: Sequence[int]) -> list[Windows]:
        """Return the windows of several indices in one part; the loader's fetcher calls this."""
        return [self.fetch(indices)]

    def fetch(self, indices: Sequence[int]) -> Windows:
        """Return the windows of several indices.

        Args:
            indices: Indices in this dataset, in [0, len).

        Returns:
            The windows in the order of the indices, on the CPU.
        """
        rows = np.asarray(indices, dtype=np.int64)
        episode, window = self.episode[rows], self._window[rows]
        chosen, end_s = torch.from_numpy(rows), torch.from_numpy(self.geometry.end_s(window))
        return Windows(
            blocks={name: self._fetch(name, episode, window) for name in self._present},
            present={name: present[chosen] for name, present in self._present.items()},
            sample_id=torch.from_numpy(self.sample_id[rows]),
            draw_key=instant_keys(torch.from_numpy(self._episode_keys[episode]), end_s),
            episode=torch.from_numpy(episode),
            end_s=end_s,
            present_before={name: p[chosen] for name, p in self._present_before.items()},
        )

    def _index_windows(self, positions: Sequence[int]) -> None:
        """Set the episode, the index in it and the sample id of each window."""
        infos = self._recordings.episodes
        counts = np.array([self.geometry.count(info.lengths) for info in infos])
        for position in positions:
            if counts[position] == 0:
                info = infos[position]
                raise LipfaultError(
                    f'episode {info.episode_id!r} lasts {info.duration_s:.3f} s, too short for '
                    f'window_s={self.geometry.window_s} after history_s={self.geometry.history_s}'
                )
        chosen = np.asarray(positions, dtype=np.int64)
        # Ids count the windows of all episodes, also of those in other splits: the id of a window
        # must not depend on the split.
        first = np.cumsum(counts) - counts
        self.episode = np.repeat(chosen, counts[chosen])
        windows = [np.arange(count, dtype=np.int64) for count in counts[chosen]]
        self._window = np.concatenate(windows) if windows else np.zeros(0, dtype=np.int64)
        self.sample_id: npt.NDArray[np.int64] = first[self.episode] + self._window
        self._episode_keys = np.array([text_key(info.unique_id) for info in infos], dtype=np.int64)

    def _with_gaps(self) -> list[str]:
        """Return the images with a frame before the window, of recordings that lack frames."""
        infos, geometry = self._recordings.episodes, self.geometry
        return [
            name
            for name, modality in self._recordings.modalities.items()
            if modality.size is not None
            and geometry.span(name).history
            and any(name in infos[position].partial for position in np.unique(self.episode))
        ]

    def _presence(self, name: str, before: int = 0) -> Tensor:
        """Return (window,) bool, false where a sample of the window is missing.

        Given `before`, of the window that lies as many samples earlier.
        """
        whole = np.ones(len(self), dtype=np.bool_)
        for position in np.unique(self.episode).tolist():
            length = self._recordings.episodes[position].lengths[name]
            mask = self._recordings.present(position, name, 0, length)
            if mask is None:
                continue
            # (length + 1,) cumulative count: a window is whole where it does not grow.
            missing_before = np.concatenate([[0], np.cumsum(~mask)])
            own = self.episode == position
            stop = self.geometry.stop(name, self._window[own]) - before
            # A gap in the history does not count: the window itself is the ground truth.
            start = stop - self.geometry.span(name).window
            whole[own] = missing_before[stop] == missing_before[start]
        return torch.from_numpy(whole)

    def _leave_out(self) -> int:
        """Drop the windows with a missing sample and return their number."""
        whole = torch.stack(list(self._present.values())).all(dim=0)  # (window,)
        rows = whole.numpy()
        self.episode, self._window = self.episode[rows], self._window[rows]
        self.sample_id = self.sample_id[rows]
        self._present = {name: present[whole] for name, present in self._present.items()}
        self._present_before = {n: present[whole] for n, present in self._present_before.items()}
        return int((~whole).sum())

    def _fetch(
        self, name: str, episode: npt.NDArray[np.int64], window: npt.NDArray[np.int64]
    ) -> Tensor:
        """Return (batch, history + window, ...) samples of one modality."""
        total = self.geometry.span(name).total
        return self._samples.fetch(name, episode, self.geometry.stop(name, window) - total, total)
