"""Rules for affine operations: dense and convolutional layers, pooling, means, padding."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.certificates import certify_matrix, certify_operator
from lipfault.lipschitz.norms.operators import (
    ConvolutionOperator,
    Geometry,
    LinearOperator,
    TransposedOperator,
)
from lipfault.lipschitz.propagation.bounded_tensor import (
    BoundedTensor,
    Sensitivity,
    largest_semiaxis,
    rule,
)
from lipfault.lipschitz.propagation.rules_shape import flat_indices, gather

SPREAD = 2048
"""Up to this many outputs a dense layer keeps the ellipsoid of its change."""


@rule('linear', single_operand=True)
def _linear(
    func: Callable[..., Any], reach: BoundedTensor, weight: Tensor, bias: Tensor | None = None
) -> BoundedTensor:
    """W x + b: exact on ellipsoids, P ↦ W P Wᵀ."""
    weight = _plain(weight).double()
    norm = certify_matrix(weight)
    change = reach.sensitivity.scaled_gains(norm)
    if reach.ndim == 2 and len(reach) == 1 and len(weight) <= SPREAD:
        change = _ellipsoids_through(reach.sensitivity, weight, change)
    low, high = _interval(
        reach, lambda x, signs: func(x, signs(weight)), None if bias is None else bias.double()
    )
    shape = torch.Size((*reach.shape[:-1], len(weight)))
    return BoundedTensor.build(shape, low, high, change)


def _ellipsoids_through(before: Sensitivity, weight: Tensor, after: Sensitivity) -> Sensitivity:
    for source, gain in before.gains.items():
        if gain == 0 or not math.isfinite(gain):
            continue
        ellipsoid = before.ellipsoids.get(source)
        moved = gain**2 * weight @ weight.T if ellipsoid is None else weight @ ellipsoid @ weight.T
        after.ellipsoids[source] = moved
        after.gains[source] = min(after.gains[source], largest_semiaxis(moved))
    return after


@rule('conv1d', 'conv2d', 'conv3d', single_operand=True)
def _convolution(
    func: Callable[..., Any],
    reach: BoundedTensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,  # noqa: ANN401
    padding: Any = 0,  # noqa: ANN401
    dilation: Any = 1,  # noqa: ANN401
    groups: int = 1,
) -> BoundedTensor:
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
    return _bounded_output(
        operator, inner, reach, lambda x, signs: func(x, signs(weight), None, *call), bias
    )


@rule('conv_transpose1d', 'conv_transpose2d', 'conv_transpose3d', single_operand=True)
def _transposed(
    func: Callable[..., Any],
    reach: BoundedTensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,  # noqa: ANN401
    padding: Any = 0,  # noqa: ANN401
    output_padding: Any = 0,  # noqa: ANN401
    groups: int = 1,
    dilation: Any = 1,  # noqa: ANN401
) -> BoundedTensor:
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
    return _bounded_output(
        operator, reach, reach, lambda x, signs: func(x, signs(weight), None, *call), bias
    )


def _bounded_output(
    operator: LinearOperator,
    source: BoundedTensor,
    reach: BoundedTensor,
    apply: Callable[..., Tensor],
    bias: Tensor | None,
) -> BoundedTensor:
    column = None if bias is None else bias.double().reshape(-1, *[1] * (reach.ndim - 2))
    low, high = _interval(reach, apply, column)
    shape = torch.Size((len(reach), *operator.out_shape))
    return BoundedTensor.build(
        shape, low, high, source.sensitivity.scaled_gains(certify_operator(operator))
    )


def _interval(
    reach: BoundedTensor, apply: Callable[..., Tensor], bias: Tensor | None
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
    reach: BoundedTensor,
    pad: Any,  # noqa: ANN401
    mode: str = 'constant',
    value: float | None = None,
) -> BoundedTensor:
    """Zero padding keeps the gain; repeated values raise it, unless a convolution follows."""
    if value:
        raise LipfaultError(f'padding with the constant {value} has no rule; only 0 has')
    padded = gather(reach, func(flat_indices(reach), pad, mode).long() - 1)
    pairs = tuple((int(pad[i]), int(pad[i + 1])) for i in range(0, len(pad), 2))[::-1]
    if len(pairs) == reach.ndim - 2:
        mode = 'zeros' if mode == 'constant' else mode
        padded.tags = {'unpadded': (reach, pairs, mode)}
    return padded


@rule('matmul', '__matmul__', 'mm', '__rmatmul__')
def _matmul(func: Callable[..., Any], a: Any, b: Any) -> BoundedTensor:  # noqa: ANN401
    """Product with a constant matrix."""
    if func.__name__ == '__rmatmul__':
        a, b = b, a
    if isinstance(a, BoundedTensor) and not isinstance(b, BoundedTensor) and b.ndim == 2:
        product: BoundedTensor = _linear(functional.linear, a, b.T)
        return product
    if (
        isinstance(b, BoundedTensor)
        and not isinstance(a, BoundedTensor)
        and a.ndim == 2
        and b.ndim >= 2
    ):
        factor = certify_matrix(a.double())
        low, high = _interval(b, lambda x, signs: signs(a.double()) @ x, None)
        shape = torch.Size((*b.shape[:-2], len(a), b.shape[-1]))
        return BoundedTensor.build(shape, low, high, b.sensitivity.scaled_gains(factor))
    raise LipfaultError('matmul has a rule for one matrix that does not change with the input')


def _plain(weight: Tensor) -> Tensor:
    if isinstance(weight, BoundedTensor):
        raise LipfaultError('a weight that changes with the input has no rule')
    return weight.detach()


def _tuple(value: Any, axes: int) -> tuple[int, ...]:  # noqa: ANN401
    if isinstance(value, int):
        return (value,) * axes
    values = tuple(int(v) for v in value)
    return values * axes if len(values) == 1 else values
