"""σ_max of an operator to working precision, with its singular vectors."""

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.krylov import SingularTriplet, lanczos, start_vector
from lipfault.lipschitz.norms.operators import DenseOperator, LinearOperator

DENSE_LIMIT = 768
"""Up to this smaller side a dense matrix is solved by its Gram matrix in float64."""

LANCZOS_TOLERANCE = 1e-9
"""Relative growth over the last 8 steps at which Lanczos in float64 stops."""


def exact_triplet(operator: LinearOperator) -> SingularTriplet:
    """σ_max and its vectors in float64, to a relative error near 1e-7.

    Small dense matrices by the eigenvalues of the Gram matrix, everything else by Lanczos in
    float64 until it grows by less than `LANCZOS_TOLERANCE`. A pure function of the weight: the same bits
    whenever it is called.

    Args:
        operator: Operator with a float64 weight, see `double`.

    Raises:
        LipfaultError: If the weight holds NaN or Inf.
    """
    with torch.no_grad():
        require_finite(operator.weight)
        if isinstance(operator, DenseOperator) and min(operator.weight.shape) <= DENSE_LIMIT:
            return _dense(operator.weight)
        start = start_vector(operator.in_shape, operator.weight)
        return lanczos(
            operator.apply, operator.adjoint, start, steps=400, tolerance=LANCZOS_TOLERANCE
        )


def require_finite(weight: Tensor) -> None:
    """Raise a LipfaultError that counts the NaN and Inf entries of a weight, if there are any."""
    broken = int((~weight.isfinite()).sum())
    if broken:
        raise LipfaultError(
            f'weight of shape {tuple(weight.shape)} has no norm: {broken} entries are NaN or Inf'
        )


def _dense(weight: Tensor) -> SingularTriplet:
    tall = weight.shape[0] >= weight.shape[1]
    gram = weight.T @ weight if tall else weight @ weight.T
    vector = torch.linalg.eigh(gram).eigenvectors[:, -1]
    other = weight @ vector if tall else vector @ weight
    sigma = torch.linalg.vector_norm(other)
    other = other / sigma.clamp_min(torch.finfo(other.dtype).tiny)
    left, right = (other, vector) if tall else (vector, other)
    return SingularTriplet(sigma[None], left[None], right[None])
