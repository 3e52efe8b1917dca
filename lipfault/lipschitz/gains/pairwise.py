"""Effective gains: change of a map's output per unit of change of its input."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.errors import LipfaultError


@dataclass(frozen=True)
class Gain:
    """Statistics of gains over pairs of inputs, output units per input unit.

    Args:
        mean: Mean over the pairs.
        median: Median over the pairs.
        p95: 95th percentile over the pairs.
        largest: Largest over the pairs: an estimate of the Lipschitz constant from below.
        pairs: Number of pairs with distinct inputs; pairs of equal inputs have no gain.
    """

    mean: float
    median: float
    p95: float
    largest: float
    pairs: int


def pairwise_gains(before: Tensor, after: Tensor, out_before: Tensor, out_after: Tensor) -> Tensor:
    """Compute the gain ‖T(x̃) − T(x)‖ / ‖x̃ − x‖ of each pair, exactly.

    Each gain is a lower bound of the Lipschitz constant of T. The fault gain has x clean and x̃
    faulty, the clean gain two clean samples (docs/theory.md, sections 1 and 6).

    Args:
        before: x, (pair, ...).
        after: x̃, the same shape as `before`.
        out_before: T(x), (pair, ...).
        out_after: T(x̃), the same shape as `out_before`.

    Returns:
        Gains (pair,) in float64, by Euclidean norms over all axes but the first; NaN where both
        inputs are equal.

    Raises:
        LipfaultError: If shapes do not match or there is no pair.

    Reference:
        Slopes of sampled pairs as estimates of a Lipschitz constant: Wood & Zhang 1996,
        https://doi.org/10.1007/BF00229304

    Example:
        >>> x = torch.zeros(2, 3)
        >>> pairwise_gains(x, x + 1, 2 * x, 2 * x + 2)
        tensor([2., 2.], dtype=torch.float64)
    """
    if before.shape != after.shape or out_before.shape != out_after.shape:
        raise LipfaultError(
            f'a pair must have one shape, got inputs {tuple(before.shape)} and '
            f'{tuple(after.shape)}, outputs {tuple(out_before.shape)} and {tuple(out_after.shape)}'
        )
    if len(before) != len(out_before) or len(before) == 0:
        raise LipfaultError(
            f'gains need as many outputs as inputs and at least one, got {len(before)} inputs and '
            f'{len(out_before)} outputs'
        )
    moved = _distance(before, after)
    return torch.where(moved > 0, _distance(out_before, out_after) / moved, torch.nan)


def summarize(gains: Tensor) -> Gain:
    """Summarize gains by mean, median, 95th percentile and maximum.

    Args:
        gains: (pair,); NaN is left out.

    Returns:
        Statistics in float64.

    Raises:
        LipfaultError: If all gains are NaN.
    """
    kept = gains[~gains.isnan()].double()
    if kept.numel() == 0:
        raise LipfaultError('gains need at least one pair of distinct inputs, got none')
    quantiles = torch.quantile(kept, kept.new_tensor([0.5, 0.95]))
    return Gain(
        mean=float(kept.mean()),
        median=float(quantiles[0]),
        p95=float(quantiles[1]),
        largest=float(kept.max()),
        pairs=kept.numel(),
    )


def gain(before: Tensor, after: Tensor, out_before: Tensor, out_after: Tensor) -> Gain:
    """Compute the fault gain or the clean gain of a map on given pairs, see `pairwise_gains`.

    Args:
        before: First inputs, (pair, ...).
        after: Second inputs, faulty for the fault gain.
        out_before: Outputs of the first inputs.
        out_after: Outputs of the second inputs.

    Returns:
        Statistics of `pairwise_gains`.

    Raises:
        LipfaultError: If shapes do not match or there is no pair of distinct inputs.

    Example:
        >>> x = torch.zeros(2, 3)
        >>> gain(x, x + 1, 2 * x, 2 * x + 2).mean
        2.0
    """
    return summarize(pairwise_gains(before, after, out_before, out_after))


def selectivity(clean: Gain, fault: Gain) -> float:
    """Return clean gain / fault gain by their means (docs/theory.md, section 6).

    Args:
        clean: Gain over pairs of clean samples.
        fault: Gain over pairs of clean and faulty samples.

    Returns:
        Selectivity: large where only faults are attenuated, infinite where they vanish.
    """
    return clean.mean / fault.mean if fault.mean > 0 else float('inf')


def _distance(a: Tensor, b: Tensor) -> Tensor:
    # float64: the difference of nearly equal float32 signals keeps its digits.
    distance: Tensor = torch.linalg.vector_norm((b.double() - a.double()).flatten(1), dim=1)
    return distance
