"""Norm of a weight as a function of it, with the first and the second derivative.

The singular vectors of σ_max depend on the weight, too: with vectors that are kept as constants a
second derivative would lack a term.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lipfault.errors import LipfaultError


def norm_at(weight: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Compute σ = ⟨left, W right⟩, differentiable twice as the norm of W.

    Args:
        weight: W, any shape.
        left: Vector; its outer product with `right`, reshaped, is ∂σ/∂weight.
        right: Vector; of one entry for a convolution, whose second derivative is refused.

    Returns:
        Scalar. Also inside `torch.func` transforms.
    """
    norm: Tensor = _Norm.apply(weight, left, right)  # type: ignore[no-untyped-call]
    return norm


class _Norm(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(weight: Tensor, left: Tensor, right: Tensor) -> Tensor:
        return left @ weight.reshape(left.shape[0], right.shape[0]) @ right

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        weight, left, right = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return gradient * torch.outer(left, right).reshape(weight.shape), None, None
        return gradient * _NormGradient.apply(weight, left, right), None, None  # type: ignore[no-untyped-call]


class _NormGradient(torch.autograd.Function):
    """∂σ/∂W = left rightᵀ; its own derivative is the Hessian of σ, which is symmetric."""

    generate_vmap_rule = True

    @staticmethod
    def forward(weight: Tensor, left: Tensor, right: Tensor) -> Tensor:
        return torch.outer(left, right).reshape(weight.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401
        ctx.save_for_backward(inputs[0])
        # A convolution's gradient is kept as one long vector and a factor of 1.
        ctx.dense = inputs[0].ndim == 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, direction: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (weight,) = ctx.saved_tensors
        if not ctx.dense:
            raise LipfaultError(
                'a second derivative with respect to the weight of a modulated convolution is not '
                'available; fold() a copy of the module and differentiate that'
            )
        return hessian_product(weight, direction), None, None


def hessian_product(weight: Tensor, direction: Tensor) -> Tensor:
    """Apply the Hessian of σ_max to a matrix, by first-order perturbation of u and v.

    Args:
        weight: W, (rows, columns), with a simple largest singular value.
        direction: E, of the same shape.

    Returns:
        Derivative of u vᵀ along E, of the shape of W.

    Reference:
        Stewart & Sun 1990, Matrix Perturbation Theory, chapter V
    """
    wide, along = weight.double(), direction.double()
    u, s, vh = torch.linalg.svd(wide, full_matrices=True)
    rows, columns = wide.shape
    top, left, right = s[0], u[:, 0], vh[0]
    # Singular values on either side, zero where the matrix is not square.
    missing = rows - s.shape[0], columns - s.shape[0]
    outputs, inputs = (torch.cat([s, s.new_zeros(m)]) for m in missing)
    pushed, pulled = u.T @ (along @ right), vh @ (along.T @ left)
    short = s.shape[0]
    across = [
        torch.cat([p[:short], p.new_zeros(m)])
        for p, m in ((pulled, missing[0]), (pushed, missing[1]))
    ]
    turn_left = (top * pushed + outputs * across[0])[1:] / (top**2 - outputs[1:] ** 2)
    turn_right = (top * pulled + inputs * across[1])[1:] / (top**2 - inputs[1:] ** 2)
    moved = torch.outer(u[:, 1:] @ turn_left, right) + torch.outer(left, turn_right @ vh[1:])
    return moved.to(weight.dtype)
