"""Spectral norms of layers, each labelled as an estimate, an exact value or a certificate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.certificates import certify_layer
from lipfault.lipschitz.norms.exact import exact_triplet
from lipfault.lipschitz.norms.krylov import lanczos, start_vector
from lipfault.lipschitz.norms.operators import linear_operator, require_finite, require_own_norm

Kind = Literal['estimate', 'exact', 'certificate']


@dataclass(frozen=True)
class Norm:
    """Spectral norm of a layer and the side on which it errs.

    Args:
        value: Norm, output units per input unit.
        kind: `estimate` (from below), `exact` (relative error about 1e-7) or `certificate` (from
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
    """Estimate the spectral norm of a dense or convolutional layer from below.

    Golub-Kahan-Lanczos bidiagonalization of the layer's operator, true padding and stride included.

    Args:
        layer: `nn.Linear`, `nn.Conv1d..3d` or `nn.ConvTranspose1d..3d`.
        size: Spatial input size; a dense layer needs none.
        steps: Maximum number of products with the operator.
        tolerance: Relative growth over the last steps at which to stop.

    Returns:
        Norm of kind `estimate`.

    Raises:
        LipfaultError: If the weight is empty, NaN or Inf, or the layer is of another type
            or has a forward pass of its own.

    Reference:
        Golub & Kahan 1965, https://doi.org/10.1137/0702016

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> _ = layer.weight.data.copy_(torch.diag(torch.tensor([3.0, -4.0])))
        >>> round(estimate_norm(layer).value, 3)
        4.0
    """
    require_own_norm(layer)
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
    """Compute the spectral norm of a dense or convolutional layer in float64.

    Args:
        layer: `nn.Linear`, `nn.Conv1d..3d` or `nn.ConvTranspose1d..3d`.
        size: Spatial input size; a dense layer needs none.

    Returns:
        Norm of kind `exact`, relative error about 1e-7, see `exact_triplet`.

    Raises:
        LipfaultError: If the weight is empty, NaN or Inf, or the layer is of another type
            or has a forward pass of its own.
    """
    require_own_norm(layer)
    with torch.no_grad():
        return Norm(float(exact_triplet(linear_operator(layer, size).double()).sigma), 'exact')


def certified_norm(layer: nn.Module, size: Sequence[int] | None = None) -> Norm:
    """Certify the spectral norm of a dense or convolutional layer from above.

    Args:
        layer: `nn.Linear`, `nn.Conv1d..3d` or `nn.ConvTranspose1d..3d`.
        size: Spatial input size; without it the bound of a convolution holds for every size.

    Returns:
        Norm of kind `certificate`: dense at most 0.01 % too large, convolutions at most a few
        per cent.

    Raises:
        LipfaultError: If the weight holds NaN or Inf, the layer is of another type, or the size is
            missing where padding repeats values.

    Reference:
        Sedghi et al. 2019, https://arxiv.org/abs/1805.10408;
        Delattre et al. 2024, https://arxiv.org/abs/2402.00240; see `certify_layer`
    """
    return Norm(certify_layer(layer, size), 'certificate')


def column_norms(weight: Tensor, supports: dict[str, slice]) -> dict[str, float]:
    """Compute ‖W P_S‖₂, the spectral norm of the columns of each support S, exactly.

    Times the largest slope of the activation this is the Lipschitz criterion of a modality
    (docs/theory.md, section 2).

    Args:
        weight: (outputs, inputs).
        supports: Columns of each support, by name of the modality.

    Returns:
        Norm by name, computed by an SVD in float64.

    Raises:
        LipfaultError: If a support selects no column, or the weight holds NaN or Inf.
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
    """Estimate the spectral norms of a stack of matrices from below, in one batch.

    Args:
        weights: (layer, rows, columns), float32 or float64.
        start: Right singular vectors of an earlier call for a warm start, (layer, columns).
        steps: Maximum number of products with the matrices.
        tolerance: Relative growth over the last steps at which to stop.

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
    """Compute the Frobenius norm in float64: an upper bound of the spectral norm.

    Args:
        weight: Any shape.

    Returns:
        √Σ w².
    """
    return math.sqrt(float(weight.detach().double().square().sum()))
