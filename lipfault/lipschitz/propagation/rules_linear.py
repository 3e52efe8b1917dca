"""Propagation rules of dense and convolutional layers, padding and matrix products."""

import math
from typing import Any, NamedTuple

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
    Function,
    Sensitivity,
    largest_semiaxis,
    require_range,
    rule,
)
from lipfault.lipschitz.propagation.intervals import WeightMap, linear_interval
from lipfault.lipschitz.propagation.rules_shape import constant, flat_indices, gather

ELLIPSOID_LIMIT = 2048
"""Up to this many outputs a dense layer keeps shape matrices: 32 MiB each in float64."""


@rule('linear', single_operand=True)
def _linear(
    func: Function, operand: BoundedTensor, weight: Tensor, bias: Tensor | None = None
) -> BoundedTensor:
    """Bound W x + b: exact on ellipsoids, P ↦ W P Wᵀ."""
    weight = _constant_weight(weight)
    if weight.ndim == 1:
        # torch takes a vector as one row and drops the axis of the output.
        raise LipfaultError('a linear map with a vector as weight has no rule; give it two axes')
    norm = certify_matrix(weight)
    sensitivity = operand.sensitivity.scaled_gains(norm)
    if operand.ndim == 2 and len(operand) == 1 and len(weight) <= ELLIPSOID_LIMIT:
        sensitivity = _ellipsoids_through(operand.sensitivity, weight, sensitivity)
    low, high = linear_interval(
        operand, lambda x, of: func(x, of(weight)), None if bias is None else bias.double()
    )
    shape = torch.Size((*operand.shape[:-1], len(weight)))
    return BoundedTensor.build(shape, low, high, sensitivity)


def _ellipsoids_through(before: Sensitivity, weight: Tensor, after: Sensitivity) -> Sensitivity:
    for source, gain in before.gains.items():
        if gain == 0 or not math.isfinite(gain):
            continue
        ellipsoid = before.ellipsoids.get(source)
        # A gain alone is the ball gain² I.
        mapped = gain**2 * weight @ weight.T if ellipsoid is None else weight @ ellipsoid @ weight.T
        # Rounding of the two products, at most n ε ‖W‖² ‖P‖ each (Frobenius norms).
        rounding = 4 * sum(weight.shape) * torch.finfo(mapped.dtype).eps * float(weight.norm()) ** 2
        size = gain**2 if ellipsoid is None else float(ellipsoid.norm())
        mapped.diagonal().add_(rounding * size)
        after.ellipsoids[source] = mapped
        after.gains[source] = min(after.gains[source], largest_semiaxis(mapped))
    return after


class _Arguments(NamedTuple):
    """Arguments of a convolution in canonical form, one number per spatial axis.

    Args:
        weight: Weight in float64.
        stride: Step.
        padding: (before, after), zeros on either side.
        raw_padding: Padding as torch takes it.
        dilation: Spacing of the taps.
        output_padding: Entries added to one side of the output of a transposed convolution.
        groups: Number of channel groups.
    """

    weight: Tensor
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    raw_padding: str | tuple[int, ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    groups: int

    @classmethod
    def parse(
        cls, weight: Tensor, names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> '_Arguments':
        """Parse the arguments that follow weight and bias, positional ones by their names."""
        weight = _constant_weight(weight)
        given = dict(zip(names, args, strict=False)) | kwargs
        axes = weight.ndim - 2
        stride, dilation = (_per_axis(given.get(n, 1), axes) for n in ('stride', 'dilation'))
        extra, raw = _per_axis(given.get('output_padding', 0), axes), given.get('padding', 0)
        if raw == 'valid':
            raw = 0
        if raw == 'same':
            # As torch: of an odd total the larger half is after.
            totals = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
            pads = tuple((total // 2, total - total // 2) for total in totals)
        else:
            raw = _per_axis(raw, axes)
            pads = tuple((p, p) for p in raw)
        return cls(weight, stride, pads, raw, dilation, extra, given.get('groups', 1))

    def geometry(self) -> Geometry:
        return Geometry(self.stride, self.dilation, self.groups, self.padding, 'zeros')


def _require_batch(operand: BoundedTensor, weight: Tensor) -> None:
    """Refuse unbatched operands, whose spatial axes are others."""
    if operand.ndim != weight.ndim:
        raise LipfaultError(
            f'a convolution has a rule for operands of {weight.ndim} axes (batch, channel, ...), '
            f'got {operand.ndim}'
        )


@rule('conv1d', 'conv2d', 'conv3d', single_operand=True)
def _convolution(
    func: Function,
    operand: BoundedTensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *args: Any,  # noqa: ANN401
    **kwargs: Any,  # noqa: ANN401
) -> BoundedTensor:
    """Bound by the certified norm of the operator at this input size."""
    names = ('stride', 'padding', 'dilation', 'groups')
    _require_batch(operand, weight)
    given = _Arguments.parse(weight, names, args, kwargs)
    inner, geometry = operand, given.geometry()
    # Padding before a convolution without any belongs to its operator, whose norm is smaller
    # than the product of both (torch computes padding modes other than zeros this way).
    if 'unpadded' in operand.tags and not any(p for pads in given.padding for p in pads):
        inner, pads, mode = operand.tags['unpadded']
        geometry = Geometry(given.stride, given.dilation, given.groups, pads, mode)
    operator = ConvolutionOperator(given.weight, geometry, inner.shape[2:])

    def apply(x: Tensor, of: WeightMap) -> Tensor:
        call = (given.stride, given.raw_padding, given.dilation, given.groups)
        convolved: Tensor = func(x, of(given.weight), None, *call)
        return convolved

    low, high = linear_interval(operand, apply, _bias_column(bias, operand))
    return _operator_output(operator, operand, inner.sensitivity, low, high)


@rule('conv_transpose1d', 'conv_transpose2d', 'conv_transpose3d', single_operand=True)
def _transposed_convolution(
    func: Function,
    operand: BoundedTensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *args: Any,  # noqa: ANN401
    **kwargs: Any,  # noqa: ANN401
) -> BoundedTensor:
    """Bound by the certified norm of the convolution whose adjoint the layer is."""
    names = ('stride', 'padding', 'output_padding', 'groups', 'dilation')
    _require_batch(operand, weight)
    given = _Arguments.parse(weight, names, args, kwargs)

    def apply(x: Tensor, of: WeightMap) -> Tensor:
        call = (
            given.stride, given.raw_padding, given.output_padding, given.groups, given.dilation,
        )  # fmt: skip
        convolved: Tensor = func(x, of(given.weight), None, *call)
        return convolved

    zeros = torch.zeros(operand.shape, dtype=torch.float64)
    size = apply(zeros, lambda w: w).shape[2:]
    inner = ConvolutionOperator(given.weight, given.geometry(), size)
    operator = TransposedOperator(inner, operand.shape[2:])
    low, high = linear_interval(operand, apply, _bias_column(bias, operand))
    return _operator_output(operator, operand, operand.sensitivity, low, high)


def _bias_column(bias: Tensor | None, operand: BoundedTensor) -> Tensor | None:
    """Shape a bias (channel,) to (channel, 1, ...) in float64."""
    return None if bias is None else bias.double().reshape(-1, *[1] * (operand.ndim - 2))


def _operator_output(
    operator: LinearOperator,
    operand: BoundedTensor,
    before: Sensitivity,
    low: Tensor | None,
    high: Tensor | None,
) -> BoundedTensor:
    shape = torch.Size((len(operand), *operator.out_shape))
    return BoundedTensor.build(shape, low, high, before.scaled_gains(certify_operator(operator)))


@rule('pad')
def _pad(
    func: Function,
    operand: BoundedTensor,
    pad: Any,  # noqa: ANN401
    mode: str = 'constant',
    value: float | None = None,
) -> BoundedTensor:
    """Zero padding keeps the gain; repeated values raise it, unless a convolution follows."""
    if value:
        raise LipfaultError(f'padding with the constant {value} has no rule; only 0 has')
    padded = gather(operand, func(flat_indices(operand), pad, mode).long() - 1)
    pairs = tuple((int(pad[i]), int(pad[i + 1])) for i in range(0, len(pad), 2))[::-1]
    # All spatial axes are padded: a convolution that follows can take the padding over.
    if len(pairs) == operand.ndim - 2 and min(map(min, pairs)) >= 0:
        mode = 'zeros' if mode == 'constant' else mode
        padded.tags = {'unpadded': (operand, pairs, mode)}
    return padded


@rule('matmul', '__matmul__', 'mm', '__rmatmul__')
def _matmul(func: Function, a: Any, b: Any) -> BoundedTensor:  # noqa: ANN401
    """Bound the product with a constant matrix.

    Products of two changing matrices are refused: dot-product attention has no finite global
    Lipschitz constant (Kim et al. 2021, https://arxiv.org/abs/2006.04710).
    """
    if func.__name__ == '__rmatmul__':
        a, b = b, a
    if isinstance(a, BoundedTensor) and not isinstance(b, BoundedTensor) and b.ndim == 2:
        product: BoundedTensor = _linear(functional.linear, a, b.T)
        return product
    if not isinstance(a, BoundedTensor) and a.ndim == 2 and b.ndim >= 2:
        factor = certify_matrix(a.double())
        low, high = linear_interval(b, lambda x, of: of(a.double()) @ x, None)
        shape = torch.Size((*b.shape[:-2], len(a), b.shape[-1]))
        return BoundedTensor.build(shape, low, high, b.sensitivity.scaled_gains(factor))
    raise LipfaultError('matmul has a rule for one matrix that does not change with the input')


@rule('bilinear')
def _bilinear(
    func: Function,
    a: Any,  # noqa: ANN401
    b: Any,  # noqa: ANN401
    weight: Tensor,
    bias: Tensor | None = None,
) -> BoundedTensor:
    """Bound Σ W_kij a_i b_j by ‖W‖ (sup|b| |δa| + sup|a| |δb|), W flattened to (k, ij)."""
    del func
    some = a if isinstance(a, BoundedTensor) else b
    weight = _constant_weight(weight)
    a, b = (p if isinstance(p, BoundedTensor) else constant(p, some.sensitivity) for p in (a, b))
    tops = [torch.maximum(*(e.abs() for e in require_range(p, 'a bilinear map'))) for p in (a, b)]
    norm = certify_matrix(weight.flatten(1))
    reach = [float(top.reshape(-1, top.shape[-1]).norm(dim=1).max()) for top in tops]
    one, two = a.sensitivity.gains, b.sensitivity.gains
    gains = {
        s: norm * ((reach[1] * g if g else 0.0) + (reach[0] * two[s] if two[s] else 0.0))
        for s, g in one.items()
    }
    # |Σ W a b| ≤ Σ |W| sup|a| sup|b|
    most = functional.bilinear(tops[0], tops[1], weight.abs())
    shift = torch.zeros(()).double() if bias is None else bias.double()
    return BoundedTensor.build(most.shape, shift - most, shift + most, Sensitivity(gains))


def _constant_weight(weight: Tensor) -> Tensor:
    """Return a weight in float64; refuse one that depends on the input (a hypernetwork)."""
    if isinstance(weight, BoundedTensor):
        raise LipfaultError('a weight that changes with the input has no rule')
    return weight.detach().double()


def _per_axis(value: Any, axes: int) -> tuple[int, ...]:  # noqa: ANN401
    """Expand a number or a sequence of one number to all spatial axes, as torch does."""
    if isinstance(value, int):
        return (value,) * axes
    values = tuple(int(v) for v in value)
    return values * axes if len(values) == 1 else values
