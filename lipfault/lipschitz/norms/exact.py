"""Largest singular value of an operator to working precision, with its singular vectors."""

import torch
from torch import Tensor

from lipfault.lipschitz.norms.krylov import SingularTriplet, lanczos, start_vector
from lipfault.lipschitz.norms.operators import DenseOperator, LinearOperator, require_finite

DENSE_LIMIT = 768
"""Up to this smaller side a dense matrix is solved by its Gram matrix in float64."""

LANCZOS_TOLERANCE = 1e-9
"""Relative growth over the last 8 steps at which Lanczos in float64 stops."""


def exact_triplet(operator: LinearOperator) -> SingularTriplet:
    """Compute σ_max and its singular vectors in float64, to a relative error near 1e-7.

    Small dense matrices: eigenvalues of the Gram matrix. Everything else: Lanczos in float64
    until the estimate grows by less than `LANCZOS_TOLERANCE`, so the error is from below. A pure
    function of the weight: the same bits whenever it is called.

    Args:
        operator: Operator with a float64 weight, see `LinearOperator.double`.

    Returns:
        Triplet of batch size 1, float64.

    Raises:
        LipfaultError: If the weight holds NaN or Inf.

    Reference:
        Golub & Kahan 1965, https://doi.org/10.1137/0702016
    """
    with torch.no_grad():
        require_finite(operator.weight)
        if isinstance(operator, DenseOperator) and min(operator.weight.shape) <= DENSE_LIMIT:
            return _dense_triplet(operator.weight)
        start = start_vector(operator.in_shape, operator.weight)
        return lanczos(
            operator.apply, operator.adjoint, start, steps=400, tolerance=LANCZOS_TOLERANCE
        )


def _dense_triplet(weight: Tensor) -> SingularTriplet:
    tall = weight.shape[0] >= weight.shape[1]
    # The smaller of the two Gram matrices. Squaring costs small singular values half of their
    # digits, the largest one keeps them.
    gram = weight.T @ weight if tall else weight @ weight.T
    vector = torch.linalg.eigh(gram).eigenvectors[:, -1]
    other = weight @ vector if tall else vector @ weight
    sigma = torch.linalg.vector_norm(other)
    other = other / sigma.clamp_min(torch.finfo(other.dtype).tiny)
    left, right = (other, vector) if tall else (vector, other)
    return SingularTriplet(sigma[None], left[None], right[None])
