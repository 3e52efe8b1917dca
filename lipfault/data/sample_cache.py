"""Samples of some episodes, from memory where cached and from the disk elsewhere."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lipfault.data.episode import EpisodeSource
from lipfault.data.validation import dtype_of, sample_shape
from lipfault.errors import LipfaultError
from lipfault.modality import Modality

CacheMode = Literal['none', 'series', 'all']

# Bytes in a GB: decimal, as in `cache_limit_gb`.
_GB = 1e9


class SampleCache:
    """Samples of some episodes of a source, read ahead or on demand.

    Args:
        source: The recordings.
        positions: Positions of the episodes in `source.episodes`.
        mode: Modalities to keep in memory: `none`, the `series`, or `all`.
        limit_gb: Largest memory of the cache, in GB (10^9 bytes).

    Raises:
        LipfaultError: If the cache would exceed its limit.
    """

    def __init__(
        self, source: EpisodeSource, positions: Sequence[int], mode: CacheMode, limit_gb: float
    ) -> None:
        """Read the cached modalities."""
        self._source, self._positions = source, list(positions)
        cached = [
            name
            for name, modality in source.modalities.items()
            if mode == 'all' or (mode == 'series' and modality.kind == 'series')
        ]
        self._require_memory(cached, mode, limit_gb)
        self._cached = {name: self._load(name) for name in cached}

    def fetch(
        self, name: str, episode: npt.NDArray[np.int64], first: npt.NDArray[np.int64], count: int
    ) -> Tensor:
        """Return consecutive samples of one modality for several windows.

        Args:
            name: Name of the modality.
            episode: (batch,) int64, position of each window's episode in the source.
            first: (batch,) int64, first sample of each window.
            count: Number of samples of each window.

        Returns:
            (batch, count, ...) uint8 or float32, time first; missing values of a series are NaN.
        """
        modality = self._source.modalities[name]
        block = np.empty((len(first), count, *sample_shape(modality)), dtype_of(modality))
        rows = zip(block, episode.tolist(), first.tolist(), strict=True)
        if name in self._cached:
            signals, starts = self._cached[name].numpy(), self._starts(name)
            for row, position, start in rows:
                row[:] = signals[starts[position] + start :][:count]
        else:
            for row, position, start in rows:
                row[:] = self._read(name, position, start, start + count)
        return torch.from_numpy(block)

    def _load(self, name: str) -> Tensor:
        """Read the whole signals of one modality, concatenated over episodes."""
        modality = self._source.modalities[name]
        total = sum(self._source.episodes[p].lengths[name] for p in self._positions)
        signals = np.empty((total, *sample_shape(modality)), dtype_of(modality))
        for position, start in self._starts(name).items():
            length = self._source.episodes[position].lengths[name]
            signals[start : start + length] = self._read(name, position, 0, length)
        # A tensor, since a loader shares the memory of tensors with spawned workers.
        return torch.from_numpy(signals)

    def _starts(self, name: str) -> dict[int, int]:
        """Return the first sample of each episode in the cached signals of one modality."""
        lengths = [self._source.episodes[p].lengths[name] for p in self._positions]
        return dict(zip(self._positions, accumulate(lengths, initial=0), strict=False))

    def _read(self, name: str, position: int, start: int, stop: int) -> npt.NDArray[Any]:
        """Read samples from the disk; missing values of a series become NaN."""
        samples = self._source.read(position, name, start, stop)
        mask = self._source.present(position, name, start, stop)
        if mask is not None and samples.dtype == np.float32:
            samples[~mask] = np.nan
        return samples

    def _require_memory(self, names: Sequence[str], mode: CacheMode, limit_gb: float) -> None:
        """Reject a cache larger than its limit, computed from lengths and shapes alone."""
        sizes = {name: _sample_bytes(self._source.modalities[name]) for name in names}
        needed = sum(
            self._source.episodes[position].lengths[name] * sizes[name]
            for position in self._positions
            for name in names
        )
        needed_gb = needed / _GB
        if needed_gb > limit_gb:
            raise LipfaultError(
                f'cache={mode!r} needs {needed_gb:.3g} GB, more than cache_limit_gb={limit_gb:g}; '
                "raise the limit or use cache='series' or 'none'"
            )


def _sample_bytes(modality: Modality) -> int:
    """Return the bytes of one sample of a modality."""
    return dtype_of(modality).itemsize * int(np.prod(sample_shape(modality)))
