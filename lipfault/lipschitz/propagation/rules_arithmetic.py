"""Propagation rules of sums, products, gates, quotients and elementwise extremes."""

import math
from typing import Any

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.lipschitz.propagation.bounded_tensor import (
    BoundedTensor,
    Function,
    Sensitivity,
    common_shape,
    largest_semiaxis,
    require_range,
    rule,
)
from lipfault.lipschitz.propagation.intervals import affine_interval
from lipfault.lipschitz.propagation.rules_pointwise import elementwise
from lipfault.lipschitz.propagation.rules_shape import broadcast_to, constant, wide
from lipfault.lipschitz.propagation.sectors import Sector


@rule('neg', '__neg__', 'negative')
def _negative(func: Function, operand: BoundedTensor) -> BoundedTensor:
    del func
    return _affine(operand, torch.tensor(-1.0), torch.tensor(0.0))


@rule('add', '__add__', '__radd__', '__iadd__', 'add_')
def _add(func: Function, a: Any, b: Any, alpha: float = 1) -> BoundedTensor:  # noqa: ANN401
    del func
    return _sum(a, b, float(alpha))


@rule('sub', '__sub__', '__isub__', 'sub_', 'subtract')
def _subtract(func: Function, a: Any, b: Any, alpha: float = 1) -> BoundedTensor:  # noqa: ANN401
    del func
    return _sum(a, b, -float(alpha))


@rule('__rsub__', 'rsub')
def _subtract_from(func: Function, a: Any, b: Any) -> BoundedTensor:  # noqa: ANN401
    del func
    return _sum(b, a, -1.0)


def _sum(a: Any, b: Any, sign: float) -> BoundedTensor:  # noqa: ANN401
    """Bound a + sign b: the gain of a sum is at most the sum of the gains (section 4)."""
    one, two = torch.tensor(1.0), wide(sign)
    if not isinstance(b, BoundedTensor):
        return _affine(a, one, sign * wide(b))
    if not isinstance(a, BoundedTensor):
        return _affine(b, two, wide(a))
    # old + coefficient (new − old): the general rules would count `old` twice.
    for kept, mixed in ((a, b), (b, a)):
        parts = mixed.tags.get('convex combination')
        if sign == 1 and parts is not None and parts[2] is kept:
            return _convex_combination(*_broadcast_all(*parts))
    difference = (a, b) if sign == -1 else None
    a, b = _broadcast_all(a, b)
    low = high = None
    if all(end is not None for end in (a.low, a.high, b.low, b.high)):
        low = a.low + (b.low if sign > 0 else -b.high)
        high = a.high + (b.high if sign > 0 else -b.low)
        if abs(sign) != 1:
            raise LipfaultError(f'addition with alpha={abs(sign)} has no rule')
    added = BoundedTensor.build(a.shape, low, high, _sum_sensitivity(a, b, sign))
    if difference is not None:
        added.tags = {'difference': difference}
    return added


def _sum_sensitivity(a: BoundedTensor, b: BoundedTensor, sign: float) -> Sensitivity:
    one, two = a.sensitivity, b.sensitivity
    gains = {s: g + abs(sign) * two.gains[s] for s, g in one.gains.items()}
    sensitivity = Sensitivity(gains)
    # The ellipsoid of one branch survives only where the other branch does not change.
    for source in gains:
        if two.gains[source] == 0 and source in one.ellipsoids:
            sensitivity.ellipsoids[source] = one.ellipsoids[source]
        elif one.gains[source] == 0 and source in two.ellipsoids:
            sensitivity.ellipsoids[source] = two.ellipsoids[source]
    return sensitivity


@rule('mul', '__mul__', '__rmul__', '__imul__', 'mul_', 'multiply')
def _multiply(func: Function, a: Any, b: Any) -> BoundedTensor:  # noqa: ANN401
    """Multiply by a constant, or bound sign(x) f(|x|), a convex combination or a gate."""
    del func
    if not isinstance(b, BoundedTensor):
        return _affine(a, wide(b), torch.tensor(0.0))
    if not isinstance(a, BoundedTensor):
        return _affine(b, wide(a), torch.tensor(0.0))
    for sign, magnitude in ((a, b), (b, a)):
        if 'sign of' in sign.tags and sign.tags['sign of'] is magnitude.tags.get('magnitude of'):
            return _odd_function(magnitude)
    gated = _product(*_broadcast_all(a, b))
    for coefficient, other in ((a, b), (b, a)):
        if 'difference' in other.tags and _is_coefficient(coefficient):
            gated.tags = {'convex combination': (coefficient, *other.tags['difference'])}
    return gated


def _is_coefficient(operand: BoundedTensor) -> bool:
    """Whether all values lie in [0, 1]."""
    if operand.low is None or operand.high is None:
        return False
    return float(operand.low.min()) >= 0 and float(operand.high.max()) <= 1


def _convex_combination(
    coefficient: BoundedTensor, new: BoundedTensor, old: BoundedTensor
) -> BoundedTensor:
    """Bound old + m (new − old) with m in [0, 1]: values stay inside both ranges.

    The change is (1 − m) δold + m δnew + δm (new − old). The first two terms together are at most
    the root of (1 − m) |δold|² + m |δnew|², since the square is convex.
    """
    ranges = [
        require_range(r, 'a convex combination of two signals') for r in (coefficient, new, old)
    ]
    low = torch.minimum(ranges[1][0], ranges[2][0])
    high = torch.maximum(ranges[1][1], ranges[2][1])
    # sup |new − old|, entry by entry
    distance = torch.maximum(ranges[1][1] - ranges[2][0], ranges[2][1] - ranges[1][0])
    least, most = float(ranges[0][0].min()), float(ranges[0][1].max())
    gains = {}
    for source, gain in coefficient.sensitivity.gains.items():
        squared = (
            most * new.sensitivity.gains[source] ** 2
            + (1 - least) * old.sensitivity.gains[source] ** 2
        )
        moved = float(distance.clamp_min(0).max()) * gain if gain else 0.0
        gains[source] = squared**0.5 + moved
    return BoundedTensor.build(old.shape, low, high, Sensitivity(gains))


def _odd_function(magnitude: BoundedTensor) -> BoundedTensor:
    """Bound sign(x) f(|x|) with f(0) = 0: its slopes are those of f."""
    if magnitude.low is None or magnitude.high is None:
        return BoundedTensor.build(magnitude.shape, None, None, magnitude.sensitivity)
    return BoundedTensor.build(
        magnitude.shape, -magnitude.high, magnitude.high, magnitude.sensitivity
    )


def _product(a: BoundedTensor, b: BoundedTensor) -> BoundedTensor:
    """Bound a data-dependent gate: |δ(ab)| ≤ sup|a| |δb| + sup|b| |δa| (section 4)."""
    ranges = [require_range(r, 'a product of two signals') for r in (a, b)]
    suprema = [float(torch.maximum(low.abs(), high.abs()).max()) for low, high in ranges]
    one, two = a.sensitivity.gains, b.sensitivity.gains
    gains = {
        s: suprema[1] * g + suprema[0] * two[s] if g or two[s] else 0.0 for s, g in one.items()
    }
    # The extremes of a product of intervals are among the products of their ends.
    corners = torch.stack([x * y for x in ranges[0] for y in ranges[1]])
    return BoundedTensor.build(
        a.shape, corners.amin(dim=0), corners.amax(dim=0), Sensitivity(gains)
    )


@rule('div', '__truediv__', '__itruediv__', 'div_', 'true_divide')
def _divide(func: Function, a: Any, b: Any) -> BoundedTensor:  # noqa: ANN401
    del func
    if isinstance(b, BoundedTensor):
        b = elementwise(b, torch.reciprocal, _reciprocal_sector(b))
        return _multiply(torch.mul, a, b)  # type: ignore[no-any-return]
    return _affine(a, 1 / wide(b), torch.tensor(0.0))


def _reciprocal_sector(operand: BoundedTensor) -> Sector:
    """Return the slopes of 1/x, −1/x², on a range that excludes zero."""
    low, high = require_range(operand, 'a division by a signal')
    nearest = float(torch.minimum(low.abs(), high.abs()).min())
    if bool(((low <= 0) & (high >= 0)).any()):
        raise LipfaultError('a division by a signal that can be zero has no bound')
    return Sector(-1 / nearest**2, 0.0, 'turning')


@rule('maximum', 'minimum')
def elementwise_extreme(func: Function, a: Any, b: Any) -> BoundedTensor:  # noqa: ANN401
    """Bound max(a, b) or min(a, b): |δ| ≤ max(|δa|, |δb|) per entry, so √(gain² + gain²).

    Args:
        func: `torch.maximum`, `torch.minimum`, or `torch.max`, `torch.min` of two tensors.
        a: Bounded or constant tensor.
        b: Bounded or constant tensor.

    Returns:
        Elementwise extreme, tagged for `concatenate`.
    """
    some = a if isinstance(a, BoundedTensor) else b
    parts = [p if isinstance(p, BoundedTensor) else constant(p, some.sensitivity) for p in (a, b)]
    a, b = _broadcast_all(*parts)
    known = all(end is not None for end in (a.low, a.high, b.low, b.high))
    ends = [func(a.low, b.low), func(a.high, b.high)] if known else [None, None]
    one, two = a.sensitivity.gains, b.sensitivity.gains
    gains = {s: (g * g + two[s] ** 2) ** 0.5 for s, g in one.items()}
    extreme = BoundedTensor.build(a.shape, ends[0], ends[1], Sensitivity(gains))
    extreme.tags = {'extreme of': (func.__name__[:3], a, b)}
    return extreme


@rule('sort', 'msort', 'topk', 'max', 'min')
def _sort(func: Function, operand: BoundedTensor, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Bound sorted values: order statistics are monotone, and together 1-Lipschitz.

    Indices jump: their gain is infinite.
    """
    if any(isinstance(a, Tensor) for a in (*args, *kwargs.values())):
        return elementwise_extreme(func, operand, *args, **kwargs)
    ends = [None if e is None else func(e, *args, **kwargs) for e in (operand.low, operand.high)]
    shapes = func(torch.zeros(operand.shape, dtype=torch.float64), *args, **kwargs)
    if isinstance(shapes, Tensor):
        return BoundedTensor.build(
            shapes.shape, ends[0], ends[1], operand.sensitivity.scaled_gains()
        )
    low, high = (None if e is None else e[0] for e in ends)
    jump = Sensitivity({s: math.inf if g else 0.0 for s, g in operand.gains.items()})
    values = BoundedTensor.build(shapes[0].shape, low, high, operand.sensitivity.scaled_gains())
    return type(shapes)((values, BoundedTensor.build(shapes[1].shape, None, None, jump)))


@rule('lerp')
def _interpolate_linearly(func: Function, old: Any, new: Any, weight: Any) -> BoundedTensor:  # noqa: ANN401
    """Bound old + weight (new − old) by constant weights, or as a convex combination."""
    del func
    some = next(p for p in (old, new, weight) if isinstance(p, BoundedTensor))
    old, new = (
        p if isinstance(p, BoundedTensor) else constant(p, some.sensitivity) for p in (old, new)
    )
    if not isinstance(weight, BoundedTensor):
        share, none = wide(weight), torch.tensor(0.0)
        return _sum(_affine(old, 1 - share, none), _affine(new, share, none), 1.0)
    if not _is_coefficient(weight):
        raise LipfaultError('lerp has a rule for weights in [0, 1]')
    return _convex_combination(*_broadcast_all(weight, new, old))


def _affine(operand: BoundedTensor, slope: Tensor, shift: Tensor) -> BoundedTensor:
    """Multiply and shift by constants, broadcast; exact on ellipsoids, P ↦ D P D."""
    slope, shift = slope.detach().double(), shift.detach().double()
    shape = common_shape(operand.shape, slope.shape, shift.shape)
    operand = broadcast_to(operand, shape)
    sensitivity = operand.sensitivity.scaled_gains(float(slope.abs().max()))
    row = slope.expand(shape).reshape(-1)
    if len(shape) == 2 and shape[0] == 1:
        sensitivity.ellipsoids = {
            s: p * row[:, None] * row for s, p in operand.sensitivity.ellipsoids.items()
        }
        for source, ellipsoid in sensitivity.ellipsoids.items():
            # A common factor scales gain and ellipsoid alike: no new eigenvalues are needed.
            if slope.numel() > 1:
                sensitivity.gains[source] = min(
                    sensitivity.gains[source], largest_semiaxis(ellipsoid)
                )
    return BoundedTensor.build(shape, *affine_interval(operand, slope, shift), sensitivity)


def _broadcast_all(*operands: BoundedTensor) -> list[BoundedTensor]:
    shape = common_shape(*(operand.shape for operand in operands))
    return [broadcast_to(operand, shape) for operand in operands]
