"""Paired differences between two methods on the same test windows, with confidence intervals."""

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
    'true_positives', 'false_positives', 'faulty', 'clean', 'localized',
    'injected', 'left', 'error_clean', 'error_uncorrected', 'error_corrected',
    'harm_before', 'harm_after',
)  # fmt: skip
"""Sums over windows from which every metric follows; the last seven are squared errors."""

DIGITS = 9
"""Significant digits of the sums that are kept: beyond float32, short enough for a text file."""


def _recovery(sums: dict[str, Array]) -> Array:
    rest = sums['error_corrected'] - sums['error_clean']
    return 1 - rest / (sums['error_uncorrected'] - sums['error_clean'])


METRICS: dict[str, Callable[[dict[str, Array]], Array]] = {
    # tp + fn = faulty, so that 2 tp / (2 tp + fp + fn) is 2 tp / (tp + fp + faulty).
    'f1': lambda s: (
        2 * s['true_positives'] / (s['true_positives'] + s['false_positives'] + s['faulty'])
    ),
    'recall': lambda s: s['true_positives'] / s['faulty'],
    'false_alarm_rate': lambda s: s['false_positives'] / s['clean'],
    'localization_accuracy': lambda s: s['localized'] / s['true_positives'],
    'energy_left': lambda s: s['left'] / s['injected'],
    'recovery': _recovery,
    'degradation': lambda s: s['harm_after'] / s['harm_before'] - 1,
}
"""Metrics of a split as functions of the sums of `COLUMNS`; NaN where the denominator is 0."""


@dataclass(frozen=True)
class Scored:
    """Sums over the windows of each episode of a test split.

    Args:
        first: Id of the first window of each episode, (episode,) int64.
        columns: Sums of `COLUMNS`, (episode, column) float64.
    """

    first: NDArray[np.int64]
    columns: Array

    @classmethod
    def of_windows(cls, sample_id: NDArray[np.int64], columns: Array) -> 'Scored':
        """Sum values of windows over their episodes.

        Args:
            sample_id: Ids of the windows in any order, (window,) int64.
            columns: Values of `COLUMNS`, (window, column).
        """
        order = np.argsort(sample_id)
        members = episodes(sample_id[order])
        sums = np.zeros((members[-1] + 1, len(COLUMNS)))
        np.add.at(sums, members, columns[order])
        first = sample_id[order][np.flatnonzero(np.diff(members, prepend=-1))]
        return cls(first, sums)

    def to_dict(self) -> dict[str, list[float]]:
        """Return plain values, rounded to `DIGITS`, by column; the ids under `first`."""
        sums = {n: [_rounded(v) for v in c] for n, c in zip(COLUMNS, self.columns.T, strict=True)}
        return {'first': self.first.tolist(), **sums}

    @classmethod
    def from_dict(cls, fields: Mapping[str, list[float]]) -> 'Scored':
        """Invert `to_dict`.

        Args:
            fields: Values by column, and the ids under `first`.
        """
        columns = np.stack([np.asarray(fields[n], np.float64) for n in COLUMNS], axis=1)
        return cls(np.asarray(fields['first'], np.int64), columns)


def _rounded(value: float) -> float:
    return float(f'{value:.{DIGITS}g}')


@dataclass(frozen=True)
class Difference:
    """A metric of one method minus the same metric of another.

    Args:
        mean: Difference over all windows, averaged over seeds.
        low: Lower end of the 95 % interval; NaN with fewer than two episodes.
        high: Upper end of the interval; NaN with fewer than two episodes.
    """

    mean: float
    low: float
    high: float


def read_scored(folder: Path) -> dict[str, Scored]:
    """Return the sums of each test split of a run, from its `results.npz`.

    Args:
        folder: Folder of a tested run of stage 2.
    """
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
    # Clean windows have NaN here, which a sum would spread over the episode.
    columns += [
        np.where(faulty, found[key], 0.0)
        for key in ('energy_injected', 'energy_left', 'error_clean', 'error_uncorrected',
                    'error_corrected')
    ]  # fmt: skip
    # The split of held-out kinds has no errors of clean windows.
    columns += [found.get(key, np.zeros(len(alarm))) for key in ('harm_before', 'harm_after')]
    return Scored.of_windows(found['sample_id'], np.stack(columns, axis=1).astype(np.float64))


def episodes(sample_id: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the episode of each window: a gap in the ids starts a new one.

    Test episodes that are adjacent in the recording count as one, which widens the intervals.

    Args:
        sample_id: Sorted ids of windows, (window,).

    Returns:
        Numbers from 0, (window,) int64.

    Example:
        >>> episodes(np.array([3, 4, 9])).tolist()
        [0, 0, 1]
    """
    return np.cumsum(np.diff(sample_id, prepend=sample_id[:1]) > 1)


def paired_differences(ours: list[Scored], others: list[Scored]) -> dict[str, Difference]:
    """Return the difference of every metric between two methods, with 95 % intervals.

    Windows of one episode are correlated, and there are few episodes. The standard error is
    therefore the delete-one jackknife over episodes: each episode is left out in turn, from both
    methods and all seeds. The interval is Student's, with one degree of freedom less than there
    are episodes. It covers the choice of test episodes, not the spread over trainings.

    Args:
        ours: Sums of one method, one entry per seed.
        others: Sums of the other method, seed by seed.

    Returns:
        Differences by metric.

    Raises:
        LipfaultError: If the numbers of seeds or the test windows differ.

    Reference:
        Efron and Stein, The jackknife estimate of variance, 1981,
        https://doi.org/10.1214/aos/1176345462; Student, The probable error of a mean, 1908,
        https://doi.org/10.1093/biomet/6.1.1.
    """
    every = [*ours, *others]
    if len(ours) != len(others) or not ours:
        raise LipfaultError(f'pairs need equal seeds, got {len(ours)} and {len(others)} runs')
    if any(not np.array_equal(s.first, every[0].first) for s in every):
        raise LipfaultError('pairs need the same test windows: data or splits differ')
    count = len(every[0].first)
    # Row 0 weighs all episodes equally; row k leaves out episode k - 1.
    weights = np.concatenate([np.ones((1, count)), 1 - np.eye(count)])
    found = {n: _mean(ours, n, weights) - _mean(others, n, weights) for n in METRICS}
    return {n: _difference(float(values[0]), values[1:]) for n, values in found.items()}


def _mean(runs: list[Scored], name: str, weights: Array) -> Array:
    """Average a metric over seeds, for each row of episode weights: (row,)."""
    values = []
    for run in runs:
        sums = dict(zip(COLUMNS, (weights @ run.columns).T, strict=True))
        with np.errstate(invalid='ignore', divide='ignore'):
            values.append(METRICS[name](sums))
    averaged: Array = np.mean(values, axis=0)
    return averaged


def _difference(mean: float, without_one: Array) -> Difference:
    known = without_one[np.isfinite(without_one)]
    count = len(known)
    if count < 2:
        return Difference(mean, float('nan'), float('nan'))
    # (n - 1) / n times the sum of squared deviations, and `var` divides by n.
    error = np.sqrt((count - 1) * known.var())
    half = float(stats.t.ppf(0.975, count - 1) * error)
    return Difference(mean, mean - half, mean + half)
