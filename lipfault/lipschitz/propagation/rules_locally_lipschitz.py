"""Propagation rules of functions without a global Lipschitz constant.

Powers, roots, logarithms and exponentials have finite gains on bounded ranges only; the sign
function has none at all.
"""

import torch

from lipfault.errors import LipfaultError
from lipfault.lipschitz.propagation.bounded_tensor import (
    BoundedTensor,
    Function,
    Sensitivity,
    require_range,
    rule,
)
from lipfault.lipschitz.propagation.rules_pointwise import elementwise
from lipfault.lipschitz.propagation.sectors import Sector


@rule('square', 'pow', '__pow__', 'pow_')
def _square(func: Function, operand: BoundedTensor, exponent: float = 2) -> BoundedTensor:
    del func
    if exponent == 0.5:
        return _root(torch.sqrt, operand)  # type: ignore[no-any-return]
    if exponent != 2:
        raise LipfaultError(f'power {exponent} has no rule; 2 and 0.5 have')
    low, high = require_range(operand, 'a square')
    # The slope 2x is largest at the end farthest from zero.
    top = 2 * float(torch.maximum(low.abs(), high.abs()).max())
    squared = elementwise(operand, torch.square, Sector(-top, top, 'turning', (0.0, 0.0)))
    # √x² = |x|: the root of a square, or of a mean of squares, changes no more than x.
    squared.tags = {'root sensitivity': operand.sensitivity.scaled_gains()}
    return squared


@rule('sqrt', 'log')
def _root(func: Function, operand: BoundedTensor) -> BoundedTensor:
    """Bound roots and logarithms on ranges above zero, and the root mean square as a norm."""
    if func.__name__ == 'sqrt' and 'root sensitivity' in operand.tags:
        ends = [None if e is None else e.clamp_min(0).sqrt() for e in (operand.low, operand.high)]
        sensitivity: Sensitivity = operand.tags['root sensitivity']
        return BoundedTensor.build(operand.shape, ends[0], ends[1], sensitivity)
    low, _ = require_range(operand, func.__name__)
    nearest = float(low.min())
    if nearest <= 0:
        raise LipfaultError(f'{func.__name__} of a signal that can reach {nearest:g} has no bound')
    steepest = 1 / (2 * nearest**0.5) if func.__name__ == 'sqrt' else 1 / nearest
    return elementwise(operand, func, Sector(0.0, steepest, 'turning'))


@rule('exp')
def _exponential(func: Function, operand: BoundedTensor) -> BoundedTensor:
    _, high = require_range(operand, 'exp')
    return elementwise(operand, func, Sector(0.0, float(high.max().exp()), 'turning'))


@rule('log1p')
def _log1p(func: Function, operand: BoundedTensor) -> BoundedTensor:
    if 'magnitude of' not in operand.tags:
        low, _ = require_range(operand, 'log1p')
        if float(low.min()) <= -1:
            raise LipfaultError(f'log1p of a signal that can reach {float(low.min()):g}')
        return elementwise(operand, func, Sector(0.0, 1 / (1 + float(low.min())), 'turning'))
    # Of an absolute value: slopes 1 / (1 + |x|) of at most 1, and log1p(0) = 0.
    applied = elementwise(operand, func, Sector(0.0, 1.0))
    applied.tags = dict(operand.tags)
    return applied


@rule('sign', 'sgn')
def _sign(func: Function, operand: BoundedTensor) -> BoundedTensor:
    """Bound the jump by an infinite gain; the tag lets a product sign(x) f(|x|) be finite."""
    del func
    ones = torch.ones(operand.shape, dtype=torch.float64)
    gains = {s: float('inf') if g else 0.0 for s, g in operand.sensitivity.gains.items()}
    jump = BoundedTensor.build(operand.shape, -ones, ones, Sensitivity(gains))
    jump.tags = {'sign of': operand}
    return jump
