"""A bound of dense networks far below the product of norms: LipSDP multipliers by gradient descent.

Every choice of multipliers gives a valid bound, so the descent need not converge: the best is
kept, and computed once more in float64.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.certificates import certify_matrix
from lipfault.lipschitz.propagation.rules_pointwise import MULTIPLIER_FACTOR, optimal_multiplier
from lipfault.lipschitz.propagation.sectors import Sector, activation_sector


class LipSDPBound(NamedTuple):
    """Two certificates of one network.

    Args:
        bound: The tighter one.
        product: Product of spectral norms and activation slopes.
    """

    bound: float
    product: float


def lipsdp_bound(net: nn.Sequential, steps: int = 40, rate: float = 0.03) -> LipSDPBound:
    """Lipschitz constant from above of dense layers with activations between them.

    Fazlyab et al. 2019 (LipSDP-Neuron), in the layer by layer form of Xu & Sivaranjani 2024, with
    one multiplier per hidden unit found by Adam.

    Args:
        net: Dense layers and elementwise activations in turn, starting and ending dense.
        steps: Descent steps; 0 keeps one multiplier per layer.
        rate: Of Adam, on the logarithms of the multipliers.

    Raises:
        LipfaultError: If the network has another form or a weight is NaN or Inf.
    """
    weights, sectors = _chain(net)
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
        best = min(best, math.sqrt(float(squared.detach())) * (1 + 1e-7))
        torch.log(squared).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return LipSDPBound(best, product)


def _chain(net: nn.Sequential) -> tuple[list[Tensor], list[Sector]]:
    weights, sectors = [], []
    for index, layer in enumerate(net):
        if index % 2 == 0 and isinstance(layer, nn.Linear):
            weights.append(layer.weight.detach().double())
            continue
        settings = {'approximate': layer.approximate} if isinstance(layer, nn.GELU) else {}
        sector = activation_sector(type(layer).__name__.lower(), settings)
        if index % 2 == 0 or sector is None:
            raise LipfaultError(
                f'lipsdp_bound: layer {index} is {layer}; it takes dense layers and activations in turn'
            )
        sectors.append(sector)
    if len(weights) != len(sectors) + 1:
        raise LipfaultError('lipsdp_bound: the network must end with a dense layer')
    return weights, sectors


def _squared_bound(
    weights: list[Tensor], sectors: list[Sector], logs: list[Tensor]
) -> Tensor | None:
    """Largest eigenvalue of the last ellipsoid; `None` where the multipliers are not feasible."""
    ellipsoid = weights[0] @ weights[0].T
    for weight, sector, log in zip(weights[1:], sectors, logs, strict=True):
        m2, p = ((sector.low + sector.high) / 2) ** 2, sector.low * sector.high
        top = torch.linalg.eigvalsh(ellipsoid.detach())[-1].clamp_min(1e-300)
        multiplier = optimal_multiplier(m2, p) * MULTIPLIER_FACTOR / top * torch.exp(log)
        eye = torch.eye(len(ellipsoid), dtype=ellipsoid.dtype, device=ellipsoid.device)
        root, failed = torch.linalg.cholesky_ex(ellipsoid + 1e-9 * top * eye)
        inner, failed_inner = torch.linalg.cholesky_ex(eye + p * (root.T * multiplier) @ root)
        pushed = torch.linalg.solve_triangular(inner, root.T * multiplier, upper=False)
        form = torch.diag(multiplier) - m2 * pushed.T @ pushed
        factor, failed_form = torch.linalg.cholesky_ex(form)
        if int(failed) or int(failed_inner) or int(failed_form):
            return None
        through = torch.linalg.solve_triangular(factor, weight.T, upper=False)
        ellipsoid = through.T @ through
    largest: Tensor = torch.linalg.eigvalsh(ellipsoid)[-1]
    return largest
