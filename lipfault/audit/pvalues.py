"""p-values of scores, calibrated on the data set itself, and control of false discoveries."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Quantiles between which the tail of a pool is fitted. Scores above the upper one may be faults:
# that they are large counts, how large does not.
_TAIL, _TAIL_SMALL = (0.8, 0.95), (0.5, 0.8)

# Scores of a pool from which the first pair of quantiles is taken.
_LARGE = 400

# Fewest scores to which a tail is fitted.
_FEWEST = 8

# Weight of a channel's own spread against that of all channels.
_OWN = 0.7

# Upper quantile that gives the spread of a channel, and its value for a standard normal: a fifth of
# the episodes may have a fault of the same sensor.
_UPPER, _UPPER_NORMAL = 0.8, 0.842

# Least scale of the tail in units of the spread.
_LEAST_SCALE = 0.4


@dataclass(frozen=True)
class Tail:
    """Exponential tail of a pool of standardized logarithms: the scores have a Pareto tail.

    Args:
        threshold: Value at which the tail begins.
        share: Share of the values above the threshold.
        scale: Mean excess over the threshold.

    Reference:
        Hill 1975, A simple general approach to inference about the tail of a distribution,
        https://doi.org/10.1214/aos/1176343247
    """

    threshold: float
    share: float
    scale: float

    def survival(self, values: Array) -> Array:
        """Return the probability of a larger value.

        Args:
            values: Values above the threshold, any shape.

        Returns:
            Probabilities of the same shape.
        """
        return np.asarray(self.share * np.exp(-(values - self.threshold) / self.scale))


def robust_z(
    scores: Array, clean: npt.NDArray[np.bool_] | None = None, least: float = 0.25
) -> Array:
    """Centre and scale the logarithm of 1 + score of each channel by robust statistics.

    The spread is the distance from the median to an upper quantile, shrunk towards the median
    spread of all channels, so that a channel with hardly any spread does not make findings of
    trifles.

    Args:
        scores: (episodes, channel), at least 0; NaN where a score is not defined.
        clean: (episodes, channel) bool, which scores set centre and spread; all if not given.
        least: Least spread of the logarithms.

    Returns:
        Standardized scores of the same shape.
    """
    logs = np.log1p(scores)
    known = logs if clean is None else np.where(clean, logs, np.nan)
    if scores.shape[0] < 4:  # quantiles of fewer episodes say nothing
        finite = known[np.isfinite(known)]
        centre = np.full(scores.shape[1], np.median(finite) if finite.size else 0.0)
        spread = np.full(scores.shape[1], _spread(finite))
    else:
        centre = np.array([_median(column) for column in known.T])
        spread = np.array([_spread(column) for column in known.T])
        # A channel with hardly any score is judged as the typical one.
        centre = np.fmax(centre, _median(centre))
    finite = spread[np.isfinite(spread)]
    typical = float(np.median(finite)) if finite.size else 0.0
    spread = np.maximum(_OWN * spread + (1 - _OWN) * typical, least)
    return np.asarray((logs - centre) / spread)


def p_values(
    values: Array,
    clean: npt.NDArray[np.bool_] | None = None,
    positive: npt.NDArray[np.bool_] | None = None,
) -> Array:
    """Return one-sided p-values of a pool of exchangeable values of `robust_z`.

    Below the start of the tail a p-value is the share of values at least as large, above it the
    fitted tail.

    Args:
        values: Standardized logarithms of scores, any shape; NaN where one is not defined.
        clean: Which of them make the pool, of the same shape; all if not given.
        positive: Which of them have a score above 0, of the same shape; all if not given.

    Returns:
        p-values of the same shape, 1 where the value is NaN.
    """
    finite = np.isfinite(values)
    chosen = finite if clean is None else finite & clean
    pool = np.sort(values[chosen])
    if pool.size == 0:
        return np.ones_like(values)
    at_least = pool.size - np.searchsorted(pool, values, side='left')
    result = np.where(finite, (at_least + 1.0) / (pool.size + 1.0), 1.0)
    tail = fit_tail(values[chosen], None if positive is None else positive[chosen])
    if tail is not None:
        above = finite & (values > tail.threshold)
        result[above] = tail.survival(values[above])
    return np.clip(result, 1e-300, 1.0)


def fit_tail(values: Array, positive: npt.NDArray[np.bool_] | None = None) -> Tail | None:
    """Fit the tail of a pool, with the largest values censored so that faults do not hide.

    Args:
        values: (values,) finite.
        positive: (values,) bool, false for those of a score of 0; all if not given.

    Returns:
        The tail, `None` for fewer than 8 values.
    """
    if values.size < _FEWEST:
        return None
    (start, end), many = (_TAIL, 0.05) if values.size >= _LARGE else (_TAIL_SMALL, 0.2)
    threshold = float(np.quantile(values, start))
    cap = float(np.quantile(values, end)) - threshold
    # Where many scores are 0, the rest is the body of the distribution, and half of it the tail.
    if positive is not None and many * values.size <= positive.sum() < values.size:
        body = values[positive]
        raised = float(np.median(body))
        if raised > threshold:
            threshold, cap = (
                raised,
                float(np.quantile(body, 1 - 0.5 * (1 - end) / (1 - start))) - raised,
            )
    excess = values[values > threshold] - threshold
    if not excess.size:
        return Tail(threshold, 1 / values.size, 1.0)
    inside = int((excess <= cap).sum())
    # Most likely scale of exponential excesses with those above the cap censored there.
    scale = float(np.minimum(excess, cap).sum()) / max(inside, 1)
    return Tail(float(threshold), excess.size / values.size, max(scale, _LEAST_SCALE))


def benjamini_hochberg(p: Array, rate: float) -> npt.NDArray[np.bool_]:
    """Return which hypotheses are rejected at a false-discovery rate.

    Args:
        p: (tests,) p-values.
        rate: Expected share of false rejections.

    Returns:
        (tests,) bool.

    Reference:
        Benjamini & Hochberg 1995, Controlling the false discovery rate,
        https://doi.org/10.1111/j.2517-6161.1995.tb02031.x
    """
    return q_values(p) <= rate


def q_values(p: Array) -> Array:
    """Return the smallest false-discovery rate at which each hypothesis is rejected.

    Args:
        p: (tests,) p-values.

    Returns:
        (tests,) adjusted p-values, by the step-up rule of Benjamini and Hochberg.
    """
    if p.size == 0:
        return p.copy()
    order = np.argsort(p)[::-1]
    ranks = np.arange(p.size, 0, -1)
    adjusted = np.minimum.accumulate(p[order] * p.size / ranks)
    result = np.empty_like(adjusted)
    result[order] = np.minimum(adjusted, 1.0)
    return result


def _spread(values: Array) -> float:
    """Return the distance of an upper quantile from the median in standard deviations."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return float('nan')
    middle, upper = np.quantile(finite, [0.5, _UPPER])
    return float(upper - middle) / _UPPER_NORMAL


def _median(values: Array) -> float:
    """Return the median of the finite values, NaN without any."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float('nan')
