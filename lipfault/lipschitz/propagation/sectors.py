"""Slope bounds of elementwise activations: sectors in the sense of robust control.

Global slopes are rounded outwards, so they are bounds from above. On an interval the slopes are
exact: the derivative is monotone between the turns that a sector lists, so its extremes are at the
ends of the interval or at a turn inside.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError

Slopes = tuple[Tensor, Tensor]
Settings = Mapping[str, float | str]


@dataclass(frozen=True)
class Sector:
    """Slope restriction of an elementwise function: all difference quotients lie in [low, high].

    Args:
        low: Smallest slope anywhere.
        high: Largest slope anywhere.
        kind: `turning` (the derivative is monotone between the turns) or `other` (nothing is known
            of the derivative on an interval).
        minimum: (argument, value) of the minimum of a function that is not monotone.
        turns: (argument, slope) where the derivative turns or jumps; a jump has an entry for
            either side.

    Reference:
        Fazlyab et al. 2019, definition of slope-restricted nonlinearities,
        https://arxiv.org/abs/1906.04893
    """

    low: float
    high: float
    kind: str = 'other'
    minimum: tuple[float, float] | None = None
    turns: tuple[tuple[float, float], ...] = ()

    @property
    def gain(self) -> float:
        """Lipschitz constant max(|low|, |high|), an upper bound."""
        return max(abs(self.low), abs(self.high))


def _jumps(*arguments: float, top: float = 1.0) -> tuple[tuple[float, float], ...]:
    """List the turns of a derivative that jumps between 0 and `top`."""
    return tuple((a, s) for a in arguments for s in (0.0, top))


# Largest derivative Φ(x) + xφ(x) of GELU (https://arxiv.org/abs/1606.08415), at x = √2, and that
# of its tanh approximation. GELU(x) − GELU(−x) = x, so the slopes at x and −x sum to 1.
_GELU = Sector(
    1 - 1.1289042, 1.1289042, 'turning', (-0.7518, -0.17),
    ((-math.sqrt(2), 1 - 1.1289042), (math.sqrt(2), 1.1289042)),
)  # fmt: skip
_GELU_TANH = Sector(
    1 - 1.129, 1.129, 'turning', (-0.7525, -0.17005), ((-1.418504, 1 - 1.129), (1.418504, 1.129))
)
_SELU_SLOPES = (1.0507009, 1.7580994)
"""Slopes of SELU above zero, scale, and just below, scale x alpha, rounded up."""

SECTORS: dict[str, Sector] = {
    'relu': Sector(0.0, 1.0, 'turning', None, _jumps(0.0)),
    'abs': Sector(-1.0, 1.0, 'turning', (0.0, 0.0), ((0.0, -1.0), (0.0, 1.0))),
    # Extremes of σ(x) (1 + x (1 − σ(x))), https://arxiv.org/abs/1710.05941
    'silu': Sector(
        -0.09984,
        1.09984,
        'turning',
        (-1.2785, -0.27847),
        ((-2.399357, -0.09984), (2.399357, 1.09984)),
    ),
    # https://arxiv.org/abs/1908.08681
    'mish': Sector(
        -0.11253,
        1.0885,
        'turning',
        (-1.1924, -0.30885),
        ((-2.256376, -0.11253), (1.490572, 1.0885)),
    ),
    # x (x + 3) / 6 on [−3, 3], https://arxiv.org/abs/1905.02244
    'hardswish': Sector(
        -0.5, 1.5, 'turning', (-1.5, -0.375), ((-3.0, -0.5), (-3.0, 0.0), (3.0, 1.5), (3.0, 1.0))
    ),
    'tanh': Sector(0.0, 1.0, 'turning', None, ((0.0, 1.0),)),
    'sigmoid': Sector(0.0, 0.25, 'turning', None, ((0.0, 0.25),)),
    'softsign': Sector(0.0, 1.0, 'turning', None, ((0.0, 1.0),)),
    'asinh': Sector(0.0, 1.0, 'turning', None, ((0.0, 1.0),)),
    'atan': Sector(0.0, 1.0, 'turning', None, ((0.0, 1.0),)),
    # scale and scale · alpha = 1.0507 · 1.6733, https://arxiv.org/abs/1706.02515
    'selu': Sector(0.0, _SELU_SLOPES[1], 'turning', None, tuple((0.0, s) for s in _SELU_SLOPES)),
    'logsigmoid': Sector(0.0, 1.0, 'turning'),
    'log_sigmoid': Sector(0.0, 1.0, 'turning'),
    'relu6': Sector(0.0, 1.0, 'turning', None, _jumps(0.0, 6.0)),
    'hardsigmoid': Sector(0.0, 1 / 6 + 1e-9, 'turning', None, _jumps(-3.0, 3.0, top=1 / 6 + 1e-9)),
    'sin': Sector(-1.0, 1.0),
    'cos': Sector(-1.0, 1.0),
}
"""Activations without parameters."""

PARAMETERS: dict[str, dict[str, float | str | None]] = {
    'gelu': {'approximate': 'none'},
    'leaky_relu': {'negative_slope': 0.01},
    'elu': {'alpha': 1.0},
    'celu': {'alpha': 1.0},
    'softplus': {'beta': 1.0, 'threshold': 20.0},
    'hardtanh': {'min_val': -1.0, 'max_val': 1.0},
    'clamp': {'min': None, 'max': None},
    'clamp_min': {'min': None},
    'clamp_max': {'max': None},
}
"""Parameters that change the slopes of an activation, in the order of its arguments."""

_MODULES: dict[type[nn.Module], str] = {
    nn.ReLU: 'relu', nn.LeakyReLU: 'leaky_relu', nn.GELU: 'gelu', nn.SiLU: 'silu', nn.Mish: 'mish',
    nn.Hardswish: 'hardswish', nn.Tanh: 'tanh', nn.Sigmoid: 'sigmoid', nn.Softsign: 'softsign',
    nn.Softplus: 'softplus', nn.ELU: 'elu', nn.CELU: 'celu', nn.SELU: 'selu', nn.ReLU6: 'relu6',
    nn.LogSigmoid: 'logsigmoid', nn.Hardtanh: 'hardtanh', nn.Hardsigmoid: 'hardsigmoid',
}  # fmt: skip


def activation_sector(name: str, settings: Mapping[str, object]) -> Sector | None:
    """Return the sector of an activation.

    Args:
        name: Name of the function, as in `torch.nn.functional`.
        settings: Parameters by name, see `PARAMETERS`; the default of torch where one is missing.

    Returns:
        Sector; `None` if the activation is not in the table.

    Raises:
        LipfaultError: If a parameter is outside the domain in which the slopes are bounded.

    Example:
        >>> activation_sector('leaky_relu', {'negative_slope': 0.2}).low
        0.2
    """
    if name not in PARAMETERS:
        return SECTORS.get(name)
    given = {k: settings.get(k, default) for k, default in PARAMETERS[name].items()}
    if name == 'gelu':
        if given['approximate'] not in ('none', 'tanh'):
            raise LipfaultError(f'gelu with approximate={given["approximate"]!r} has no rule')
        return _GELU if given['approximate'] == 'none' else _GELU_TANH
    if name.startswith('clamp') or name == 'hardtanh':
        return _clamp_sector(list(given.values()))
    return _parametrized_sector(name, {k: _finite(name, k, v) for k, v in given.items()})


def _parametrized_sector(name: str, given: Mapping[str, float]) -> Sector:
    """Return the sector of an activation with numbers as parameters."""
    if name == 'leaky_relu':
        slope = given['negative_slope']
        turns = ((0.0, slope), (0.0, 1.0))
        return Sector(min(slope, 1.0), max(slope, 1.0), 'turning', None, turns)
    if name == 'softplus':
        # At the threshold the function jumps by less than exp(−threshold) / beta.
        if given['beta'] <= 0 or given['threshold'] < 20:
            raise LipfaultError(
                f'softplus with beta={given["beta"]:g} and threshold={given["threshold"]:g} has no '
                'bound: beta must be positive and threshold at least 20, or the function jumps'
            )
        return Sector(0.0, 1.0, 'turning', None, ((given['threshold'] / given['beta'], 1.0),))
    alpha = given['alpha']
    if name == 'elu':
        turns = ((0.0, alpha), (0.0, 1.0))
        return Sector(min(alpha, 0.0), max(alpha, 1.0), 'turning', None, turns)
    if alpha <= 0:
        raise LipfaultError(f'celu with alpha={alpha:g} has no bound: alpha must be positive')
    return Sector(0.0, 1.0, 'turning', None, ((0.0, 1.0),))


def _clamp_sector(ends: list[object]) -> Sector:
    """Return the sector of a clamp, whose derivative jumps at its ends."""
    if any(isinstance(end, Tensor) for end in ends):
        return Sector(0.0, 1.0)
    finite = [float(e) for e in ends if e is not None and math.isfinite(float(e))]  # type: ignore[arg-type]
    return Sector(0.0, 1.0, 'turning', None, _jumps(*finite))


def _finite(name: str, parameter: str, value: object) -> float:
    number = float(value)  # type: ignore[arg-type]
    if not math.isfinite(number):
        raise LipfaultError(f'{name} with {parameter}={number} has no bound')
    return number


def module_sector(layer: nn.Module) -> Sector | None:
    """Return the sector of an activation module of torch, its parameters included.

    Args:
        layer: Any module; one of a class derived from an activation counts as unknown.

    Returns:
        Sector, or `None` if the module is no elementwise activation of the table.

    Raises:
        LipfaultError: If a parameter is outside the domain in which the slopes are bounded.

    Example:
        >>> module_sector(nn.ELU(alpha=3.0)).high
        3.0
    """
    name = _MODULES.get(type(layer))
    if name is None:
        return None
    return activation_sector(name, {k: getattr(layer, k) for k in PARAMETERS.get(name, ())})


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
    if sector.kind == 'other':
        return torch.full_like(low, sector.low), torch.full_like(low, sector.high)
    ends = torch.stack([_derivative(function, low), _derivative(function, high)])
    least, most = ends.amin(dim=0), ends.amax(dim=0)
    for argument, slope in sector.turns:
        # 1e-5 covers the rounding of the tabulated argument.
        inside = (low <= argument + 1e-5) & (argument - 1e-5 <= high)
        turn = torch.full_like(low, slope)
        least = torch.where(inside, torch.minimum(least, turn), least)
        most = torch.where(inside, torch.maximum(most, turn), most)
    return least, most


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
