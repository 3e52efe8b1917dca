"""Slope bounds of elementwise activations: sectors in the sense of robust control.

Global slopes are rounded outwards, so they are bounds from above. On an interval tighter slopes
are given where the derivative is monotone, symmetric with its peak at zero, or constant on either
side of zero.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Slopes = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Sector:
    """Slope restriction of an elementwise function: all difference quotients lie in [low, high].

    Args:
        low: Smallest slope anywhere.
        high: Largest slope anywhere.
        kind: `convex` (the derivative never falls), `sigmoidal` (the derivative is even and falls
            away from zero), `piecewise_linear` (constant on either side of zero) or `other`.
        minimum: (argument, value) of the minimum of a function that is not monotone.

    Reference:
        Fazlyab et al. 2019, definition of slope-restricted nonlinearities,
        https://arxiv.org/abs/1906.04893
    """

    low: float
    high: float
    kind: str = 'other'
    minimum: tuple[float, float] | None = None

    @property
    def gain(self) -> float:
        """Lipschitz constant max(|low|, |high|), an upper bound."""
        return max(abs(self.low), abs(self.high))


_GELU_SLOPE = 1.1289042
"""Largest derivative Φ(x) + xφ(x) of GELU (https://arxiv.org/abs/1606.08415), at x = √2."""

SECTORS: dict[str, Sector] = {
    'relu': Sector(0.0, 1.0, 'convex'),
    'leaky_relu': Sector(0.0, 1.0, 'piecewise_linear'),
    'abs': Sector(-1.0, 1.0, 'convex', (0.0, 0.0)),
    # Both forms of GELU: the tanh approximation has slightly steeper slopes.
    'gelu': Sector(1 - 1.129, 1.129, 'other', (-0.7518, -0.17005)),
    # Extremes of σ(x) (1 + x (1 − σ(x))), https://arxiv.org/abs/1710.05941
    'silu': Sector(-0.09984, 1.09984, 'other', (-1.2785, -0.27847)),
    # https://arxiv.org/abs/1908.08681
    'mish': Sector(-0.11253, 1.0885, 'other', (-1.1925, -0.30885)),
    # x (x + 3) / 6 on [−3, 3], https://arxiv.org/abs/1905.02244
    'hardswish': Sector(-0.5, 1.5, 'other', (-1.5, -0.375)),
    'tanh': Sector(0.0, 1.0, 'sigmoidal'),
    'sigmoid': Sector(0.0, 0.25, 'sigmoidal'),
    'softsign': Sector(0.0, 1.0, 'sigmoidal'),
    'asinh': Sector(0.0, 1.0, 'sigmoidal'),
    'atan': Sector(0.0, 1.0, 'sigmoidal'),
    'softplus': Sector(0.0, 1.0, 'convex'),
    # scale · alpha = 1.0507 · 1.6733, https://arxiv.org/abs/1706.02515
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
    """Return the sector of an activation.

    Args:
        name: Name of the function, as in `torch.nn.functional`.
        settings: Keyword arguments that change its slopes, such as `negative_slope`.

    Returns:
        Sector; `None` if the activation is not in the table.

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
    """Bound the slopes of an activation on intervals.

    Args:
        sector: Sector of the function.
        function: Activation.
        low: Lower ends, any shape, float64.
        high: Upper ends, of the same shape.

    Returns:
        Smallest and largest slope per entry, never outside of the sector's.

    Reference:
        Zhang et al. 2019 (RecurJac), https://arxiv.org/abs/1810.11783
    """
    outer = torch.full_like(low, sector.low), torch.full_like(low, sector.high)
    if sector.kind == 'convex':
        return _derivative(function, low), _derivative(function, high)
    if sector.kind == 'piecewise_linear':
        a, b = _derivative(function, low), _derivative(function, high)
        return torch.minimum(a, b), torch.maximum(a, b)
    if sector.kind == 'sigmoidal':
        # The derivative falls with |x|: extremes at the entries nearest to and farthest from 0.
        nearest = torch.zeros_like(low).clamp(low, high)
        farthest = torch.maximum(low.abs(), high.abs())
        return _derivative(function, farthest), _derivative(function, nearest)
    return outer


def interval_image(
    sector: Sector, function: Callable[[Tensor], Tensor], low: Tensor, high: Tensor
) -> Slopes:
    """Bound the values of an activation on intervals.

    Args:
        sector: Sector of the function, whose tabulated minimum is used where there is one.
        function: Activation, evaluated at both ends.
        low: Lower ends of the arguments, any shape, float64.
        high: Upper ends of the arguments, shaped as `low`.

    Returns:
        Lower and upper ends, shaped as `low`, of intervals that contain the function's values.
    """
    ends = torch.stack([function(low), function(high)])
    least, most = ends.amin(dim=0), ends.amax(dim=0)
    if sector.minimum is not None:
        argument, value = sector.minimum
        # 1e-3 covers the rounding of the tabulated argument.
        inside = (low <= argument + 1e-3) & (argument - 1e-3 <= high)
        least = torch.where(inside, torch.full_like(least, value), least)
    elif sector.low < 0:
        # Oscillating functions: from either end no farther than the largest slope allows.
        most = torch.minimum(function(low), function(high)) + sector.gain * (high - low)
        least = torch.maximum(function(low), function(high)) - sector.gain * (high - low)
    return least, most


def _derivative(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(function(point).sum(), point)
    return slope.detach()
