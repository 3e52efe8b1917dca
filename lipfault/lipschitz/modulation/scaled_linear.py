"""Dense layer that scales its output instead of its weight: the same map for less work.

On a CPU the time of a small layer is the number of its operations. Scalars are therefore Python
floats, vectors are not normalized, and factors are folded into products that are needed anyway.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from lipfault.lipschitz.modulation.estimates import DenseNorm
from lipfault.lipschitz.modulation.scaling import gradients_where, scale_by_autograd

SAFE_RANGE = (1e-15, 1e15)
"""Norms whose square, and its inverse, are normal numbers in float32 (1.2e-38 to 3.4e38)."""


def dense_norm(weight: Tensor, right: Tensor) -> DenseNorm | None:
    """Take one power iteration with a matrix: an estimate of its norm from below.

    The same iteration as `lipfault.lipschitz.norms.krylov.power_step`, with fewer operations.

    Args:
        weight: W, (outputs, inputs), without gradient.
        right: Right singular vector to start from, (1, inputs), of a length near 1; the result's
            `right` is the start of the next iteration.

    Returns:
        Estimate, or None where the norm is too close to 0 or Inf for unscaled vectors.

    Reference:
        Miyato et al. 2018, https://arxiv.org/abs/1802.05957
    """
    left = functional.linear(right, weight)
    length = torch.linalg.vector_norm(left).item()
    if not SAFE_RANGE[0] < length < SAFE_RANGE[1]:
        return None
    # WᵀW right / ‖W right‖²: near 1 in length again. With beta=0 addmm is a scaled product.
    iterated = torch.addmm(right, left, weight, beta=0, alpha=length**-2)
    ratio = torch.linalg.vector_norm(iterated).item()
    return DenseNorm(ratio * length, left, iterated, 1 / (ratio * length))


def scaled_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor | None,
    scale: float,
    norm: DenseNorm,
) -> Tensor:
    """Compute s W x + b for s = κ/σ(W), differentiable twice in every argument.

    σ is a function of W: the gradient is s times that of a plain layer and a rank-one update. No
    saved tensor is changed in place.

    Args:
        x: Inputs, (..., inputs), of the weight's dtype.
        weight: W, (outputs, inputs).
        bias: b, (outputs,) or None.
        target: κ, scalar, or None where it is a constant.
        scale: s.
        norm: Norm of the weight and its gradient.

    Returns:
        Outputs, (..., outputs).

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
        ctx.save_for_backward(x, weight, bias, target)
        # Without bias addmm still needs a summand that broadcasts: with beta=0 it is not read.
        summand, beta = (scaling[1].left, 0) if bias is None else (bias, 1)
        if x.ndim == 2:
            return torch.addmm(summand, x, weight.t(), beta=beta, alpha=scaling[0])
        flat = x.reshape(-1, x.shape[-1])
        y = torch.addmm(summand, flat, weight.t(), beta=beta, alpha=scaling[0])
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        if torch.is_grad_enabled():
            return _differentiable_backward(ctx, gradient)
        return _backward(ctx, gradient)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    x, weight, _, _ = ctx.saved_tensors
    scale, (sigma, left, right, factor) = ctx.scaling
    needs_x, needs_weight, needs_bias, needs_target, _ = ctx.needs_input_grad
    flat, g = x, gradient
    if x.ndim != 2:
        # (..., features) to (sample, features)
        flat, g = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
    to_x = torch.addmm(right, g, weight, beta=0, alpha=scale) if needs_x else None
    to_weight = to_target = None
    if needs_weight or needs_target:
        to_weight = torch.addmm(right, g.t(), flat, beta=0, alpha=scale)
        # ⟨s Gᵀx, W⟩ = ⟨s G W, x⟩: the second is over the batch, mostly the smaller tensor.
        product = _inner(to_weight, weight) if to_x is None else _inner(to_x, flat)
        # ∂W = s Gᵀx − ⟨s Gᵀx, W⟩/σ · ∂σ/∂W
        to_weight.addcmul_(left.t(), right, value=-product * factor / sigma)
        if needs_target:
            to_target = left.new_tensor(product / (scale * sigma))
    if to_x is not None and x.ndim != 2:
        to_x = to_x.view(x.shape)
    return to_x, to_weight, g.sum(0) if needs_bias else None, to_target, None


def _differentiable_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    """Compute the gradient by operations that can be differentiated again (create_graph)."""
    x, weight, bias, target = ctx.saved_tensors
    scale, (sigma, left, right, factor) = ctx.scaling
    norm, unit = weight.new_tensor(sigma), left[0] * factor
    # An idle cap or floor does not come here: s is κ/σ.
    kappa = norm * scale if target is None else target
    scaled = scale_by_autograd(weight, kappa, 'pin', norm, unit, right[0])
    y = functional.linear(x, scaled, bias)
    found = gradients_where(y, (x, weight, bias, target), ctx.needs_input_grad[:4], gradient)
    return (*found, None)


def _inner(a: Tensor, b: Tensor) -> float:
    return torch.dot(a.reshape(-1), b.reshape(-1)).item()
