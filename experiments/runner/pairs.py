"""Paired differences between two methods on the same windows, with their intervals."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lipfault.errors import LipfaultError

Array = NDArray[np.float64]
COLUMNS = (
    'caught', 'false', 'faulty', 'clean', 'blamed',
    'injected', 'left', 'error_clean', 'error_uncorrected', 'error_corrected',
    'harm_before', 'harm_after',
)  # fmt: skip
"""What is summed over windows, from which all figures are made."""

DIGITS = 9
"""Of the sums that are kept."""


def _recovery(sums: dict[str, Array]) -> Array:
    rest = sums['error_corrected'] - sums['error_clean']
    return 1 - rest / (sums['error_uncorrected'] - sums['error_clean'])


FIGURES: dict[str, Callable[[dict[str, Array]], Array]] = {
    'f1': lambda s: 2 * s['caught'] / (s['caught'] + s['false'] + s['faulty']),
    'recall': lambda s: s['caught'] / s['faulty'],
    'false_alarm_rate': lambda s: s['false'] / s['clean'],
    'localization_accuracy': lambda s: s['blamed'] / s['caught'],
    'energy_left': lambda s: s['left'] / s['injected'],
    'recovery': _recovery,
    'degradation': lambda s: s['harm_after'] / s['harm_before'] - 1,
}
"""Figures of a split, as functions of the sums of `COLUMNS`; NaN where nothing was measured."""


@dataclass(frozen=True)
class Scored:
    """What a run found in the episodes of a test split.

    Args:
        first: (episode,) int64, id of the first window of each episode.
        columns: (episode, column), sums of `COLUMNS` over its windows.
    """

    first: NDArray[np.int64]
    columns: Array

    @classmethod
    def of_windows(cls, sample_id: NDArray[np.int64], columns: Array) -> 'Scored':
        """Sums over the windows of each episode.

        Args:
            sample_id: (window,) int64, in any order.
            columns: (window, column) of `COLUMNS`.
        """
        order = np.argsort(sample_id)
        members = episodes(sample_id[order])
        sums = np.zeros((members[-1] + 1, len(COLUMNS)))
        np.add.at(sums, members, columns[order])
        first = sample_id[order][np.flatnonzero(np.diff(members, prepend=-1))]
        return cls(first, sums)

    def to_dict(self) -> dict[str, list[float]]:
        """Plain numbers, rounded to `DIGITS`."""
        sums = {n: [_rounded(v) for v in c] for n, c in zip(COLUMNS, self.columns.T, strict=True)}
        return {'first': self.first.tolist(), **sums}

    @classmethod
    def from_dict(cls, fields: Mapping[str, list[float]]) -> 'Scored':
        """The inverse of `to_dict`."""
        columns = np.stack([np.asarray(fields[n], np.float64) for n in COLUMNS], axis=1)
        return cls(np.asarray(fields['first'], np.int64), columns)


def _rounded(value: float) -> float:
    return float(f'{value:.{DIGITS}g}')


@dataclass(frozen=True)
class Difference:
    """A figure of one method minus that of another.

    Args:
        mean: Over all windows and seeds.
        low: Lower end of the 95 % interval; NaN with fewer than two episodes.
        high: Its upper end.
    """

    mean: float
    low: float
    high: float


def read_scored(folder: Path) -> dict[str, Scored]:
    """What the test of a run found, by split, from its `results.npz`."""
    with np.load(folder / 'results.npz') as arrays:
        splits = [key.removesuffix('/score') for key in arrays.files if key.endswith('/score')]
        threshold = float(arrays['threshold'])
        keys = {split: [k for k in arrays.files if k.startswith(f'{split}/')] for split in splits}
        return {
            split: _scored({k.removeprefix(f'{split}/'): arrays[k] for k in found}, threshold)
            for split, found in keys.items()
        }


def _scored(found: dict[str, NDArray[Any]], threshold: float) -> Scored:
    alarm, faulty = found['score'] > threshold, found['faulty'].astype(bool)
    right = found['predicted_modality'] == found['modality']
    columns = [alarm & faulty, alarm & ~faulty, faulty, ~faulty, alarm & faulty & right]
    columns += [
        np.where(faulty, found[key], 0.0)
        for key in ('energy_injected', 'energy_left', 'error_clean', 'error_uncorrected',
                    'error_corrected')
    ]  # fmt: skip
    columns += [found.get(key, np.zeros(len(alarm))) for key in ('harm_before', 'harm_after')]
    return Scored.of_windows(found['sample_id'], np.stack(columns, axis=1).astype(np.float64))


def episodes(sample_id: NDArray[np.int64]) -> NDArray[np.int64]:
    """(window,) number of the episode: windows of one recording follow each other.

    Test episodes that are neighbours in the recording count as one, which makes intervals wider.

    Example:
        >>> episodes(np.array([3, 4, 9])).tolist()
        [0, 0, 1]
    """
    return np.cumsum(np.diff(sample_id, prepend=sample_id[:1]) > 1)


def paired_differences(ours: list[Scored], others: list[Scored]) -> dict[str, Difference]:
    """Every figure of ours minus that of another method, with 95 % intervals.

    Windows of one episode are alike, and there are few episodes: the standard error is that of the
    jackknife (Tukey 1958), each episode left out in turn, the same for both methods and all seeds;
    the interval is Student's, with a degree of freedom less than episodes. It covers the choice of
    episodes; the spread over seeds is another matter.

    Args:
        ours: A run for each seed.
        others: The other method's, seed by seed.

    Raises:
        LipfaultError: If the runs were tested on different windows.
    """
    every = [*ours, *others]
    if len(ours) != len(others) or not ours:
        raise LipfaultError(f'pairs need equal seeds, got {len(ours)} and {len(others)} runs')
    if any(not np.array_equal(s.first, every[0].first) for s in every):
        raise LipfaultError('pairs need the same test windows: data or splits differ')
    count = len(every[0].first)
    weights = np.concatenate([np.ones((1, count)), 1 - np.eye(count)])
    found = {n: _mean(ours, n, weights) - _mean(others, n, weights) for n in FIGURES}
    return {n: _difference(float(values[0]), values[1:]) for n, values in found.items()}


def _mean(runs: list[Scored], name: str, weights: Array) -> Array:
    """Figure averaged over the seeds, for each row of weights of the episodes."""
    values = []
    for run in runs:
        sums = dict(zip(COLUMNS, (weights @ run.columns).T, strict=True))
        with np.errstate(invalid='ignore', divide='ignore'):
            values.append(FIGURES[name](sums))
    averaged: Array = np.mean(values, axis=0)
    return averaged


def _difference(mean: float, without_one: Array) -> Difference:
    known = without_one[np.isfinite(without_one)]
    count = len(known)
    if count < 2:
        return Difference(mean, float('nan'), float('nan'))
    error = np.sqrt((count - 1) * known.var())
    half = float(stats.t.ppf(0.975, count - 1) * error)
    return Difference(mean, mean - half, mean + half)
