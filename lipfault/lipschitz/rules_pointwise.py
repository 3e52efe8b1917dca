"""Rules for activations, sums, products and gates."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.lipschitz.reach import (
    Reach,
    Sensitivity,
    common_shape,
    largest_gain,
    require_range,
    rule,
)
from lipfault.lipschitz.rules_shape import constant, gather
from lipfault.lipschitz.sectors import SECTORS, Sector, image_of, sector_of, slopes_on

_ACTIVATIONS = (*SECTORS, 'elu', 'celu', 'arcsinh', 'absolute', 'relu_', 'clip')


@rule(*_ACTIVATIONS)
def _activation(func: Callable[..., Any], reach: Reach, *args: Any, **kwargs: Any) -> Reach:  # noqa: ANN401
    """Slope between the limits of the sector, tightened by the interval where one is known."""
    name = {'arcsinh': 'asinh', 'absolute': 'abs', 'relu_': 'relu', 'clip': 'clamp'}.get(
        func.__name__, func.__name__
    )
    settings = {k: v for k, v in kwargs.items() if k != 'inplace'}
    first = {'leaky_relu': 'negative_slope', 'elu': 'alpha', 'celu': 'alpha'}.get(name)
    if first and args:
        settings[first] = args[0]
    args = () if name in ('relu', 'silu', 'mish', 'hardswish', 'relu6', 'selu') else args
    sector = sector_of(name, settings)
    if sector is None:
        raise LipfaultError(f'activation {name!r} has no rule')
    applied = elementwise(reach, lambda x: func(x, *args, **settings), sector)
    if name == 'abs':
        applied.tags = {'size of': reach}
    elif name in ('asinh', 'softsign', 'tanh') and 'size of' in reach.tags:
        applied.tags = dict(reach.tags)
    elif name in ('clamp_min', 'relu') and 'root' in reach.tags:
        applied.tags = {'root': reach.tags['root']}
    return applied


def elementwise(reach: Reach, function: Callable[[Tensor], Tensor], sector: Sector) -> Reach:
    """The result of an elementwise function with slopes in a sector."""
    low, high = reach.low, reach.high
    if low is None or high is None:
        slopes = torch.tensor(sector.low).double(), torch.tensor(sector.high).double()
        return Reach.build(reach.shape, None, None, _bent(reach.change, *slopes))
    moves = high > low
    steep = [torch.where(moves, s, 0.0) for s in slopes_on(sector, function, low, high)]
    ends = image_of(sector, function, low, high)
    return Reach.build(reach.shape, *ends, _bent(reach.change, *steep))


def _bent(change: Sensitivity, low: Tensor, high: Tensor) -> Sensitivity:
    """Change after an elementwise function with slopes in [low, high], per entry or for all."""
    steepest = torch.maximum(low.abs(), high.abs())
    top = float(steepest.max())
    bent = change.scalar(top)
    if top == 0:
        return bent
    unit = steepest.clamp_min(1e-12 * top)
    least, most = float((low / unit).min()), float((high / unit).max())
    for source, spread in change.spreads.items():
        moved = _through_sector(spread, least, most)
        if steepest.ndim:
            row = unit.reshape(-1)
            moved = moved * row[:, None] * row
        else:
            moved = moved * unit**2
        bent.spreads[source] = moved
        bent.gains[source] = min(bent.gains[source], largest_gain(moved))
    return bent


def _through_sector(spread: Tensor, low: float, high: float) -> Tensor:
    """Ellipsoid after an activation with slopes in [low, high], max(|low|, |high|) = 1.

    The S-procedure with a multiplier λI gives P' = (λI − m²λ² (P⁻¹ + pλI)⁻¹)⁻¹ with
    m = (low + high)/2, p = low·high; a function of P's eigenvalues. λ maximizes the smallest
    eigenvalue of the inverse. For low = 0 it is ECLipsE-Fast (Xu & Sivaranjani 2024).
    """
    values, vectors = torch.linalg.eigh(spread)
    values = values.clamp_min(0) * (1 + 1e-12)
    top = float(values[-1])
    if top <= 0:
        return spread
    m2, p = ((low + high) / 2) ** 2, low * high
    weight = best_multiplier(m2, p) / top
    inverse = weight - m2 * weight**2 * values / (1 + p * weight * values)
    bent: Tensor = (vectors / inverse) @ vectors.T
    return bent


def best_multiplier(m2: float, p: float) -> float:
    """Find t that maximizes t − m²t²/(1 + pt) while 1 + pt > 0.

    Example:
        >>> best_multiplier(0.25, 0.0)
        2.0
    """
    a, b = p * p - m2 * p, 2 * p - 2 * m2
    if abs(a) < 1e-12:
        return -1 / b if b else 1.0
    root = max(0.0, b * b - 4 * a) ** 0.5
    candidates = [(-b - root) / (2 * a), (-b + root) / (2 * a)]
    valid = [t for t in candidates if t > 0 and 1 + p * t > 0]
    return max(valid, key=lambda t: t - m2 * t * t / (1 + p * t), default=1.0)


@rule('neg', '__neg__', 'negative')
def _negative(func: Callable[..., Any], reach: Reach) -> Reach:
    del func
    return _affine(reach, torch.tensor(-1.0), torch.tensor(0.0))


@rule('add', '__add__', '__radd__', '__iadd__', 'add_')
def _add(func: Callable[..., Any], a: Any, b: Any, alpha: float = 1) -> Reach:  # noqa: ANN401
    del func
    return _sum(a, b, float(alpha))


@rule('sub', '__sub__', '__isub__', 'sub_', 'subtract')
def _subtract(func: Callable[..., Any], a: Any, b: Any, alpha: float = 1) -> Reach:  # noqa: ANN401
    del func
    return _sum(a, b, -float(alpha))


@rule('__rsub__', 'rsub')
def _subtract_from(func: Callable[..., Any], a: Any, b: Any) -> Reach:  # noqa: ANN401
    del func
    return _sum(b, a, -1.0)


def _sum(a: Any, b: Any, sign: float) -> Reach:  # noqa: ANN401
    """A sum of branches is bounded by the sum of their bounds (THEORY 4)."""
    one, two = torch.tensor(1.0), torch.tensor(sign)
    if not isinstance(b, Reach):
        return _affine(a, one, sign * torch.as_tensor(b))
    if not isinstance(a, Reach):
        return _affine(b, two, torch.as_tensor(a))
    a, b = _broadcast(a, b)
    low = high = None
    if all(end is not None for end in (a.low, a.high, b.low, b.high)):
        low = a.low + (b.low if sign > 0 else -b.high)
        high = a.high + (b.high if sign > 0 else -b.low)
        if abs(sign) != 1:
            raise LipfaultError(f'addition with alpha={abs(sign)} has no rule')
    gains = {s: g + abs(sign) * b.change.gains[s] for s, g in a.change.gains.items()}
    change = Sensitivity(gains)
    for source in gains:
        if b.change.gains[source] == 0 and source in a.change.spreads:
            change.spreads[source] = a.change.spreads[source]
        elif a.change.gains[source] == 0 and source in b.change.spreads:
            change.spreads[source] = b.change.spreads[source]
    return Reach.build(a.shape, low, high, change)


@rule('mul', '__mul__', '__rmul__', '__imul__', 'mul_', 'multiply')
def _multiply(func: Callable[..., Any], a: Any, b: Any) -> Reach:  # noqa: ANN401
    del func
    if not isinstance(b, Reach):
        return _affine(a, torch.as_tensor(b), torch.tensor(0.0))
    if not isinstance(a, Reach):
        return _affine(b, torch.as_tensor(a), torch.tensor(0.0))
    for sign, size in ((a, b), (b, a)):
        if 'sign of' in sign.tags and sign.tags['sign of'] is size.tags.get('size of'):
            return _odd(size)
    return _gate(*_broadcast(a, b))


def _odd(size: Reach) -> Reach:
    """sign(x) f(|x|) with f(0) = 0: as steep as f."""
    if size.low is None or size.high is None:
        return Reach.build(size.shape, None, None, size.change)
    return Reach.build(size.shape, -size.high, size.high, size.change)


def _gate(a: Reach, b: Reach) -> Reach:
    """A product of two signals: |δ(ab)| ≤ sup|a| |δb| + sup|b| |δa| (THEORY 4)."""
    ranges = [require_range(r, 'a product of two signals') for r in (a, b)]
    sizes = [float(torch.maximum(low.abs(), high.abs()).max()) for low, high in ranges]
    gains = {
        s: sizes[1] * g + sizes[0] * b.change.gains[s] if g or b.change.gains[s] else 0.0
        for s, g in a.change.gains.items()
    }
    corners = torch.stack([x * y for x in ranges[0] for y in ranges[1]])
    return Reach.build(a.shape, corners.amin(dim=0), corners.amax(dim=0), Sensitivity(gains))


@rule('div', '__truediv__', '__itruediv__', 'div_', 'true_divide')
def _divide(func: Callable[..., Any], a: Any, b: Any) -> Reach:  # noqa: ANN401
    del func
    if isinstance(b, Reach):
        b = elementwise(b, torch.reciprocal, _reciprocal(b))
        return _multiply(torch.mul, a, b)  # type: ignore[no-any-return]
    return _affine(a, 1 / torch.as_tensor(b).double(), torch.tensor(0.0))


def _reciprocal(reach: Reach) -> Sector:
    low, high = require_range(reach, 'a division by a signal')
    nearest = float(torch.minimum(low.abs(), high.abs()).min())
    if bool(((low <= 0) & (high >= 0)).any()):
        raise LipfaultError('a division by a signal that can be zero has no bound')
    return Sector(-1 / nearest**2, 0.0)


@rule('square', 'pow', '__pow__', 'pow_')
def _square(func: Callable[..., Any], reach: Reach, exponent: float = 2) -> Reach:
    del func
    if exponent == 0.5:
        return _root(torch.sqrt, reach)  # type: ignore[no-any-return]
    if exponent != 2:
        raise LipfaultError(f'power {exponent} has no rule; 2 and 0.5 have')
    low, high = require_range(reach, 'a square')
    top = 2 * float(torch.maximum(low.abs(), high.abs()).max())
    squared = elementwise(reach, torch.square, Sector(-top, top, 'rising', (0.0, 0.0)))
    squared.tags = {'root': reach.change.scalar()}
    return squared


@rule('sqrt', 'log')
def _root(func: Callable[..., Any], reach: Reach) -> Reach:
    """Finite only away from zero, as the range tells; the root of a mean of squares is a norm."""
    if func.__name__ == 'sqrt' and 'root' in reach.tags:
        ends = [None if e is None else e.clamp_min(0).sqrt() for e in (reach.low, reach.high)]
        return Reach.build(reach.shape, ends[0], ends[1], reach.tags['root'])
    low, _ = require_range(reach, func.__name__)
    nearest = float(low.min())
    if nearest <= 0:
        raise LipfaultError(f'{func.__name__} of a signal that can reach {nearest:g} has no bound')
    steep = 1 / (2 * nearest**0.5) if func.__name__ == 'sqrt' else 1 / nearest
    return elementwise(reach, func, Sector(0.0, steep))


@rule('exp')
def _exponential(func: Callable[..., Any], reach: Reach) -> Reach:
    _, high = require_range(reach, 'exp')
    return elementwise(reach, func, Sector(0.0, float(high.max().exp()), 'rising'))


@rule('log1p')
def _log1p(func: Callable[..., Any], reach: Reach) -> Reach:
    if 'size of' not in reach.tags:
        low, _ = require_range(reach, 'log1p')
        if float(low.min()) <= -1:
            raise LipfaultError(f'log1p of a signal that can reach {float(low.min()):g}')
        return elementwise(reach, func, Sector(0.0, 1 / (1 + float(low.min()))))
    applied = elementwise(reach, func, Sector(0.0, 1.0))
    applied.tags = dict(reach.tags)
    return applied


@rule('sign', 'sgn')
def _sign(func: Callable[..., Any], reach: Reach) -> Reach:
    """It jumps: no finite gain, unless it is multiplied by a function of the absolute value."""
    del func
    ones = torch.ones(reach.shape, dtype=torch.float64)
    gains = {s: float('inf') if g else 0.0 for s, g in reach.change.gains.items()}
    jump = Reach.build(reach.shape, -ones, ones, Sensitivity(gains))
    jump.tags = {'sign of': reach}
    return jump


@rule('maximum', 'minimum')
def _larger(func: Callable[..., Any], a: Any, b: Any) -> Reach:  # noqa: ANN401
    """Entry by entry one of the two: at most the root of the sum of squares."""
    some = a if isinstance(a, Reach) else b
    parts = [p if isinstance(p, Reach) else constant(p, some.change) for p in (a, b)]
    a, b = _broadcast(*parts)
    known = all(end is not None for end in (a.low, a.high, b.low, b.high))
    ends = [func(a.low, b.low), func(a.high, b.high)] if known else [None, None]
    gains = {s: (g * g + b.change.gains[s] ** 2) ** 0.5 for s, g in a.change.gains.items()}
    return Reach.build(a.shape, ends[0], ends[1], Sensitivity(gains))


def _affine(reach: Reach, slope: Tensor, shift: Tensor) -> Reach:
    """Multiply and shift by constants, broadcast."""
    slope, shift = slope.detach().double(), shift.detach().double()
    shape = common_shape(reach.shape, slope.shape, shift.shape)
    if shape != reach.shape:
        places = torch.arange(reach.numel()).reshape(reach.shape).expand(shape)
        reach = gather(reach, places)
    change = reach.change.scalar(float(slope.abs().max()))
    row = slope.expand(shape).reshape(-1)
    if len(shape) == 2 and shape[0] == 1:
        change.spreads = {s: p * row[:, None] * row for s, p in reach.change.spreads.items()}
        for source, spread in change.spreads.items():
            if slope.numel() > 1:
                change.gains[source] = min(change.gains[source], largest_gain(spread))
    if reach.low is None or reach.high is None:
        return Reach.build(shape, None, None, change)
    ends = torch.stack([reach.low * slope, reach.high * slope]) + shift
    moved = Reach.build(shape, ends.amin(dim=0), ends.amax(dim=0), change)
    return moved


def _broadcast(a: Reach, b: Reach) -> tuple[Reach, Reach]:
    shape = common_shape(a.shape, b.shape)
    both = []
    for reach in (a, b):
        if reach.shape == shape:
            both.append(reach)
            continue
        places = torch.arange(reach.numel()).reshape(reach.shape).expand(shape)
        both.append(gather(reach, places))
    return both[0], both[1]
