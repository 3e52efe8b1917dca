"""Rules for activations, sums, products and gates."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.lipschitz.propagation.reach import (
    Reach,
    Sensitivity,
    largest_gain,
    rule,
)
from lipfault.lipschitz.propagation.sectors import SECTORS, Sector, image_of, sector_of, slopes_on

BEYOND = 1.2
"""On trained detectors and correctors the bound falls from 0.73 of the product to below 0.7."""

_ACTIVATIONS = (*SECTORS, 'elu', 'celu', 'arcsinh', 'absolute', 'relu_', 'clip')


@rule(*_ACTIVATIONS, alone=True)
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
    if func.__name__ == 'relu_':
        func = torch.relu
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
    m = (low + high)/2, p = low·high, a function of P's eigenvalues and valid for every λ that
    leaves it positive. The λ of ECLipsE-Fast (Xu & Sivaranjani 2024, there for low = 0) makes the
    largest eigenvalue of P' smallest; `BEYOND` times it shrinks all others at a small price.
    """
    values, vectors = torch.linalg.eigh(spread)
    values = values.clamp_min(0) * (1 + 1e-12)
    top = float(values[-1])
    if top <= 0:
        return spread
    m2, p = ((low + high) / 2) ** 2, low * high
    for factor in (BEYOND, 1.0) if p <= 0 else (1.0,):
        weight = best_multiplier(m2, p) / top * factor
        inner = 1 + p * weight * values
        inverse = weight - m2 * weight**2 * values / inner
        if bool((inverse > 0).all() & (inner > 0).all()):
            break
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
