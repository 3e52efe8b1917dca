"""Rules for sums, products, gates and quotients."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.lipschitz.propagation.bounded_tensor import (
    BoundedTensor,
    Sensitivity,
    common_shape,
    largest_semiaxis,
    require_range,
    rule,
)
from lipfault.lipschitz.propagation.rules_pointwise import elementwise
from lipfault.lipschitz.propagation.rules_shape import constant, gather
from lipfault.lipschitz.propagation.sectors import Sector


@rule('neg', '__neg__', 'negative')
def _negative(func: Callable[..., Any], reach: BoundedTensor) -> BoundedTensor:
    del func
    return _affine(reach, torch.tensor(-1.0), torch.tensor(0.0))


@rule('add', '__add__', '__radd__', '__iadd__', 'add_')
def _add(func: Callable[..., Any], a: Any, b: Any, alpha: float = 1) -> BoundedTensor:  # noqa: ANN401
    del func
    return _sum(a, b, float(alpha))


@rule('sub', '__sub__', '__isub__', 'sub_', 'subtract')
def _subtract(func: Callable[..., Any], a: Any, b: Any, alpha: float = 1) -> BoundedTensor:  # noqa: ANN401
    del func
    return _sum(a, b, -float(alpha))


@rule('__rsub__', 'rsub')
def _subtract_from(func: Callable[..., Any], a: Any, b: Any) -> BoundedTensor:  # noqa: ANN401
    del func
    return _sum(b, a, -1.0)


def _sum(a: Any, b: Any, sign: float) -> BoundedTensor:  # noqa: ANN401
    """A sum of branches is bounded by the sum of their bounds (THEORY 4)."""
    one, two = torch.tensor(1.0), torch.tensor(sign)
    if not isinstance(b, BoundedTensor):
        return _affine(a, one, sign * torch.as_tensor(b))
    if not isinstance(a, BoundedTensor):
        return _affine(b, two, torch.as_tensor(a))
    for kept, mixed in ((a, b), (b, a)):
        if (
            sign == 1
            and 'convex combination' in mixed.tags
            and mixed.tags['convex combination'][2] is kept
        ):
            return _convex_combination(*_broadcast_all(*mixed.tags['convex combination']))
    difference = (a, b) if sign == -1 else None
    a, b = _broadcast(a, b)
    low = high = None
    if all(end is not None for end in (a.low, a.high, b.low, b.high)):
        low = a.low + (b.low if sign > 0 else -b.high)
        high = a.high + (b.high if sign > 0 else -b.low)
        if abs(sign) != 1:
            raise LipfaultError(f'addition with alpha={abs(sign)} has no rule')
    gains = {s: g + abs(sign) * b.sensitivity.gains[s] for s, g in a.sensitivity.gains.items()}
    change = Sensitivity(gains)
    for source in gains:
        if b.sensitivity.gains[source] == 0 and source in a.sensitivity.ellipsoids:
            change.ellipsoids[source] = a.sensitivity.ellipsoids[source]
        elif a.sensitivity.gains[source] == 0 and source in b.sensitivity.ellipsoids:
            change.ellipsoids[source] = b.sensitivity.ellipsoids[source]
    added = BoundedTensor.build(a.shape, low, high, change)
    if difference is not None:
        added.tags = {'difference': difference}
    return added


@rule('mul', '__mul__', '__rmul__', '__imul__', 'mul_', 'multiply')
def _multiply(func: Callable[..., Any], a: Any, b: Any) -> BoundedTensor:  # noqa: ANN401
    del func
    if not isinstance(b, BoundedTensor):
        return _affine(a, torch.as_tensor(b), torch.tensor(0.0))
    if not isinstance(a, BoundedTensor):
        return _affine(b, torch.as_tensor(a), torch.tensor(0.0))
    for sign, size in ((a, b), (b, a)):
        if 'sign of' in sign.tags and sign.tags['sign of'] is size.tags.get('magnitude of'):
            return _odd_function(size)
    gated = _product(*_broadcast(a, b))
    for coefficient, size in ((a, b), (b, a)):
        if 'difference' in size.tags and _is_coefficient(coefficient):
            gated.tags = {'convex combination': (coefficient, *size.tags['difference'])}
    return gated


def _is_coefficient(reach: BoundedTensor) -> bool:
    if reach.low is None or reach.high is None:
        return False
    return float(reach.low.min()) >= 0 and float(reach.high.max()) <= 1


def _convex_combination(
    coefficient: BoundedTensor, new: BoundedTensor, old: BoundedTensor
) -> BoundedTensor:
    """The sum old + coefficient (new - old) with shares in [0, 1]: no value outside of both ranges.

    The change is (1 - m) δold + m δnew + δm (new - old). The first two terms together are at most
    the root of (1 - m) |δold|² + m |δnew|², since the square is convex.
    """
    ranges = [require_range(r, 'a mixture of two signals') for r in (coefficient, new, old)]
    low = torch.minimum(ranges[1][0], ranges[2][0])
    high = torch.maximum(ranges[1][1], ranges[2][1])
    apart = torch.maximum(ranges[1][1] - ranges[2][0], ranges[2][1] - ranges[1][0])
    least, most = float(ranges[0][0].min()), float(ranges[0][1].max())
    gains = {}
    for source, gain in coefficient.sensitivity.gains.items():
        mixed = (
            most * new.sensitivity.gains[source] ** 2
            + (1 - least) * old.sensitivity.gains[source] ** 2
        )
        moved = float(apart.clamp_min(0).max()) * gain if gain else 0.0
        gains[source] = mixed**0.5 + moved
    return BoundedTensor.build(old.shape, low, high, Sensitivity(gains))


def _odd_function(size: BoundedTensor) -> BoundedTensor:
    """sign(x) f(|x|) with f(0) = 0: as steep as f."""
    if size.low is None or size.high is None:
        return BoundedTensor.build(size.shape, None, None, size.sensitivity)
    return BoundedTensor.build(size.shape, -size.high, size.high, size.sensitivity)


def _product(a: BoundedTensor, b: BoundedTensor) -> BoundedTensor:
    """A product of two signals: |δ(ab)| ≤ sup|a| |δb| + sup|b| |δa| (THEORY 4)."""
    ranges = [require_range(r, 'a product of two signals') for r in (a, b)]
    sizes = [float(torch.maximum(low.abs(), high.abs()).max()) for low, high in ranges]
    gains = {
        s: sizes[1] * g + sizes[0] * b.sensitivity.gains[s] if g or b.sensitivity.gains[s] else 0.0
        for s, g in a.sensitivity.gains.items()
    }
    corners = torch.stack([x * y for x in ranges[0] for y in ranges[1]])
    return BoundedTensor.build(
        a.shape, corners.amin(dim=0), corners.amax(dim=0), Sensitivity(gains)
    )


@rule('div', '__truediv__', '__itruediv__', 'div_', 'true_divide')
def _divide(func: Callable[..., Any], a: Any, b: Any) -> BoundedTensor:  # noqa: ANN401
    del func
    if isinstance(b, BoundedTensor):
        b = elementwise(b, torch.reciprocal, _reciprocal(b))
        return _multiply(torch.mul, a, b)  # type: ignore[no-any-return]
    return _affine(a, 1 / torch.as_tensor(b).double(), torch.tensor(0.0))


def _reciprocal(reach: BoundedTensor) -> Sector:
    low, high = require_range(reach, 'a division by a signal')
    nearest = float(torch.minimum(low.abs(), high.abs()).min())
    if bool(((low <= 0) & (high >= 0)).any()):
        raise LipfaultError('a division by a signal that can be zero has no bound')
    return Sector(-1 / nearest**2, 0.0)


@rule('maximum', 'minimum')
def _larger(func: Callable[..., Any], a: Any, b: Any) -> BoundedTensor:  # noqa: ANN401
    """Entry by entry one of the two: at most the root of the sum of squares."""
    some = a if isinstance(a, BoundedTensor) else b
    parts = [p if isinstance(p, BoundedTensor) else constant(p, some.sensitivity) for p in (a, b)]
    a, b = _broadcast(*parts)
    known = all(end is not None for end in (a.low, a.high, b.low, b.high))
    ends = [func(a.low, b.low), func(a.high, b.high)] if known else [None, None]
    gains = {
        s: (g * g + b.sensitivity.gains[s] ** 2) ** 0.5 for s, g in a.sensitivity.gains.items()
    }
    return BoundedTensor.build(a.shape, ends[0], ends[1], Sensitivity(gains))


def _affine(reach: BoundedTensor, slope: Tensor, shift: Tensor) -> BoundedTensor:
    """Multiply and shift by constants, broadcast."""
    slope, shift = slope.detach().double(), shift.detach().double()
    shape = common_shape(reach.shape, slope.shape, shift.shape)
    if shape != reach.shape:
        indices = torch.arange(reach.numel()).reshape(reach.shape).expand(shape)
        reach = gather(reach, indices)
    change = reach.sensitivity.scaled_gains(float(slope.abs().max()))
    row = slope.expand(shape).reshape(-1)
    if len(shape) == 2 and shape[0] == 1:
        change.ellipsoids = {
            s: p * row[:, None] * row for s, p in reach.sensitivity.ellipsoids.items()
        }
        for source, ellipsoid in change.ellipsoids.items():
            if slope.numel() > 1:
                change.gains[source] = min(change.gains[source], largest_semiaxis(ellipsoid))
    if reach.low is None or reach.high is None:
        return BoundedTensor.build(shape, None, None, change)
    ends = torch.stack([reach.low * slope, reach.high * slope]) + shift
    moved = BoundedTensor.build(shape, ends.amin(dim=0), ends.amax(dim=0), change)
    return moved


def _broadcast(a: BoundedTensor, b: BoundedTensor) -> tuple[BoundedTensor, BoundedTensor]:
    a, b = _broadcast_all(a, b)
    return a, b


def _broadcast_all(*bounded_tensors: BoundedTensor) -> list[BoundedTensor]:
    shape = common_shape(*(r.shape for r in bounded_tensors))
    moved = []
    for reach in bounded_tensors:
        indices = torch.arange(reach.numel()).reshape(reach.shape).expand(shape)
        moved.append(reach if reach.shape == shape else gather(reach, indices))
    return moved
