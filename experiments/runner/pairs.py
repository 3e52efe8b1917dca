"""Paired differences between two methods on the same windows, with bootstrap intervals."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipfault.errors import LipfaultError

Array = NDArray[np.float64]
COLUMNS = (
    'caught', 'false', 'faulty', 'clean', 'blamed',
    'injected', 'left', 'error_clean', 'error_uncorrected', 'error_corrected',
)  # fmt: skip
"""What is summed over windows, from which all figures are made."""


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
}
"""Figures of a split, as functions of the sums of `COLUMNS`."""


@dataclass(frozen=True)
class Scored:
    """What a run found in the windows of a test split.

    Args:
        sample_id: (window,) int64, in order.
        columns: (window, column) of `COLUMNS`.
    """

    sample_id: NDArray[np.int64]
    columns: Array


@dataclass(frozen=True)
class Difference:
    """A figure of one method minus that of another.

    Args:
        mean: Over all windows and seeds.
        low: 2.5 % quantile over the resampled episodes; NaN with fewer than two episodes.
        high: 97.5 % quantile.
    """

    mean: float
    low: float
    high: float


def read_scored(folder: Path, split: str = 'seen') -> Scored:
    """Windows of a test split, from the `results.npz` of a run."""
    with np.load(folder / 'results.npz') as arrays:
        found = {
            key.removeprefix(f'{split}/'): arrays[key]
            for key in arrays.files
            if key.startswith(f'{split}/')
        }
        threshold = float(arrays['threshold'])
    alarm, faulty = found['score'] > threshold, found['faulty'].astype(bool)
    right = found['predicted_modality'] == found['modality']
    columns = [alarm & faulty, alarm & ~faulty, faulty, ~faulty, alarm & faulty & right]
    columns += [
        np.where(faulty, found[key], 0.0)
        for key in ('energy_injected', 'energy_left', 'error_clean', 'error_uncorrected',
                    'error_corrected')
    ]  # fmt: skip
    order = np.argsort(found['sample_id'])
    return Scored(found['sample_id'][order], np.stack(columns, axis=1).astype(np.float64)[order])


def episodes(sample_id: NDArray[np.int64]) -> NDArray[np.int64]:
    """(window,) number of the episode: windows of one recording follow each other.

    Test episodes that are neighbours in the recording count as one, which makes intervals wider.

    Example:
        >>> episodes(np.array([3, 4, 9])).tolist()
        [0, 0, 1]
    """
    return np.cumsum(np.diff(sample_id, prepend=sample_id[:1]) > 1)


def paired_differences(
    ours: list[Scored], others: list[Scored], draws: int = 2000
) -> dict[str, Difference]:
    """Every figure of ours minus that of another method, with 95 % intervals.

    Whole episodes are resampled, the same for both methods and all seeds (percentile bootstrap,
    Efron and Tibshirani 1993): windows of one episode are alike. The interval covers the choice of
    episodes; the spread over seeds is another matter.

    Args:
        ours: A run for each seed.
        others: The other method's, seed by seed.
        draws: Resamplings.

    Raises:
        LipfaultError: If the runs were tested on different windows.
    """
    every = [*ours, *others]
    if len(ours) != len(others) or not ours:
        raise LipfaultError(f'pairs need equal seeds, got {len(ours)} and {len(others)} runs')
    if any(not np.array_equal(s.sample_id, every[0].sample_id) for s in every):
        raise LipfaultError('pairs need the same test windows: data or splits differ')
    members = episodes(every[0].sample_id)
    count = int(members[-1]) + 1
    rng = np.random.default_rng(0)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)
    whole, drawn = (
        {n: _mean(ours, n, members, w) - _mean(others, n, members, w) for n in FIGURES}
        for w in (np.ones((1, count)), weights)
    )
    return {n: _difference(float(whole[n][0]), drawn[n], count) for n in FIGURES}


def _mean(runs: list[Scored], name: str, members: NDArray[np.int64], weights: Array) -> Array:
    """(draw,) figure averaged over the seeds."""
    values = []
    for run in runs:
        sums = np.zeros((weights.shape[1], len(COLUMNS)))
        np.add.at(sums, members, run.columns)
        with np.errstate(invalid='ignore', divide='ignore'):
            values.append(FIGURES[name](dict(zip(COLUMNS, (weights @ sums).T, strict=True))))
    averaged: Array = np.mean(values, axis=0)
    return averaged


def _difference(mean: float, drawn: Array, count: int) -> Difference:
    known = drawn[np.isfinite(drawn)]
    if count < 2 or not len(known):
        return Difference(mean, float('nan'), float('nan'))
    low, high = np.quantile(known, [0.025, 0.975])
    return Difference(mean, float(low), float(high))
