"""The largest singular value of a linear operator from products with it and its adjoint."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


class Triple(NamedTuple):
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
    vector = torch.randn((1, *shape), generator=generator, dtype=torch.float64)
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


def power_step(apply: Map, adjoint: Map, right: Tensor) -> Triple:
    """One power iteration from right (1, *in_shape): an estimate of σ_max from below.

    Where the operator takes `right` to zero it is kept, so that a weight that starts at zero can
    be followed from its first change on.
    """
    tiny = torch.finfo(right.dtype).tiny
    pushed = apply(right)
    left = pushed / torch.linalg.vector_norm(pushed).clamp_min(tiny)
    pulled = adjoint(left)
    sigma = torch.linalg.vector_norm(pulled)
    return Triple(sigma.reshape(1), left, torch.where(sigma > tiny, pulled / sigma, right))


def lanczos(
    apply: Map, adjoint: Map, start: Tensor, steps: int = 40, tolerance: float = 1e-4
) -> Triple:
    """Estimate σ_max from below by Golub-Kahan-Lanczos bidiagonalization, batched.

    Full reorthogonalization; it stops when the Ritz residual, which bounds the distance to *some*
    singular value, is below `tolerance` times the estimate, for every sample of the batch. That
    the singular value is the largest one holds for almost every start vector.

    Args:
        apply: The operator, (batch, *in_shape) to (batch, *out_shape).
        adjoint: Its adjoint.
        start: (batch, *in_shape), where to start; a previous right vector makes it warm.
        steps: Most products with the operator.
        tolerance: Relative residual to stop at.

    Source:
        Golub & Kahan, SIAM J. Numer. Anal. 2 (1965); Golub & Van Loan, Matrix Computations, 10.4.
    """
    batch, in_shape = start.shape[0], start.shape[1:]
    v, _ = normalize(start)
    rights: list[Tensor] = [v.flatten(1)]
    lefts: list[Tensor] = []
    alphas: list[Tensor] = []
    betas: list[Tensor] = []
    shape: torch.Size | None = None
    for step in range(min(steps, v[0].numel())):
        pushed = apply(rights[-1].reshape(batch, *in_shape))
        shape = pushed.shape
        u, alpha = normalize(_orthogonal(pushed.flatten(1), lefts))
        lefts.append(u)
        alphas.append(alpha)
        pulled = adjoint(u.reshape(shape)).flatten(1)
        w, beta = normalize(_orthogonal(pulled, rights))
        rights.append(w)
        betas.append(beta)
        if step % 2 == 1 and _converged(alphas, betas, tolerance):
            break
    sigma, p, q = _ritz(alphas, betas[:-1])
    left = torch.einsum('kbn,bk->bn', torch.stack(lefts), p)
    right = torch.einsum('kbn,bk->bn', torch.stack(rights[:-1]), q)
    return Triple(sigma, left.reshape(shape or (batch,)), right.reshape(start.shape))


def _orthogonal(x: Tensor, basis: list[Tensor]) -> Tensor:
    """Remove from x (batch, n) what lies in the basis, twice for rounding."""
    if not basis:
        return x
    frame = torch.stack(basis, dim=1)
    for _ in range(2):
        x = x - torch.einsum('bk,bkn->bn', torch.einsum('bkn,bn->bk', frame, x), frame)
    return x


def _bidiagonal(alphas: list[Tensor], betas: list[Tensor]) -> Tensor:
    matrix = torch.diag_embed(torch.stack(alphas, dim=1))
    if betas:
        matrix = matrix + torch.diag_embed(torch.stack(betas, dim=1), offset=1)
    return matrix


def _ritz(alphas: list[Tensor], betas: list[Tensor]) -> Triple:
    u, s, vh = torch.linalg.svd(_bidiagonal(alphas, betas))
    return Triple(s[:, 0], u[:, :, 0], vh[:, 0])


def _converged(alphas: list[Tensor], betas: list[Tensor], tolerance: float) -> bool:
    sigma, left, _ = _ritz(alphas, betas[:-1])
    residual = betas[-1] * left[:, -1].abs()
    return bool((residual <= tolerance * sigma).all())
