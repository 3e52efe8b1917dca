"""Slopes of elementwise activations: between which limits the derivative lies.

Outer limits are rounded outwards. On an interval tighter limits are given where the derivative is
monotone or has its peak at zero.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Slopes = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Sector:
    """What is known of an elementwise function.

    Args:
        low: Smallest slope anywhere.
        high: Largest slope anywhere.
        shape: `rising` if the derivative never falls (convex function), `peak` if it is symmetric
            about zero and falls away from it, `kink` if it is constant on either side of zero,
            `other`.
        minimum: (place, value) of the minimum of a function that is not monotone.
    """

    low: float
    high: float
    kind: str = 'other'
    minimum: tuple[float, float] | None = None

    @property
    def gain(self) -> float:
        """The Lipschitz constant."""
        return max(abs(self.low), abs(self.high))


_GELU_SLOPE = 1.1289042
"""GELU: the derivative Φ(x) + xφ(x) is largest at x = √2."""

SECTORS: dict[str, Sector] = {
    'relu': Sector(0.0, 1.0, 'convex'),
    'leaky_relu': Sector(0.0, 1.0, 'piecewise_linear'),
    'abs': Sector(-1.0, 1.0, 'convex', (0.0, 0.0)),
    'gelu': Sector(1 - 1.129, 1.129, 'other', (-0.7518, -0.17005)),
    'silu': Sector(-0.09984, 1.09984, 'other', (-1.2785, -0.27847)),
    'mish': Sector(-0.11253, 1.0885, 'other', (-1.1925, -0.30885)),
    'hardswish': Sector(-0.5, 1.5, 'other', (-1.5, -0.375)),
    'tanh': Sector(0.0, 1.0, 'sigmoidal'),
    'sigmoid': Sector(0.0, 0.25, 'sigmoidal'),
    'softsign': Sector(0.0, 1.0, 'sigmoidal'),
    'asinh': Sector(0.0, 1.0, 'sigmoidal'),
    'atan': Sector(0.0, 1.0, 'sigmoidal'),
    'softplus': Sector(0.0, 1.0, 'convex'),
    'selu': Sector(0.0, 1.7581),
    'logsigmoid': Sector(0.0, 1.0),
    'log_sigmoid': Sector(0.0, 1.0),
    'hardtanh': Sector(0.0, 1.0),
    'relu6': Sector(0.0, 1.0),
    'clamp': Sector(0.0, 1.0),
    'clamp_min': Sector(0.0, 1.0),
    'clamp_max': Sector(0.0, 1.0),
    'hardsigmoid': Sector(0.0, 1 / 6 + 1e-9),
    'sin': Sector(-1.0, 1.0),
    'cos': Sector(-1.0, 1.0),
}


def activation_sector(name: str, settings: Mapping[str, float | str]) -> Sector | None:
    """The sector of an activation by the name of its function; `None` if it is not known.

    Example:
        >>> activation_sector('leaky_relu', {'negative_slope': 0.2}).low
        0.2
    """
    if name == 'gelu' and settings.get('approximate', 'none') == 'none':
        return Sector(1 - _GELU_SLOPE, _GELU_SLOPE, 'other', (-0.7518, -0.17))
    if name == 'leaky_relu':
        slope = float(settings.get('negative_slope', 0.01))
        return Sector(min(slope, 1.0), max(slope, 1.0), 'piecewise_linear')
    if name in ('elu', 'celu'):
        alpha = float(settings.get('alpha', 1.0))
        return Sector(0.0, max(alpha, 1.0) if name == 'elu' else 1.0)
    return SECTORS.get(name)


def slope_bounds(
    sector: Sector, function: Callable[[Tensor], Tensor], low: Tensor, high: Tensor
) -> Slopes:
    """Smallest and largest slope on intervals, at most as wide as the sector.

    Args:
        sector: Of the function.
        function: The activation.
        low: Lower ends, any shape, float64.
        high: Upper ends.
    """
    outer = torch.full_like(low, sector.low), torch.full_like(low, sector.high)
    if sector.kind == 'convex':
        return _slope(function, low), _slope(function, high)
    if sector.kind == 'piecewise_linear':
        a, b = _slope(function, low), _slope(function, high)
        return torch.minimum(a, b), torch.maximum(a, b)
    if sector.kind == 'sigmoidal':
        nearest = torch.zeros_like(low).clamp(low, high)
        farthest = torch.maximum(low.abs(), high.abs())
        return _slope(function, farthest), _slope(function, nearest)
    return outer


def interval_image(
    sector: Sector, function: Callable[[Tensor], Tensor], low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor]:
    """Interval that holds the function's values on [low, high]."""
    ends = torch.stack([function(low), function(high)])
    least, most = ends.amin(dim=0), ends.amax(dim=0)
    if sector.minimum is not None:
        place, value = sector.minimum
        inside = (low <= place + 1e-3) & (place - 1e-3 <= high)
        least = torch.where(inside, torch.full_like(least, value), least)
    elif sector.low < 0:
        most = torch.minimum(function(low), function(high)) + sector.gain * (high - low)
        least = torch.maximum(function(low), function(high)) - sector.gain * (high - low)
    return least, most


def _slope(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(function(point).sum(), point)
    return slope.detach()
