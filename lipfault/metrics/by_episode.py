"""Metrics as functions of the weights of episodes, for intervals over episodes."""

import torch
from torch import Tensor

from lipfault.metrics.intervals import Statistic


def ratio_of_sums(numerator: Tensor, denominator: Tensor, episode: Tensor, count: int) -> Statistic:
    """Return the sum of one quantity over that of another, as a function of episode weights.

    Args:
        numerator: (sample,) values.
        denominator: (sample,) values.
        episode: (sample,) int64, number of the episode from 0.
        count: Number of episodes.

    Returns:
        The statistic; NaN where the denominator is 0.
    """
    above = _sums(numerator, episode, count)
    below = _sums(denominator, episode, count)
    return lambda weights: (weights @ above) / (weights @ below)


def area_under_roc(scores: Tensor, faulty: Tensor, episode: Tensor, count: int) -> Statistic:
    """Return the area under the ROC curve as a function of episode weights.

    The area is the share of pairs of a faulty and a clean sample in which the faulty one scores
    higher, a tie counted as half. The pairs are counted once for each pair of episodes.

    Args:
        scores: (sample,) anomaly scores.
        faulty: (sample,) bool.
        episode: (sample,) int64, number of the episode from 0.
        count: Number of episodes.

    Returns:
        The statistic; NaN where a class is missing.

    Reference:
        Hanley & McNeil 1982, The meaning and use of the area under a ROC curve,
        https://doi.org/10.1148/radiology.143.1.7063747
    """
    scores = scores.double()
    wins = torch.zeros(count, count, dtype=torch.float64)  # (faulty episode, clean episode)
    for number in range(count):
        clean = scores[~faulty & (episode == number)].sort().values
        below, upto = (
            torch.searchsorted(clean, scores[faulty], right=right) for right in (False, True)
        )
        wins[:, number] = _sums((below + upto) / 2, episode[faulty], count)
    positive, negative = (_sums(each, episode, count) for each in (faulty, ~faulty))

    def statistic(weights: Tensor) -> Tensor:
        pairs = (weights @ positive) * (weights @ negative)
        return ((weights @ wins) * weights).sum(dim=1) / pairs

    return statistic


def mean_of_medians(values: Tensor, group: Tensor, episode: Tensor) -> Statistic:
    """Return the mean over groups of the median, as a function of episode weights.

    Args:
        values: (sample,) values; NaN is left out.
        group: (sample,) int, group of each sample.
        episode: (sample,) int64, number of the episode from 0.

    Returns:
        The statistic, without the groups that have no sample in the weighted episodes.
    """
    known = ~values.isnan()
    groups = [known & (group == g) for g in sorted(set(group[known].tolist()))]
    ordered = [(values[g].double().sort(), episode[g]) for g in groups]
    parts = [(order.values, where[order.indices]) for order, where in ordered]

    def statistic(weights: Tensor) -> Tensor:
        none = weights.new_full((len(weights),), torch.nan)
        medians = [_medians(v, weights[:, e]) for v, e in parts]
        return torch.stack([*medians, none]).nanmean(dim=0)

    return statistic


def _medians(values: Tensor, weights: Tensor) -> Tensor:
    """Return (draw,) medians of ascending values; the mean of two where the half falls between."""
    passed = weights.cumsum(dim=1)
    half = passed[:, -1:] / 2
    last = len(values) - 1
    lower, upper = (
        values[beyond.sum(dim=1).clamp_max(last)] for beyond in (passed < half, passed <= half)
    )
    return ((lower + upper) / 2).where(half[:, 0] > 0, torch.nan)


def _sums(values: Tensor, episode: Tensor, count: int) -> Tensor:
    """Return (episode,) sums in float64."""
    sums = torch.zeros(count, dtype=torch.float64)
    return sums.index_add_(0, episode, values.double())
