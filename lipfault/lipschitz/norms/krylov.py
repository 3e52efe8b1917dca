"""Power iteration and Golub-Kahan-Lanczos bidiagonalization for the largest singular value.

Both need products with an operator and its adjoint only, and both estimate σ_max from below.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

LinearMap = Callable[[Tensor], Tensor]


class SingularTriplet(NamedTuple):
    """Largest singular value of a batch of operators, with its singular vectors.

    Args:
        sigma: σ_max, (batch,).
        left: Unit left singular vectors, (batch, *out_shape).
        right: Unit right singular vectors, (batch, *in_shape).
    """

    sigma: Tensor
    left: Tensor
    right: Tensor


def start_vector(shape: tuple[int, ...], like: Tensor, seed: int = 0) -> Tensor:
    """Draw a unit vector that depends on the seed only, equal on every rank and device.

    Args:
        shape: Shape without batch axis.
        like: Tensor whose dtype and device the vector takes.
        seed: Seed of the draw.

    Returns:
        Unit vector, (1, *shape).
    """
    # Always drawn in float64 on the CPU: generators of other devices give other numbers.
    generator = torch.Generator().manual_seed(seed)
    vector = torch.randn((1, *shape), generator=generator, dtype=torch.float64, device='cpu')
    unit: Tensor = vector / torch.linalg.vector_norm(vector)
    return unit.to(like)


def normalize(x: Tensor) -> tuple[Tensor, Tensor]:
    """Divide each sample by its Euclidean norm; zero samples stay zero.

    Args:
        x: (batch, ...).

    Returns:
        Unit samples, (batch, ...), and their norms, (batch,).
    """
    norm = torch.linalg.vector_norm(x.flatten(1), dim=1)
    safe = norm.clamp_min(torch.finfo(x.dtype).tiny)
    return x / safe.reshape(-1, *[1] * (x.ndim - 1)), norm


def power_step(apply: LinearMap, adjoint: LinearMap, right: Tensor) -> SingularTriplet:
    """Take one power iteration: an estimate of σ_max from below.

    Args:
        apply: The operator, (1, *in_shape) to (1, *out_shape).
        adjoint: Its adjoint.
        right: Current right singular vector, (1, *in_shape).

    Returns:
        Triplet with the next right singular vector, of batch size 1.

    Reference:
        Miyato et al. 2018, Spectral normalization for GANs, https://arxiv.org/abs/1802.05957
    """
    tiny = torch.finfo(right.dtype).tiny
    forward = apply(right)
    left = forward / torch.linalg.vector_norm(forward).clamp_min(tiny)
    backward = adjoint(left)
    sigma = torch.linalg.vector_norm(backward)
    # In the null space the vector is kept: a weight that starts at zero (a zero-initialized head)
    # is then followed from its first update on, instead of dividing by zero.
    return SingularTriplet(
        sigma.reshape(1), left, torch.where(sigma > tiny, backward / sigma, right)
    )


def lanczos(
    apply: LinearMap, adjoint: LinearMap, start: Tensor, steps: int = 40, tolerance: float = 1e-4
) -> SingularTriplet:
    """Estimate σ_max from below by batched Golub-Kahan-Lanczos bidiagonalization.

    The iteration stops when, for every sample of the batch, the estimate has grown by less than
    the tolerance in the last 8 to 16 steps, or the Ritz residual is below it. The residual bounds
    the distance to *some* singular value; for almost every start vector that is the largest one.

    Args:
        apply: The operator, (batch, *in_shape) to (batch, *out_shape).
        adjoint: Its adjoint.
        start: Start vectors, (batch, *in_shape); an earlier `right` gives a warm start.
        steps: Maximum number of products with the operator.
        tolerance: Relative growth or relative residual at which to stop.

    Returns:
        Largest Ritz value and its Ritz vectors.

    Reference:
        Golub & Kahan 1965, https://doi.org/10.1137/0702016;
        Golub & Van Loan, Matrix Computations, section 10.4
    """
    batch, in_shape = start.shape[0], start.shape[1:]
    steps = min(steps, start[0].numel())
    rights = _OrthonormalBasis(normalize(start)[0].flatten(1), steps + 1)
    lefts: _OrthonormalBasis | None = None
    alphas: list[Tensor] = []
    betas: list[Tensor] = []
    checks: list[SingularTriplet] = []
    shape = start.shape
    for step in range(steps):
        forward = apply(rights.last.reshape(batch, *in_shape))
        shape, flat = forward.shape, forward.flatten(1)
        u, alpha = normalize(flat if lefts is None else lefts.orthogonalize(flat))
        lefts = _OrthonormalBasis(u, steps) if lefts is None else lefts.append(u)
        w, beta = normalize(rights.orthogonalize(adjoint(u.reshape(shape)).flatten(1)))
        rights.append(w)
        alphas.append(alpha)
        betas.append(beta)
        # The SVD of the small bidiagonal matrix costs more than a step, so not at every step.
        if step % (2 if step < 16 else 4) == 1:
            checks.append(_ritz(alphas, betas[:-1]))
            if _converged(checks, beta, tolerance):
                break
    sigma, p, q = _ritz(alphas, betas[:-1])
    # Ritz vectors: (batch, 1, step) @ (batch, step, n)
    left = p.unsqueeze(1) @ (rights if lefts is None else lefts).vectors
    right = q.unsqueeze(1) @ rights.vectors[:, :-1]
    return SingularTriplet(sigma, left.reshape(shape), right.reshape(start.shape))


class _OrthonormalBasis:
    """Orthonormal vectors (batch, count, n) in a buffer that is filled step by step."""

    def __init__(self, first: Tensor, capacity: int) -> None:
        self.buffer = first.new_empty(first.shape[0], capacity, first.shape[1])
        self.count = 0
        self.append(first)

    @property
    def vectors(self) -> Tensor:
        return self.buffer[:, : self.count]

    @property
    def last(self) -> Tensor:
        return self.buffer[:, self.count - 1]

    def append(self, vector: Tensor) -> '_OrthonormalBasis':
        self.buffer[:, self.count] = vector
        self.count += 1
        return self

    def orthogonalize(self, x: Tensor) -> Tensor:
        """Subtract from x (batch, n) its projection on the basis."""
        frame = self.vectors
        # Full reorthogonalization, twice ("twice is enough"): without it Lanczos loses
        # orthogonality and finds copies of converged singular values.
        for _ in range(2):
            x = x - torch.bmm(torch.bmm(frame, x.unsqueeze(2)).mT, frame).squeeze(1)
        return x


def _bidiagonal(alphas: list[Tensor], betas: list[Tensor]) -> Tensor:
    """Assemble the upper bidiagonal matrices, (batch, step, step)."""
    matrix = torch.diag_embed(torch.stack(alphas, dim=1))
    if betas:
        matrix = matrix + torch.diag_embed(torch.stack(betas, dim=1), offset=1)
    return matrix


def _ritz(alphas: list[Tensor], betas: list[Tensor]) -> SingularTriplet:
    """Return the largest singular triplet of the bidiagonal matrix, in its own coordinates."""
    u, s, vh = torch.linalg.svd(_bidiagonal(alphas, betas))
    return SingularTriplet(s[:, 0], u[:, :, 0], vh[:, 0])


def _converged(checks: list[SingularTriplet], beta: Tensor, tolerance: float) -> bool:
    sigma, left, _ = checks[-1]
    # Ritz residual ‖Aᵀu − σv‖ = β |last entry of the left vector|.
    converged = beta * left[:, -1].abs() <= tolerance * sigma
    if len(checks) > 4:
        converged |= sigma - checks[-5].sigma <= tolerance * sigma
    return bool(converged.all())
