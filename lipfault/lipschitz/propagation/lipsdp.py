"""LipSDP bound of dense networks, far below the product of norms, by gradient descent.

Every feasible choice of multipliers certifies a bound, so the descent need not converge: the
smallest bound found in float64 is returned.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.certificates import certify_matrix
from lipfault.lipschitz.norms.operators import require_finite, require_own_norm
from lipfault.lipschitz.propagation.rules_pointwise import MULTIPLIER_FACTOR, optimal_multiplier
from lipfault.lipschitz.propagation.sectors import Sector, module_sector


class LipSDPBound(NamedTuple):
    """Two certified upper bounds of the Lipschitz constant of one network.

    Args:
        bound: LipSDP bound, at most `product`.
        product: Product of spectral norms and largest activation slopes.
    """

    bound: float
    product: float


def lipsdp_bound(net: nn.Sequential, steps: int = 40, rate: float = 0.03) -> LipSDPBound:
    """Certify the Lipschitz constant of a dense network from above by LipSDP-Neuron.

    The semidefinite program has one multiplier per hidden unit. Its layer-by-layer form is
    minimized over the logarithms of the multipliers by Adam, without an SDP solver.

    Args:
        net: Dense layers and elementwise activations in turn, starting and ending with a dense
            layer.
        steps: Descent steps; 0 keeps one multiplier per layer.
        rate: Learning rate of Adam on the logarithms of the multipliers.

    Returns:
        Both bounds, output units per input unit; they hold for every pair of inputs.

    Raises:
        LipfaultError: If the network has another form or a weight is NaN or Inf.

    Reference:
        LipSDP: Fazlyab et al. 2019, https://arxiv.org/abs/1906.04893;
        layer-by-layer form: Xu & Sivaranjani 2024 (ECLipsE), https://arxiv.org/abs/2404.04375

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2))
        >>> for layer in (net[0], net[2]):
        ...     _ = nn.init.eye_(layer.weight)
        >>> round(lipsdp_bound(net).bound, 3)
        1.0
    """
    weights, sectors = _layers(net)
    product = math.prod(map(certify_matrix, weights)) * math.prod(s.gain for s in sectors)
    logs = [w.new_zeros(len(w)).requires_grad_() for w in weights[:-1]]
    if not logs:
        return LipSDPBound(product, product)
    optimizer, best = torch.optim.Adam(logs, lr=rate), product
    for _ in range(steps + 1):
        optimizer.zero_grad()
        with torch.enable_grad():
            squared = _squared_bound(weights, sectors, logs)
        if squared is None:
            break
        # 1e-7: far above the rounding of eigenvalues in float64.
        best = min(best, math.sqrt(float(squared.detach())) * (1 + 1e-7))
        torch.log(squared).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return LipSDPBound(best, product)


def _layers(net: nn.Sequential) -> tuple[list[Tensor], list[Sector]]:
    """Split a network into weights in float64 and sectors of the activations between them."""
    weights, sectors = [], []
    for index, layer in enumerate(net):
        if index % 2 == 0 and isinstance(layer, nn.Linear):
            require_own_norm(layer)
            require_finite(layer.weight)
            weights.append(layer.weight.detach().double())
            continue
        sector = module_sector(layer)
        if index % 2 == 0 or sector is None:
            raise LipfaultError(
                f'lipsdp_bound: layer {index} is {layer}; '
                'the network must have dense layers and activations in turn'
            )
        sectors.append(sector)
    if len(weights) != len(sectors) + 1:
        raise LipfaultError('lipsdp_bound: the network must end with a dense layer')
    return weights, sectors


def _squared_bound(
    weights: list[Tensor], sectors: list[Sector], logs: list[Tensor]
) -> Tensor | None:
    """Return the largest eigenvalue of the last ellipsoid, `None` for infeasible multipliers.

    Each layer maps the shape matrix P by the S-procedure for slopes in [α, β]:
    P' = W (Λ − m² Λ (P⁻¹ + pΛ)⁻¹ Λ)⁻¹ Wᵀ with m = (α + β)/2 and p = αβ, feasible while the
    matrix in brackets is positive definite.
    """
    ellipsoid = weights[0] @ weights[0].T
    for weight, sector, log in zip(weights[1:], sectors, logs, strict=True):
        m2, p = ((sector.low + sector.high) / 2) ** 2, sector.low * sector.high
        top = torch.linalg.eigvalsh(ellipsoid.detach())[-1].clamp_min(1e-300)
        # exp(log) keeps multipliers positive; the start is the optimum for a single multiplier.
        multiplier = optimal_multiplier(m2, p) * MULTIPLIER_FACTOR / top * torch.exp(log)
        eye = torch.eye(len(ellipsoid), dtype=ellipsoid.dtype, device=ellipsoid.device)
        # P may be singular; enlarging it by 1e-9 keeps the bound valid and its root defined.
        root, failed = torch.linalg.cholesky_ex(ellipsoid + 1e-9 * top * eye)
        # With P = R Rᵀ, (P⁻¹ + pΛ)⁻¹ = R (I + p Rᵀ Λ R)⁻¹ Rᵀ avoids the inverse of P.
        inner, failed_inner = torch.linalg.cholesky_ex(eye + p * (root.T * multiplier) @ root)
        solved = torch.linalg.solve_triangular(inner, root.T * multiplier, upper=False)
        form = torch.diag(multiplier) - m2 * solved.T @ solved
        factor, failed_form = torch.linalg.cholesky_ex(form)
        if int(failed) or int(failed_inner) or int(failed_form):
            return None
        mapped = torch.linalg.solve_triangular(factor, weight.T, upper=False)
        ellipsoid = mapped.T @ mapped
    largest: Tensor = torch.linalg.eigvalsh(ellipsoid)[-1]
    return largest
