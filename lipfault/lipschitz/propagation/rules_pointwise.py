"""Propagation rules of elementwise activations."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.lipschitz.propagation.bounded_tensor import (
    BoundedTensor,
    Function,
    Sensitivity,
    largest_semiaxis,
    rule,
)
from lipfault.lipschitz.propagation.sectors import (
    PARAMETERS,
    SECTORS,
    Sector,
    activation_sector,
    interval_image,
    slope_bounds,
)

MULTIPLIER_FACTOR = 1.2
"""Factor on the optimal multiplier of the largest eigenvalue.

Measured: on trained detectors and correctors the bound falls from 0.73 of the product of norms
and slopes to below 0.7.
"""

_ALIASES = {'arcsinh': 'asinh', 'absolute': 'abs', 'relu_': 'relu', 'clip': 'clamp'}


@rule(*SECTORS, *PARAMETERS, *_ALIASES, single_operand=True)
def _activation(func: Function, operand: BoundedTensor, *args: Any, **kwargs: Any) -> BoundedTensor:  # noqa: ANN401
    """Bound by the slopes of the activation's sector, or on the interval where one is known."""
    name = _ALIASES.get(func.__name__, func.__name__)
    settings = _settings(name, args, kwargs)
    sector = activation_sector(name, settings)
    if sector is None:
        raise LipfaultError(f'activation {name!r} has no rule')
    if func.__name__ == 'relu_':
        func = torch.relu
    applied = elementwise(operand, lambda x: func(x, **settings), sector)
    if name == 'abs':
        applied.tags = {'magnitude of': operand}
    # Functions of |x| that vanish at 0, for sign(x) f(|x|).
    elif name in ('asinh', 'softsign', 'tanh') and 'magnitude of' in operand.tags:
        applied.tags = dict(operand.tags)
    # √max(y, ε) = max(√y, √ε) changes no more than √y.
    elif name in ('clamp_min', 'relu') and 'root sensitivity' in operand.tags:
        applied.tags = {'root sensitivity': operand.tags['root sensitivity']}
    return applied


def _settings(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Name the parameters of an activation, and refuse those that its sector does not know."""
    names = (*PARAMETERS.get(name, ()), 'inplace')
    if len(args) > len(names):
        raise LipfaultError(f'{name} with {len(args)} positional parameters has no rule')
    settings = dict(zip(names, args, strict=False)) | kwargs
    settings.pop('inplace', None)
    unknown = sorted(set(settings) - set(names))
    if unknown:
        raise LipfaultError(f'{name} with the parameter {unknown[0]!r} has no rule')
    return settings


@rule('prelu', single_operand=True)
def _prelu(func: Function, operand: BoundedTensor, weight: Tensor) -> BoundedTensor:
    """Bound as LeakyReLU, by the extremes of the slopes over the channels."""
    weight = weight.detach().double()
    slopes = [float(weight.min()), float(weight.max())]
    turns = tuple((0.0, slope) for slope in (*slopes, 1.0))
    sector = Sector(min(slopes[0], 1.0), max(slopes[1], 1.0), 'turning', None, turns)
    return elementwise(operand, lambda x: func(x, weight), sector)


def elementwise(
    operand: BoundedTensor, function: Callable[[Tensor], Tensor], sector: Sector
) -> BoundedTensor:
    """Propagate through an elementwise function with slopes in a sector.

    Args:
        operand: Operand of the function.
        function: Elementwise function, float64 to float64.
        sector: Slopes that hold everywhere, or on the operand's interval.

    Returns:
        Result, with local slopes where the operand has an interval.

    Reference:
        Slopes on intervals of pre-activations: Zhang et al. 2019 (RecurJac),
        https://arxiv.org/abs/1810.11783
    """
    shape = function(torch.zeros(operand.shape, dtype=torch.float64)).shape
    if shape != operand.shape:
        raise LipfaultError(
            f'a parameter broadcasts an elementwise function from {tuple(operand.shape)} to '
            f'{tuple(shape)}; expand the operand first'
        )
    low, high = operand.low, operand.high
    if low is None or high is None:
        slopes = torch.tensor(sector.low).double(), torch.tensor(sector.high).double()
        sensitivity = _after_activation(operand.sensitivity, *slopes)
        return BoundedTensor.build(operand.shape, None, None, sensitivity)
    # An entry that cannot change passes no change on, whatever the slope at its value.
    varies = high > low
    local = [torch.where(varies, s, 0.0) for s in slope_bounds(sector, function, low, high)]
    ends = interval_image(sector, function, low, high)
    sensitivity = _after_activation(operand.sensitivity, *local)
    return BoundedTensor.build(operand.shape, *ends, sensitivity)


def _after_activation(before: Sensitivity, low: Tensor, high: Tensor) -> Sensitivity:
    """Bound the change after slopes in [low, high], scalars or one pair per entry."""
    steepest = torch.maximum(low.abs(), high.abs())
    top = float(steepest.max())
    after = before.scaled_gains(top)
    if top == 0:
        return after
    # Factor each entry into its largest slope times an activation with slopes within [−1, 1].
    unit = steepest.clamp_min(1e-12 * top)
    least, most = float((low / unit).min()), float((high / unit).max())
    for source, ellipsoid in before.ellipsoids.items():
        mapped = _ellipsoid_after_sector(ellipsoid, least, most)
        if mapped is None:
            continue
        if steepest.ndim:
            row = unit.reshape(-1)
            mapped = mapped * row[:, None] * row
        else:
            mapped = mapped * unit**2
        after.ellipsoids[source] = mapped
        after.gains[source] = min(after.gains[source], largest_semiaxis(mapped))
    return after


def _ellipsoid_after_sector(ellipsoid: Tensor, low: float, high: float) -> Tensor | None:
    """Bound the ellipsoid after slopes in [low, high] with max(|low|, |high|) = 1.

    The S-procedure with a multiplier λI gives P' = (λI − m²λ² (P⁻¹ + pλI)⁻¹)⁻¹ with
    m = (low + high)/2, p = low·high: a function of P's eigenvalues, valid for every λ that leaves
    it positive definite. The λ of ECLipsE-Fast, there for low = 0, minimizes the largest
    eigenvalue of P'. `MULTIPLIER_FACTOR` times that λ shrinks all other eigenvalues and raises
    the largest one slightly. `None`, which leaves the gain alone, where no multiplier is feasible
    (slopes in [−1, 1], say, where the ellipsoid is a ball) or the eigenvalues do not converge.

    Reference:
        Fazlyab et al. 2019, https://arxiv.org/abs/1906.04893;
        Xu & Sivaranjani 2024 (ECLipsE-Fast), https://arxiv.org/abs/2404.04375
    """
    try:
        values, vectors = torch.linalg.eigh(ellipsoid)
    except RuntimeError:
        return None
    # Eigenvalues that rounding made negative are zero; the others are raised by it.
    values = values.clamp_min(0) * (1 + 1e-12)
    top = float(values[-1])
    if top <= 0:
        return ellipsoid
    m2, p = ((low + high) / 2) ** 2, low * high
    # For p > 0 (slopes of one sign) a larger multiplier can be infeasible.
    for factor in (MULTIPLIER_FACTOR, 1.0) if p <= 0 else (1.0,):
        weight = optimal_multiplier(m2, p) / top * factor
        inner = 1 + p * weight * values
        inverse = weight - m2 * weight**2 * values / inner
        if bool((inverse > 0).all() & (inner > 0).all()):
            mapped: Tensor = (vectors / inverse) @ vectors.T
            return mapped if bool(mapped.isfinite().all()) else None
    return None


def optimal_multiplier(m2: float, p: float) -> float:
    """Return the t > 0 that maximizes t − m²t²/(1 + pt) while 1 + pt > 0.

    With λ = t / λ_max(P) this minimizes the largest eigenvalue after an activation.

    Args:
        m2: m², squared center of the slopes.
        p: Product of the smallest and the largest slope.

    Returns:
        Optimal multiplier for a largest eigenvalue of 1.

    Reference:
        Xu & Sivaranjani 2024 (ECLipsE-Fast), https://arxiv.org/abs/2404.04375

    Example:
        >>> optimal_multiplier(0.25, 0.0)
        2.0
    """
    # Zeros of the derivative: (p² − m²p) t² + (2p − 2m²) t + 1 = 0.
    a, b = p * p - m2 * p, 2 * p - 2 * m2
    if abs(a) < 1e-12:
        return -1 / b if b else 1.0
    root = max(0.0, b * b - 4 * a) ** 0.5
    candidates = [(-b - root) / (2 * a), (-b + root) / (2 * a)]
    valid = [t for t in candidates if t > 0 and 1 + p * t > 0]
    return max(valid, key=lambda t: t - m2 * t * t / (1 + p * t), default=1.0)
