"""The largest singular value of a linear operator from products with it and its adjoint."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

LinearMap = Callable[[Tensor], Tensor]


class SingularTriplet(NamedTuple):
    """σ_max (batch,) with its vectors left (batch, *out_shape) and right (batch, *in_shape)."""

    sigma: Tensor
    left: Tensor
    right: Tensor


def start_vector(shape: tuple[int, ...], like: Tensor, seed: int = 0) -> Tensor:
    """A unit vector (1, *shape) that depends on the seed only, the same on every rank and device.

    Args:
        shape: Shape without batch axis.
        like: Tensor whose dtype and device the vector takes.
        seed: Seed of the draw.
    """
    generator = torch.Generator().manual_seed(seed)
    vector = torch.randn((1, *shape), generator=generator, dtype=torch.float64, device='cpu')
    unit: Tensor = vector / torch.linalg.vector_norm(vector)
    return unit.to(like)


def normalize(x: Tensor) -> tuple[Tensor, Tensor]:
    """Divide each sample of x (batch, ...) by its norm; zeros stay zeros.

    Returns:
        The unit samples, and the norms (batch,).
    """
    norm = torch.linalg.vector_norm(x.flatten(1), dim=1)
    safe = norm.clamp_min(torch.finfo(x.dtype).tiny)
    return x / safe.reshape(-1, *[1] * (x.ndim - 1)), norm


def power_step(apply: LinearMap, adjoint: LinearMap, right: Tensor) -> SingularTriplet:
    """One power iteration from right (1, *in_shape): an estimate of σ_max from below.

    Where the operator takes `right` to zero it is kept, so that a weight that starts at zero can
    be followed from its first change on.
    """
    tiny = torch.finfo(right.dtype).tiny
    pushed = apply(right)
    left = pushed / torch.linalg.vector_norm(pushed).clamp_min(tiny)
    pulled = adjoint(left)
    sigma = torch.linalg.vector_norm(pulled)
    return SingularTriplet(sigma.reshape(1), left, torch.where(sigma > tiny, pulled / sigma, right))


def lanczos(
    apply: LinearMap, adjoint: LinearMap, start: Tensor, steps: int = 40, tolerance: float = 1e-4
) -> SingularTriplet:
    """Estimate σ_max from below by Golub-Kahan-Lanczos bidiagonalization, batched.

    Full reorthogonalization. It stops when, for every sample of the batch, the estimate has grown
    by less than the tolerance in the last 8 to 16 steps, or the Ritz residual, which
    bounds the distance to *some* singular value, is below it. That the singular value found is
    the largest one holds for almost every start vector.

    Args:
        apply: The operator, (batch, *in_shape) to (batch, *out_shape).
        adjoint: Its adjoint.
        start: (batch, *in_shape), where to start; a previous right vector makes it warm.
        steps: Most products with the operator.
        tolerance: Relative growth or residual to stop at.

    Source:
        Golub & Kahan, SIAM J. Numer. Anal. 2 (1965); Golub & Van Loan, Matrix Computations, 10.4.
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
        pushed = apply(rights.last.reshape(batch, *in_shape))
        shape, flat = pushed.shape, pushed.flatten(1)
        u, alpha = normalize(flat if lefts is None else lefts.orthogonalize(flat))
        lefts = _OrthonormalBasis(u, steps) if lefts is None else lefts.append(u)
        w, beta = normalize(rights.orthogonalize(adjoint(u.reshape(shape)).flatten(1)))
        rights.append(w)
        alphas.append(alpha)
        betas.append(beta)
        if step % (2 if step < 16 else 4) == 1:
            checks.append(_ritz(alphas, betas[:-1]))
            if _converged(checks, beta, tolerance):
                break
    sigma, p, q = _ritz(alphas, betas[:-1])
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
        """Take from x (batch, n) what lies in the basis, twice for rounding."""
        frame = self.vectors
        for _ in range(2):
            x = x - torch.bmm(torch.bmm(frame, x.unsqueeze(2)).mT, frame).squeeze(1)
        return x


def _bidiagonal(alphas: list[Tensor], betas: list[Tensor]) -> Tensor:
    matrix = torch.diag_embed(torch.stack(alphas, dim=1))
    if betas:
        matrix = matrix + torch.diag_embed(torch.stack(betas, dim=1), offset=1)
    return matrix


def _ritz(alphas: list[Tensor], betas: list[Tensor]) -> SingularTriplet:
    u, s, vh = torch.linalg.svd(_bidiagonal(alphas, betas))
    return SingularTriplet(s[:, 0], u[:, :, 0], vh[:, 0])


def _converged(checks: list[SingularTriplet], beta: Tensor, tolerance: float) -> bool:
    sigma, left, _ = checks[-1]
    converged = beta * left[:, -1].abs() <= tolerance * sigma
    if len(checks) > 4:
        converged |= sigma - checks[-5].sigma <= tolerance * sigma
    return bool(converged.all())
