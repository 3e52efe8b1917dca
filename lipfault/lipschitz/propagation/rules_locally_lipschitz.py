"""Rules for functions that are steep or jump somewhere: powers, roots, logarithms, signs."""

from collections.abc import Callable
from typing import Any

import torch

from lipfault.errors import LipfaultError
from lipfault.lipschitz.propagation.bounded_tensor import (
    BoundedTensor,
    Sensitivity,
    require_range,
    rule,
)
from lipfault.lipschitz.propagation.rules_pointwise import elementwise
from lipfault.lipschitz.propagation.sectors import Sector


@rule('square', 'pow', '__pow__', 'pow_')
def _square(func: Callable[..., Any], reach: BoundedTensor, exponent: float = 2) -> BoundedTensor:
    del func
    if exponent == 0.5:
        return _root(torch.sqrt, reach)  # type: ignore[no-any-return]
    if exponent != 2:
        raise LipfaultError(f'power {exponent} has no rule; 2 and 0.5 have')
    low, high = require_range(reach, 'a square')
    top = 2 * float(torch.maximum(low.abs(), high.abs()).max())
    squared = elementwise(reach, torch.square, Sector(-top, top, 'convex', (0.0, 0.0)))
    squared.tags = {'root sensitivity': reach.sensitivity.scaled_gains()}
    return squared


@rule('sqrt', 'log')
def _root(func: Callable[..., Any], reach: BoundedTensor) -> BoundedTensor:
    """Finite only away from zero, as the range tells; the root of a mean of squares is a norm."""
    if func.__name__ == 'sqrt' and 'root sensitivity' in reach.tags:
        ends = [None if e is None else e.clamp_min(0).sqrt() for e in (reach.low, reach.high)]
        return BoundedTensor.build(reach.shape, ends[0], ends[1], reach.tags['root sensitivity'])
    low, _ = require_range(reach, func.__name__)
    nearest = float(low.min())
    if nearest <= 0:
        raise LipfaultError(f'{func.__name__} of a signal that can reach {nearest:g} has no bound')
    steep = 1 / (2 * nearest**0.5) if func.__name__ == 'sqrt' else 1 / nearest
    return elementwise(reach, func, Sector(0.0, steep))


@rule('exp')
def _exponential(func: Callable[..., Any], reach: BoundedTensor) -> BoundedTensor:
    _, high = require_range(reach, 'exp')
    return elementwise(reach, func, Sector(0.0, float(high.max().exp()), 'convex'))


@rule('log1p')
def _log1p(func: Callable[..., Any], reach: BoundedTensor) -> BoundedTensor:
    if 'magnitude of' not in reach.tags:
        low, _ = require_range(reach, 'log1p')
        if float(low.min()) <= -1:
            raise LipfaultError(f'log1p of a signal that can reach {float(low.min()):g}')
        return elementwise(reach, func, Sector(0.0, 1 / (1 + float(low.min()))))
    applied = elementwise(reach, func, Sector(0.0, 1.0))
    applied.tags = dict(reach.tags)
    return applied


@rule('sign', 'sgn')
def _sign(func: Callable[..., Any], reach: BoundedTensor) -> BoundedTensor:
    """It jumps: no finite gain, unless it is multiplied by a function of the absolute value."""
    del func
    ones = torch.ones(reach.shape, dtype=torch.float64)
    gains = {s: float('inf') if g else 0.0 for s, g in reach.sensitivity.gains.items()}
    jump = BoundedTensor.build(reach.shape, -ones, ones, Sensitivity(gains))
    jump.tags = {'sign of': reach}
    return jump
