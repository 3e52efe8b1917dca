"""Spectral norms of layers, each with the word for what it is: estimate, exact or certificate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.certificates import certify_layer
from lipfault.lipschitz.norms.exact import exact_triplet, require_finite
from lipfault.lipschitz.norms.krylov import lanczos, start_vector
from lipfault.lipschitz.norms.operators import linear_operator

Kind = Literal['estimate', 'exact', 'certificate']


@dataclass(frozen=True)
class Norm:
    """A spectral norm and which way it errs.

    Args:
        value: The number.
        kind: `estimate` (from below), `exact` (to about 1e-7 relative) or `certificate` (from
            above).
    """

    value: float
    kind: Kind


def estimate_norm(
    layer: nn.Module,
    size: Sequence[int] | None = None,
    steps: int = 60,
    tolerance: float = 2e-4,
) -> Norm:
    """Spectral norm of a dense or convolutional layer, estimated from below.

    Golub-Kahan-Lanczos on the true operator.

    Args:
        layer: `nn.Linear`, `nn.Conv1d..3d` or `nn.ConvTranspose1d..3d`.
        size: Spatial input size; a dense layer needs none.
        steps: Most products with the operator.
        tolerance: Relative growth over the last steps to stop at.

    Raises:
        LipfaultError: If the weight is empty, NaN or Inf, or the layer is of another type.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> _ = layer.weight.data.copy_(torch.diag(torch.tensor([3.0, -4.0])))
        >>> round(estimate_norm(layer).value, 3)
        4.0
    """
    with torch.no_grad():
        operator = linear_operator(layer, size)
        weight = operator.weight
        require_finite(weight)
        if weight.dtype != torch.float64:
            weight = weight.float()
        largest = float(weight.abs().max())
        if largest == 0:
            return Norm(0.0, 'estimate')
        operator = linear_operator(layer, size, weight / largest)
        start = start_vector(operator.in_shape, operator.weight)
        triplet = lanczos(operator.apply, operator.adjoint, start, steps, tolerance)
    return Norm(largest * float(triplet.sigma), 'estimate')


def exact_norm(layer: nn.Module, size: Sequence[int] | None = None) -> Norm:
    """Spectral norm of a dense or convolutional layer in float64, see `exact_triplet`.

    Raises:
        LipfaultError: If the weight is empty, NaN or Inf, or the layer is of another type.
    """
    with torch.no_grad():
        return Norm(float(exact_triplet(linear_operator(layer, size).double()).sigma), 'exact')


def certified_norm(layer: nn.Module, size: Sequence[int] | None = None) -> Norm:
    """Spectral norm of a dense or convolutional layer from above, see `certify_layer`."""
    return Norm(certify_layer(layer, size), 'certificate')


def column_norms(weight: Tensor, supports: dict[str, slice]) -> dict[str, float]:
    """‖W P_S‖₂ for supports S of the input, exact: the Lipschitz criterion per modality.

    Args:
        weight: (outputs, inputs).
        supports: Columns of each support.

    Raises:
        LipfaultError: If a support is empty or lies outside.
    """
    found = {}
    for name, columns in supports.items():
        part = weight.detach()[:, columns].double()
        if part.shape[1] == 0:
            raise LipfaultError(
                f'support {name!r}: selects no column of a weight of shape {tuple(weight.shape)}'
            )
        require_finite(part)
        found[name] = float(torch.linalg.matrix_norm(part, 2))
    return found


def estimate_norms(
    weights: Tensor, start: Tensor | None = None, steps: int = 60, tolerance: float = 2e-4
) -> tuple[Tensor, Tensor]:
    """Spectral norms of a stack of matrices at once, estimated from below.

    Args:
        weights: (layer, rows, columns), float32 or float64.
        start: (layer, columns) right singular vectors of an earlier call, to start warm.
        steps: Most products with the matrices.
        tolerance: Relative growth over the last steps to stop at.

    Returns:
        Norms (layer,) and right singular vectors (layer, columns) for the next call.

    Raises:
        LipfaultError: If the weights are empty, or hold NaN or Inf.

    Example:
        >>> estimate_norms(torch.tensor([[[2.0]], [[-3.0]]]))[0]
        tensor([2., 3.])
    """
    if weights.numel() == 0:
        raise LipfaultError(f'weights of shape {tuple(weights.shape)} are empty and have no norm')
    require_finite(weights)
    with torch.no_grad():
        if start is None:
            start = start_vector(weights.shape[2:], weights).expand(len(weights), -1)
        triplet = lanczos(
            lambda x: torch.einsum('bpn,bn->bp', weights, x),
            lambda y: torch.einsum('bpn,bp->bn', weights, y),
            start,
            steps,
            tolerance,
        )
    return triplet.sigma, triplet.right


def frobenius_norm(weight: Tensor) -> float:
    """Frobenius norm in float64, exact: never below the spectral norm."""
    return math.sqrt(float(weight.detach().double().square().sum()))
