"""Rules for affine operations: dense and convolutional layers, pooling, means, padding."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lipfault.errors import LipfaultError
from lipfault.lipschitz.certificates import certify_matrix, certify_operator
from lipfault.lipschitz.operators import (
    ConvolutionOperator,
    Geometry,
    LinearOperator,
    TransposedOperator,
)
from lipfault.lipschitz.reach import Reach, Sensitivity, largest_gain, rule
from lipfault.lipschitz.rules_shape import gather

SPREAD = 2048
"""Up to this many outputs a dense layer keeps the ellipsoid of its change."""


@rule('linear')
def _linear(
    func: Callable[..., Any], reach: Reach, weight: Tensor, bias: Tensor | None = None
) -> Reach:
    """W x + b: exact on ellipsoids, P ↦ W P Wᵀ."""
    weight = _plain(weight).double()
    norm = certify_matrix(weight)
    change = reach.change.scalar(norm)
    if reach.ndim == 2 and len(reach) == 1 and len(weight) <= SPREAD:
        change = _spread_through(reach.change, weight, change)
    low, high = _interval(
        reach, lambda x, signs: func(x, signs(weight)), None if bias is None else bias.double()
    )
    shape = torch.Size((*reach.shape[:-1], len(weight)))
    return Reach.build(shape, low, high, change)


def _spread_through(before: Sensitivity, weight: Tensor, after: Sensitivity) -> Sensitivity:
    for source, gain in before.gains.items():
        if gain == 0 or not math.isfinite(gain):
            continue
        spread = before.spreads.get(source)
        moved = gain**2 * weight @ weight.T if spread is None else weight @ spread @ weight.T
        after.spreads[source] = moved
        after.gains[source] = min(after.gains[source], largest_gain(moved))
    return after


@rule('conv1d', 'conv2d', 'conv3d')
def _convolution(
    func: Callable[..., Any],
    reach: Reach,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,  # noqa: ANN401
    padding: Any = 0,  # noqa: ANN401
    dilation: Any = 1,  # noqa: ANN401
    groups: int = 1,
) -> Reach:
    weight = _plain(weight).double()
    axes = weight.ndim - 2
    stride, dilation = _tuple(stride, axes), _tuple(dilation, axes)
    if isinstance(padding, str):
        raise LipfaultError(f'convolution with padding={padding!r} has no rule; give numbers')
    pads = tuple((p, p) for p in _tuple(padding, axes))
    inner, mode = reach, 'zeros'
    if 'unpadded' in reach.tags and not any(p for pair in pads for p in pair):
        inner, pads, mode = reach.tags['unpadded']
    geometry = Geometry(stride, dilation, groups, pads, mode)
    operator = ConvolutionOperator(weight, geometry, inner.shape[2:])
    call = (stride, _tuple(padding, axes), dilation, groups)
    return _through(
        operator, inner, reach, lambda x, signs: func(x, signs(weight), None, *call), bias
    )


@rule('conv_transpose1d', 'conv_transpose2d', 'conv_transpose3d')
def _transposed(
    func: Callable[..., Any],
    reach: Reach,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,  # noqa: ANN401
    padding: Any = 0,  # noqa: ANN401
    output_padding: Any = 0,  # noqa: ANN401
    groups: int = 1,
    dilation: Any = 1,  # noqa: ANN401
) -> Reach:
    weight = _plain(weight).double()
    axes = weight.ndim - 2
    stride, dilation = _tuple(stride, axes), _tuple(dilation, axes)
    pads = tuple((p, p) for p in _tuple(padding, axes))
    call = (stride, _tuple(padding, axes), _tuple(output_padding, axes), groups, dilation)
    sample = func(torch.zeros(reach.shape, dtype=torch.float64), weight, None, *call)
    inner = ConvolutionOperator(
        weight, Geometry(stride, dilation, groups, pads, 'zeros'), sample.shape[2:]
    )
    operator = TransposedOperator(inner, reach.shape[2:])
    return _through(
        operator, reach, reach, lambda x, signs: func(x, signs(weight), None, *call), bias
    )


def _through(
    operator: LinearOperator,
    source: Reach,
    reach: Reach,
    apply: Callable[..., Tensor],
    bias: Tensor | None,
) -> Reach:
    column = None if bias is None else bias.double().reshape(-1, *[1] * (reach.ndim - 2))
    low, high = _interval(reach, apply, column)
    shape = torch.Size((len(reach), *operator.out_shape))
    return Reach.build(shape, low, high, source.change.scalar(certify_operator(operator)))


def _interval(
    reach: Reach, apply: Callable[..., Tensor], bias: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """Interval after a linear map: its absolute values act on the radius."""
    if reach.low is None or reach.high is None:
        return None, None
    middle = apply((reach.low + reach.high) / 2, lambda w: w)
    radius = apply((reach.high - reach.low) / 2, torch.Tensor.abs)
    if bias is not None:
        middle = middle + bias
    return middle - radius, middle + radius


@rule('pad')
def _pad(
    func: Callable[..., Any],
    reach: Reach,
    pad: Any,  # noqa: ANN401
    mode: str = 'constant',
    value: float | None = None,
) -> Reach:
    """Zero padding keeps the gain; repeated values raise it, unless a convolution follows."""
    if value:
        raise LipfaultError(f'padding with the constant {value} has no rule; only 0 has')
    places = torch.arange(1, reach.numel() + 1, dtype=torch.float64).reshape(reach.shape)
    padded = gather(reach, func(places, pad, mode).long() - 1)
    pairs = tuple((int(pad[i]), int(pad[i + 1])) for i in range(0, len(pad), 2))[::-1]
    if len(pairs) == reach.ndim - 2:
        mode = 'zeros' if mode == 'constant' else mode
        padded.tags = {'unpadded': (reach, pairs, mode)}
    return padded


@rule('mean', 'sum')
def _reduce(func: Callable[..., Any], reach: Reach, *args: Any, **kwargs: Any) -> Reach:  # noqa: ANN401
    low, high = (None if e is None else func(e, *args, **kwargs) for e in (reach.low, reach.high))
    reduced = func(torch.zeros(reach.shape, dtype=torch.float64), *args, **kwargs)
    count = reach.numel() / max(1, reduced.numel())
    factor = count**-0.5 if func.__name__ == 'mean' else count**0.5
    result = Reach.build(reduced.shape, low, high, reach.change.scalar(factor))
    return _keep_root(reach, result, 1 / count if func.__name__ == 'mean' else 1.0)


def _keep_root(before: Reach, after: Reach, column: float) -> Reach:
    """Weighted means of squares: their root is a norm, steep as √(largest column sum)."""
    if 'root' in before.tags:
        after.tags = {'root': before.tags['root'].scalar(math.sqrt(column))}
    return after


@rule(
    'avg_pool1d', 'avg_pool2d', 'avg_pool3d',
    'adaptive_avg_pool1d', 'adaptive_avg_pool2d', 'adaptive_avg_pool3d',
)  # fmt: skip
def _average(func: Callable[..., Any], reach: Reach, *args: Any, **kwargs: Any) -> Reach:  # noqa: ANN401
    """√(largest row sum x largest column sum) of the pooling matrix, all of it positive."""
    low, high = (None if e is None else func(e, *args, **kwargs) for e in (reach.low, reach.high))
    ones = torch.ones(1, 1, *reach.shape[2:], dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        pooled = func(ones, *args, **kwargs)
        (columns,) = torch.autograd.grad(pooled.sum(), ones)
    factor = math.sqrt(float(pooled.detach().max()) * float(columns.max())) * (1 + 1e-12)
    shape = torch.Size((*reach.shape[:2], *pooled.shape[2:]))
    result = Reach.build(shape, low, high, reach.change.scalar(factor))
    return _keep_root(reach, result, float(columns.max()))


@rule(
    'max_pool1d', 'max_pool2d', 'max_pool3d', 'adaptive_max_pool1d', 'adaptive_max_pool2d',
    'boolean_dispatch', 'fn',
)  # fmt: skip
def _maximum(func: Callable[..., Any], reach: Reach, *args: Any, **kwargs: Any) -> Reach:  # noqa: ANN401
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
    return Reach.build(shape, low, high, reach.change.scalar(factor**0.5))


@rule('interpolate')
def _interpolate(
    func: Callable[..., Any],
    reach: Reach,
    size: Any = None,  # noqa: ANN401
    scale_factor: Any = None,  # noqa: ANN401
    mode: str = 'nearest',
    *args: Any,  # noqa: ANN401
    **kwargs: Any,  # noqa: ANN401
) -> Reach:
    if mode not in ('nearest', 'nearest-exact'):
        raise LipfaultError(f'interpolation with mode={mode!r} has no rule; "nearest" has')
    places = torch.arange(reach.numel(), dtype=torch.float64).reshape(reach.shape)
    return gather(reach, func(places, size, scale_factor, mode, *args, **kwargs).long())


@rule('batch_norm')
def _batch_norm(
    func: Callable[..., Any],
    reach: Reach,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Reach:
    """In evaluation max|γ| / √(running_var + ε), exact."""
    if training or running_mean is None or running_var is None:
        raise LipfaultError('BatchNorm has a bound in evaluation only, with running statistics')
    slope = (running_var.double() + eps).rsqrt()
    slope = slope if weight is None else slope * weight.double()
    shift = -running_mean.double() * slope + (0.0 if bias is None else bias.double())
    shape = (1, -1, *[1] * (reach.ndim - 2))
    slope, shift = slope.reshape(shape), shift.reshape(shape)
    low = high = None
    if reach.low is not None and reach.high is not None:
        ends = torch.stack([reach.low * slope, reach.high * slope]) + shift
        low, high = ends.amin(dim=0), ends.amax(dim=0)
    del func, momentum
    return Reach.build(reach.shape, low, high, reach.change.scalar(float(slope.abs().max())))


@rule('layer_norm')
def _layer_norm(
    func: Callable[..., Any],
    reach: Reach,
    normalized_shape: Any,  # noqa: ANN401
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Reach:
    """max|γ| / √ε, reached at constant inputs: finite, and useless."""
    del func
    count = math.prod(normalized_shape)
    return _normalized(reach, count, weight, bias, eps)


@rule('group_norm', 'instance_norm')
def _group_norm(func: Callable[..., Any], reach: Reach, *args: Any, **kwargs: Any) -> Reach:  # noqa: ANN401
    if func.__name__ == 'instance_norm':
        if not kwargs.get('use_input_stats', args[4] if len(args) > 4 else True):
            running: Reach = _batch_norm(func, reach, *args[:4], training=False, eps=args[6])
            return running
        settings = dict(
            zip(('mean', 'var', 'weight', 'bias', 'use', 'm', 'eps'), args, strict=False)
        )
        count = math.prod(reach.shape[2:])
    else:
        settings = dict(zip(('groups', 'weight', 'bias', 'eps'), args, strict=False))
        count = reach.shape[1] // int(settings['groups']) * math.prod(reach.shape[2:])
    settings |= kwargs
    weight, bias = settings.get('weight'), settings.get('bias')
    column = (-1, *[1] * (reach.ndim - 2))
    weight = None if weight is None else weight.reshape(column)
    bias = None if bias is None else bias.reshape(column)
    return _normalized(reach, count, weight, bias, float(settings.get('eps', 1e-5)))


def _normalized(
    reach: Reach, count: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Reach:
    """A normalized value is at most √(n − 1) for n values that share their statistics."""
    scale = torch.ones((), dtype=torch.float64) if weight is None else weight.double().abs()
    shift = torch.zeros((), dtype=torch.float64) if bias is None else bias.double()
    zeros = torch.zeros(reach.shape, dtype=torch.float64)
    most = math.sqrt(max(count - 1, 0)) * scale
    factor = float(scale.max()) / math.sqrt(eps)
    change = reach.change.scalar(factor)
    return Reach.build(reach.shape, zeros - most + shift, zeros + most + shift, change)


@rule('matmul', '__matmul__', 'mm', '__rmatmul__')
def _matmul(func: Callable[..., Any], a: Any, b: Any) -> Reach:  # noqa: ANN401
    """Product with a constant matrix."""
    if func.__name__ == '__rmatmul__':
        a, b = b, a
    if isinstance(a, Reach) and not isinstance(b, Reach) and b.ndim == 2:
        product: Reach = _linear(functional.linear, a, b.T)
        return product
    if isinstance(b, Reach) and not isinstance(a, Reach) and a.ndim == 2 and b.ndim >= 2:
        factor = certify_matrix(a.double())
        low, high = _interval(b, lambda x, signs: signs(a.double()) @ x, None)
        shape = torch.Size((*b.shape[:-2], len(a), b.shape[-1]))
        return Reach.build(shape, low, high, b.change.scalar(factor))
    raise LipfaultError('matmul has a rule for one matrix that does not change with the input')


@rule('softmax')
def _softmax(func: Callable[..., Any], reach: Reach, *args: Any, **kwargs: Any) -> Reach:  # noqa: ANN401
    """The Jacobian diag(p) − ppᵀ has norm at most 1/2 (Gao & Pavel 2017)."""
    del func, args, kwargs
    zeros = torch.zeros(reach.shape, dtype=torch.float64)
    return Reach.build(reach.shape, zeros, zeros + 1, reach.change.scalar(0.5))


@rule('logsumexp', 'amax', 'amin')
def _extreme(func: Callable[..., Any], reach: Reach, *args: Any, **kwargs: Any) -> Reach:  # noqa: ANN401
    """Monotone, and at most as steep as the largest entry."""
    low, high = (None if e is None else func(e, *args, **kwargs) for e in (reach.low, reach.high))
    shape = func(torch.zeros(reach.shape, dtype=torch.float64), *args, **kwargs).shape
    return Reach.build(shape, low, high, reach.change.scalar())


def _plain(weight: Tensor) -> Tensor:
    if isinstance(weight, Reach):
        raise LipfaultError('a weight that changes with the input has no rule')
    return weight.detach()


def _tuple(value: Any, axes: int) -> tuple[int, ...]:  # noqa: ANN401
    if isinstance(value, int):
        return (value,) * axes
    values = tuple(int(v) for v in value)
    return values * axes if len(values) == 1 else values
