"""Rules for means, sums, pooling, upsampling and extremes."""

import math
from collections.abc import Callable
from typing import Any

import torch

from lipfault.errors import LipfaultError
from lipfault.lipschitz.propagation.bounded_tensor import BoundedTensor, rule
from lipfault.lipschitz.propagation.rules_shape import flat_indices, gather


@rule('mean', 'sum')
def _reduce(
    func: Callable[..., Any], reach: BoundedTensor, *args: Any, **kwargs: Any
) -> BoundedTensor:
    low, high = (None if e is None else func(e, *args, **kwargs) for e in (reach.low, reach.high))
    reduced = func(torch.zeros(reach.shape, dtype=torch.float64), *args, **kwargs)
    count = reach.numel() / max(1, reduced.numel())
    factor = count**-0.5 if func.__name__ == 'mean' else count**0.5
    result = BoundedTensor.build(reduced.shape, low, high, reach.sensitivity.scaled_gains(factor))
    return _keep_root(reach, result, 1 / count if func.__name__ == 'mean' else 1.0)


def _keep_root(before: BoundedTensor, after: BoundedTensor, column: float) -> BoundedTensor:
    """Weighted means of squares: their root is a norm, steep as √(largest column sum)."""
    if 'root sensitivity' in before.tags:
        after.tags = {
            'root sensitivity': before.tags['root sensitivity'].scaled_gains(math.sqrt(column))
        }
    return after


@rule(
    'avg_pool1d', 'avg_pool2d', 'avg_pool3d',
    'adaptive_avg_pool1d', 'adaptive_avg_pool2d', 'adaptive_avg_pool3d',
)  # fmt: skip
def _average(
    func: Callable[..., Any], reach: BoundedTensor, *args: Any, **kwargs: Any
) -> BoundedTensor:
    """√(largest row sum x largest column sum) of the pooling matrix, all of it positive."""
    low, high = (None if e is None else func(e, *args, **kwargs) for e in (reach.low, reach.high))
    ones = torch.ones(1, 1, *reach.shape[2:], dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        pooled = func(ones, *args, **kwargs)
        (columns,) = torch.autograd.grad(pooled.sum(), ones)
    factor = math.sqrt(float(pooled.detach().max()) * float(columns.max())) * (1 + 1e-12)
    shape = torch.Size((*reach.shape[:2], *pooled.shape[2:]))
    result = BoundedTensor.build(shape, low, high, reach.sensitivity.scaled_gains(factor))
    return _keep_root(reach, result, float(columns.max()))


@rule(
    'max_pool1d', 'max_pool2d', 'max_pool3d', 'adaptive_max_pool1d', 'adaptive_max_pool2d',
    'boolean_dispatch', 'fn',
)  # fmt: skip
def _maximum(
    func: Callable[..., Any], reach: BoundedTensor, *args: Any, **kwargs: Any
) -> BoundedTensor:
    """Root of how many windows an entry is in: 1 where windows do not overlap."""
    low, high = (None if e is None else func(e, *args, **kwargs) for e in (reach.low, reach.high))
    shape = func(torch.zeros(reach.shape, dtype=torch.float64), *args, **kwargs).shape
    factor = 1.0
    for axis, extent in enumerate(reach.shape[2:]):
        covered = [0] * extent
        for place in range(extent):
            spike = torch.zeros(1, 1, *reach.shape[2:], dtype=torch.float64)
            spike.select(axis + 2, place).fill_(1.0)
            hit = func(spike, *args, **kwargs)
            covered[place] = int(hit.amax(dim=[d for d in range(hit.ndim) if d != axis + 2]).sum())
        factor *= max(covered)
    return BoundedTensor.build(shape, low, high, reach.sensitivity.scaled_gains(factor**0.5))


@rule('interpolate')
def _interpolate(
    func: Callable[..., Any],
    reach: BoundedTensor,
    size: Any = None,  # noqa: ANN401
    scale_factor: Any = None,  # noqa: ANN401
    mode: str = 'nearest',
    *args: Any,  # noqa: ANN401
    **kwargs: Any,  # noqa: ANN401
) -> BoundedTensor:
    if mode not in ('nearest', 'nearest-exact'):
        raise LipfaultError(f'interpolation with mode={mode!r} has no rule; "nearest" has')
    indices = func(flat_indices(reach), size, scale_factor, mode, *args, **kwargs)
    return gather(reach, indices.long() - 1)


@rule('softmax')
def _softmax(
    func: Callable[..., Any], reach: BoundedTensor, *args: Any, **kwargs: Any
) -> BoundedTensor:
    """The Jacobian diag(p) − ppᵀ has norm at most 1/2 (Gao & Pavel 2017)."""
    del func, args, kwargs
    zeros = torch.zeros(reach.shape, dtype=torch.float64)
    return BoundedTensor.build(reach.shape, zeros, zeros + 1, reach.sensitivity.scaled_gains(0.5))


@rule('logsumexp', 'amax', 'amin')
def _extreme(
    func: Callable[..., Any], reach: BoundedTensor, *args: Any, **kwargs: Any
) -> BoundedTensor:
    """Monotone, and at most as steep as the largest entry."""
    low, high = (None if e is None else func(e, *args, **kwargs) for e in (reach.low, reach.high))
    shape = func(torch.zeros(reach.shape, dtype=torch.float64), *args, **kwargs).shape
    return BoundedTensor.build(shape, low, high, reach.sensitivity.scaled_gains())
