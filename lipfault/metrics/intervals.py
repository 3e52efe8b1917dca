"""Confidence intervals of metrics by a bootstrap whose units are episodes."""

import math
from collections.abc import Callable, Mapping
from statistics import NormalDist

import torch
from torch import Tensor

Statistic = Callable[[Tensor], Tensor]
"""From (draw, episode) float64 weights of the episodes to (draw,) values of a metric."""

DRAWS = 1000
"""Resamples of the episodes: the ends of an interval vary by a few percent of its width."""

_CHUNK = 100
"""Resamples that are evaluated at once: bounds the memory of (draw, sample) weights."""


def interval(
    statistic: Statistic, episodes: int, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Compute an expanded percentile interval over resamples of whole episodes.

    Windows of one episode are correlated: intervals over windows would be far too narrow. The
    percentiles are moved outwards so that the interval of a mean has the width of Student's; the
    plain percentile interval is too narrow for few episodes. A metric that is equal in all
    episodes, such as no false alarm at all, has an interval of width 0.

    Args:
        statistic: The metric as a function of the weights of the episodes.
        episodes: Number of episodes.
        level: Coverage, in (0, 1).
        seed: Seed of the resamples.

    Returns:
        Lower and upper end; NaN with fewer than two episodes, or without a finite value.

    Reference:
        Hesterberg 2015, What teachers should know about the bootstrap,
        https://arxiv.org/abs/1411.5279
    """
    if episodes < 2:
        return math.nan, math.nan
    weights = resamples(episodes, seed=seed)
    values = torch.cat([statistic(part) for part in torch.split(weights, _CHUNK)])
    values = values[values.isfinite()]
    if not len(values):
        return math.nan, math.nan
    widened = student_quantile((1 + level) / 2, episodes - 1) * math.sqrt(episodes / (episodes - 1))
    tail = NormalDist().cdf(-widened)
    return float(values.quantile(tail)), float(values.quantile(1 - tail))


def intervals(statistics: Mapping[str, Statistic], episodes: int) -> dict[str, float]:
    """Compute the 95 % intervals of several metrics.

    Args:
        statistics: Metrics as functions of the weights of the episodes.
        episodes: Number of episodes.

    Returns:
        `<key>_low` and `<key>_high` for each key.
    """
    found = {key: interval(statistic, episodes) for key, statistic in statistics.items()}
    lows = {f'{key}_low': low for key, (low, _) in found.items()}
    return lows | {f'{key}_high': high for key, (_, high) in found.items()}


def resamples(episodes: int, draws: int = DRAWS, seed: int = 0) -> Tensor:
    """Draw episodes with replacement.

    Args:
        episodes: Number of episodes.
        draws: Number of resamples.
        seed: Seed of the draws.

    Returns:
        (draw, episode) float64, how often each episode is drawn; each row sums to `episodes`.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(episodes, (draws, episodes), generator=generator)
    counts = torch.zeros(draws, episodes, dtype=torch.float64)
    return counts.scatter_add_(1, chosen, torch.ones_like(counts))


def episode_numbers(episode: Tensor) -> tuple[Tensor, int]:
    """Number the episodes that occur.

    Args:
        episode: (sample,) int, any labels of the episodes.

    Returns:
        (sample,) int64 from 0, and the number of episodes.
    """
    labels, numbers = torch.unique(episode, return_inverse=True)
    return numbers, len(labels)


def student_quantile(share: float, freedom: int) -> float:
    """Return a quantile of Student's t distribution.

    Args:
        share: Probability below the quantile, in (0.5, 1).
        freedom: Degrees of freedom, at least 1.

    Returns:
        The quantile.

    Reference:
        Abramowitz & Stegun, Handbook of mathematical functions, 1964, formulas 26.7.3 and 26.7.4

    Example:
        >>> round(student_quantile(0.975, 10), 4)
        2.2281
    """
    low, high = 0.0, math.pi / 2  # angle whose tangent is t / sqrt(freedom)
    for _ in range(100):
        middle = (low + high) / 2
        inside = _student_inside(middle, freedom)
        low, high = (middle, high) if inside < 2 * share - 1 else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _student_inside(angle: float, freedom: int) -> float:
    """Return the probability of |t| below sqrt(freedom) tan(angle)."""
    cosine, odd = math.cos(angle), freedom % 2
    # 1 + 1/2 c² + (1 3)/(2 4) c⁴ + ..., or c + 2/3 c³ + (2 4)/(3 5) c⁵ + ...
    term, total = (cosine if odd else 1.0), 0.0
    for power in range(1 + odd, freedom, 2):
        total += term
        term *= power / (power + 1) * cosine**2
    series = math.sin(angle) * total
    return 2 / math.pi * (angle + series) if odd else series
