"""Effective gains: how much a map moves its output per unit that its input moves."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.errors import LipfaultError


@dataclass(frozen=True)
class Gain:
    """Gains over pairs of inputs, output units per input unit.

    Args:
        mean: Mean over the pairs.
        median: Median over the pairs.
        p95: 95th percentile over the pairs.
        largest: Largest of the pairs, an estimate of the Lipschitz constant from below.
        pairs: How many pairs had distinct inputs; the others tell nothing and are left out.
    """

    mean: float
    median: float
    p95: float
    largest: float
    pairs: int


def pairwise_gains(before: Tensor, after: Tensor, out_before: Tensor, out_after: Tensor) -> Tensor:
    """Gain ‖T(x̃) − T(x)‖ / ‖x̃ − x‖ of each pair, exact for these pairs.

    Euclidean norms over all axes but the first; NaN where both inputs are equal.

    Args:
        before: x, (pair, ...).
        after: x̃, the same shape as `before`.
        out_before: T(x), (pair, ...).
        out_after: T(x̃), the same shape as `out_before`.

    Returns:
        (pair,) gains in float64.

    Raises:
        LipfaultError: If shapes do not match or there is no pair.

    Source:
        THEORY 1 and 6: the fault gain has x clean and x̃ faulty, the clean gain two clean samples.

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
    """Mean, median, 95th percentile and largest of gains (pair,), NaN left out.

    Raises:
        LipfaultError: If no gain is a number.
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
    """Fault gain or clean gain of a map on given pairs, see `pairwise_gains`.

    Example:
        >>> x = torch.zeros(2, 3)
        >>> gain(x, x + 1, 2 * x, 2 * x + 2).mean
        2.0
    """
    return summarize(pairwise_gains(before, after, out_before, out_after))


def selectivity(clean: Gain, fault: Gain) -> float:
    """Clean gain / fault gain by their means (THEORY 6): large where only faults are attenuated.

    Infinite if faults are removed altogether.
    """
    return clean.mean / fault.mean if fault.mean > 0 else float('inf')


def _distance(a: Tensor, b: Tensor) -> Tensor:
    distance: Tensor = torch.linalg.vector_norm((b.double() - a.double()).flatten(1), dim=1)
    return distance
