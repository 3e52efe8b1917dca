"""A dense layer that scales its output instead of its weight: the same map for less work.

On a CPU a small layer is as fast as its operations are few. So numbers are Python floats, vectors
are not normalized, and factors go into products that are made anyway.
"""

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

SAFE_RANGE = (1e-15, 1e15)
"""Norms whose square, and its inverse, are normal in float32."""


class DenseNorm(NamedTuple):
    """Norm of a matrix, and ∂norm/∂matrix as `factor` times the outer product of two vectors.

    The vectors left (1, outputs) and right (1, inputs) have any length.
    """

    sigma: float
    left: Tensor
    right: Tensor
    factor: float


def dense_norm(weight: Tensor, right: Tensor) -> DenseNorm | None:
    """One power iteration: an estimate from below, as `lipfault.lipschitz.norms.krylov.power_step`.

    Args:
        weight: (outputs, inputs), without gradient.
        right: (1, inputs), where to start, of a length near 1. The result's `right` is where to
            start the next time.

    Returns:
        The estimate, or None where the norm is too close to 0 or Inf for unscaled vectors.
    """
    left = functional.linear(right, weight)
    pushed = torch.linalg.vector_norm(left).item()
    if not SAFE_RANGE[0] < pushed < SAFE_RANGE[1]:
        return None
    # Without a share of what is added (beta), addmm is a product with a factor.
    moved = torch.addmm(right, left, weight, beta=0, alpha=pushed**-2)
    pulled = torch.linalg.vector_norm(moved).item()
    return DenseNorm(pulled * pushed, left, moved, 1 / (pulled * pushed))


def scaled_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor | None,
    scale: float,
    norm: DenseNorm,
) -> Tensor:
    """The map s W x + b for s = κ/σ(W), differentiable once in all of it.

    σ is a function of W: its gradient is s times the plain one and a rank-one update. Nothing it
    saves is changed in place.

    Args:
        x: (..., inputs), of the weight's dtype.
        weight: (outputs, inputs).
        bias: (outputs,) or None.
        target: κ, scalar, or None where it is a constant.
        scale: s.
        norm: Norm of the weight.

    Example:
        >>> one = torch.ones(1, 1)
        >>> scaled_linear(one, 4 * one, one[0], None, 0.5, DenseNorm(4.0, one, one, 1.0))
        tensor([[3.]])
    """
    scaled = _ScaledLinear.apply(x, weight, bias, target, (scale, norm))  # type: ignore[no-untyped-call]
    return cast(Tensor, scaled)


class _ScaledLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        target: Tensor | None,
        scaling: tuple[float, DenseNorm],
    ) -> Tensor:
        ctx.scaling = scaling
        ctx.save_for_backward(x, weight)
        added, share = (scaling[1].left, 0) if bias is None else (bias, 1)
        if x.ndim == 2:
            return torch.addmm(added, x, weight.t(), beta=share, alpha=scaling[0])
        flat = x.reshape(-1, x.shape[-1])
        y = torch.addmm(added, flat, weight.t(), beta=share, alpha=scaling[0])
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        if torch.is_grad_enabled():
            return once_differentiable(_backward)(ctx, gradient)
        return _backward(ctx, gradient)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    x, weight = ctx.saved_tensors
    scale, (sigma, left, right, factor) = ctx.scaling
    needs_x, needs_weight, needs_bias, needs_target, _ = ctx.needs_input_grad
    flat, g = x, gradient
    if x.ndim != 2:
        flat, g = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
    to_x = torch.addmm(right, g, weight, beta=0, alpha=scale) if needs_x else None
    to_weight = to_target = None
    if needs_weight or needs_target:
        to_weight = torch.addmm(right, g.t(), flat, beta=0, alpha=scale)
        product = _inner(to_weight, weight) if to_x is None else _inner(to_x, flat)
        to_weight.addcmul_(left.t(), right, value=-product * factor / sigma)
        if needs_target:
            to_target = left.new_tensor(product / (scale * sigma))
    if to_x is not None and x.ndim != 2:
        to_x = to_x.view(x.shape)
    return to_x, to_weight, g.sum(0) if needs_bias else None, to_target, None


def _inner(a: Tensor, b: Tensor) -> float:
    return torch.dot(a.reshape(-1), b.reshape(-1)).item()
