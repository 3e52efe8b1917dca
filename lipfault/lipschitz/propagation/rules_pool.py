"""Propagation rules of means, sums, pooling, upsampling and extremes."""

import math
from typing import Any

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.lipschitz.propagation.bounded_tensor import (
    BoundedTensor,
    Function,
    rule,
)
from lipfault.lipschitz.propagation.intervals import monotone_interval
from lipfault.lipschitz.propagation.rules_shape import flat_indices, gather


@rule('mean', 'sum')
def _reduce(func: Function, operand: BoundedTensor, *args: Any, **kwargs: Any) -> BoundedTensor:  # noqa: ANN401
    """Bound a mean of n entries by 1/√n and a sum by √n (Cauchy-Schwarz)."""
    low, high = monotone_interval(func, operand, *args, **kwargs)
    reduced = func(torch.zeros(operand.shape, dtype=torch.float64), *args, **kwargs)
    count = operand.numel() / max(1, reduced.numel())
    factor = count**-0.5 if func.__name__ == 'mean' else count**0.5
    sensitivity = operand.sensitivity.scaled_gains(factor)
    result = BoundedTensor.build(reduced.shape, low, high, sensitivity)
    return _keep_root(operand, result, 1 / count if func.__name__ == 'mean' else 1.0)


def _keep_root(before: BoundedTensor, after: BoundedTensor, column: float) -> BoundedTensor:
    """Tag weighted means of squares: their root is a norm of gain √(largest column sum)."""
    if 'root sensitivity' in before.tags:
        root = before.tags['root sensitivity'].scaled_gains(math.sqrt(column))
        after.tags = {'root sensitivity': root}
    return after


@rule(
    'avg_pool1d', 'avg_pool2d', 'avg_pool3d',
    'adaptive_avg_pool1d', 'adaptive_avg_pool2d', 'adaptive_avg_pool3d',
)  # fmt: skip
def _average_pool(
    func: Function,
    operand: BoundedTensor,
    *args: Any,  # noqa: ANN401
    **kwargs: Any,  # noqa: ANN401
) -> BoundedTensor:
    """Bound by √(largest row sum x largest column sum) of the nonnegative pooling matrix."""
    _require_batch(func, operand)
    if kwargs.get('divisor_override') is not None:
        raise LipfaultError('average pooling with divisor_override has no rule')
    return _average(func, operand, *args, **kwargs)


def _require_batch(func: Function, operand: BoundedTensor) -> None:
    """Refuse unbatched operands, whose spatial axes are others."""
    axes = int(func.__name__[-2])
    if operand.ndim != axes + 2:
        raise LipfaultError(
            f'{func.__name__} has a rule for operands of {axes + 2} axes (batch, channel, ...), '
            f'got {operand.ndim}'
        )


def _average(func: Function, operand: BoundedTensor, *args: Any, **kwargs: Any) -> BoundedTensor:  # noqa: ANN401
    """Bound a linear map of nonnegative weights that acts on each channel alone."""
    low, high = monotone_interval(func, operand, *args, **kwargs)
    # Row sums are the output for ones, column sums its gradient.
    ones = torch.ones(1, 1, *operand.shape[2:], dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        pooled = func(ones, *args, **kwargs)
        (columns,) = torch.autograd.grad(pooled.sum(), ones)
    # 1e-12: rounding of the sums.
    factor = math.sqrt(float(pooled.detach().max()) * float(columns.max())) * (1 + 1e-12)
    shape = torch.Size((*operand.shape[:2], *pooled.shape[2:]))
    result = BoundedTensor.build(shape, low, high, operand.sensitivity.scaled_gains(factor))
    return _keep_root(operand, result, float(columns.max()))


@rule(
    'max_pool1d', 'max_pool2d', 'max_pool3d',
    'adaptive_max_pool1d', 'adaptive_max_pool2d', 'adaptive_max_pool3d',
)  # fmt: skip
def _max_pool(func: Function, operand: BoundedTensor, *args: Any, **kwargs: Any) -> BoundedTensor:  # noqa: ANN401
    """Bound by the root of how many windows share an entry: 1 where they do not overlap."""
    _require_batch(func, operand)
    low, high = monotone_interval(func, operand, *args, **kwargs)
    shape = func(torch.zeros(operand.shape, dtype=torch.float64), *args, **kwargs).shape
    factor = 1.0
    for axis, extent in enumerate(operand.shape[2:]):
        covered = [0] * extent
        for position in range(extent):
            # A hyperplane of ones at this position: windows with a 1 in the output contain it.
            spike = torch.zeros(1, 1, *operand.shape[2:], dtype=torch.float64)
            spike.select(axis + 2, position).fill_(1.0)
            hit = func(spike, *args, **kwargs)
            others = [d for d in range(hit.ndim) if d != axis + 2]
            covered[position] = int(hit.amax(dim=others).sum())
        factor *= max(covered)
    return BoundedTensor.build(shape, low, high, operand.sensitivity.scaled_gains(factor**0.5))


@rule('interpolate')
def _interpolate(
    func: Function,
    operand: BoundedTensor,
    size: Any = None,  # noqa: ANN401
    scale_factor: Any = None,  # noqa: ANN401
    mode: str = 'nearest',
    *args: Any,  # noqa: ANN401
    **kwargs: Any,  # noqa: ANN401
) -> BoundedTensor:
    """Bound interpolation by how often nearest entries repeat, or as an average."""
    if mode in ('linear', 'bilinear', 'trilinear', 'area'):
        return _average(func, operand, size, scale_factor, mode, *args, **kwargs)
    if mode not in ('nearest', 'nearest-exact'):
        raise LipfaultError(f'interpolation with mode={mode!r} has no rule; "nearest" has')
    indices = func(flat_indices(operand), size, scale_factor, mode, *args, **kwargs)
    return gather(operand, indices.long() - 1)


@rule('softmax')
def _softmax(func: Function, operand: BoundedTensor, *args: Any, **kwargs: Any) -> BoundedTensor:  # noqa: ANN401
    """Bound softmax by 1/2, the largest norm of its Jacobian diag(p) − ppᵀ.

    Reference:
        Nair 2025, Softmax is 1/2-Lipschitz, https://arxiv.org/abs/2510.23012
    """
    del func, args, kwargs
    zeros = torch.zeros(operand.shape, dtype=torch.float64)
    sensitivity = operand.sensitivity.scaled_gains(0.5)
    return BoundedTensor.build(operand.shape, zeros, zeros + 1, sensitivity)


@rule('log_softmax')
def _log_softmax(
    func: Function,
    operand: BoundedTensor,
    dim: int,
    *args: Any,  # noqa: ANN401
    **kwargs: Any,  # noqa: ANN401
) -> BoundedTensor:
    """Bound log-softmax over n entries by √n: its Jacobian I − 1pᵀ is a projection.

    A projection has the norm of its complement 1pᵀ, √n ‖p‖ ≤ √n (Szyld 2006,
    https://doi.org/10.1007/s11075-006-9046-2).
    """
    del args, kwargs
    count = operand.shape[dim]
    ends: list[Tensor | None] = [None, None]
    if operand.low is not None and operand.high is not None:
        # Entry i rises with x_i and falls with all others.
        spread = [torch.logsumexp(e, dim, keepdim=True) for e in (operand.high, operand.low)]
        ends = [operand.low - spread[0], (operand.high - spread[1]).clamp_max(0)]
    sensitivity = operand.sensitivity.scaled_gains(math.sqrt(count) if count > 1 else 0.0)
    return BoundedTensor.build(operand.shape, ends[0], ends[1], sensitivity)


@rule('logsumexp', 'amax', 'amin')
def _extreme(func: Function, operand: BoundedTensor, *args: Any, **kwargs: Any) -> BoundedTensor:  # noqa: ANN401
    """Bound (soft) extremes: monotone, and 1-Lipschitz since the gradient sums to 1."""
    low, high = monotone_interval(func, operand, *args, **kwargs)
    shape = func(torch.zeros(operand.shape, dtype=torch.float64), *args, **kwargs).shape
    return BoundedTensor.build(shape, low, high, operand.sensitivity.scaled_gains())
