"""Scaling of a weight by a function of its spectral norm, with the exact gradient."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from lipfault.lipschitz.modulation.singular import norm_at
from lipfault.lipschitz.modulation.targets import Mode


def scaling_factor(mode: Mode, sigma: Tensor, target: Tensor) -> Tensor:
    """Compute the factor by which `cap`, `pin` or `floor` scales a weight.

    Without control flow on values, so a GPU is never synchronized.

    Args:
        mode: `cap`, `pin` or `floor`.
        sigma: Norm σ > 0 of the weight, scalar.
        target: κ, scalar.

    Returns:
        min(1, κ/σ), κ/σ or max(1, κ/σ), scalar.

    Reference:
        κ/σ: Miyato et al. 2018, https://arxiv.org/abs/1802.05957;
        min(1, κ/σ): Gouk et al. 2021, https://arxiv.org/abs/1804.04368

    Example:
        >>> scaling_factor('cap', torch.tensor(4.0), torch.tensor(1.0))
        tensor(0.2500)
    """
    ratio = target / sigma
    if mode == 'cap':
        return ratio.clamp_max(1.0)
    if mode == 'floor':
        return ratio.clamp_min(1.0)
    return ratio


def scaling_factor_float(mode: Mode, sigma: float, target: float) -> float:
    """Compute `scaling_factor` for Python floats.

    Args:
        mode: `cap`, `pin` or `floor`.
        sigma: Norm σ > 0 of the weight.
        target: κ.

    Returns:
        min(1, κ/σ), κ/σ or max(1, κ/σ).

    Example:
        >>> scaling_factor_float('cap', 4.0, 1.0)
        0.25
    """
    if mode == 'cap':
        return min(target / sigma, 1.0)
    return max(target / sigma, 1.0) if mode == 'floor' else target / sigma


def scale_by_norm(
    weight: Tensor, target: Tensor, mode: Mode, sigma: Tensor, left: Tensor, right: Tensor
) -> Tensor:
    """Scale a weight to its mode and target, differentiable twice in weight and target.

    The backward pass is one rank-one update, where autograd through ⟨left, W right⟩ would pass
    five times over the weight. No saved tensor is changed in place, so two forward passes in one
    step are safe. Not for `torch.func` transforms, see `scale_by_autograd`.

    Args:
        weight: W, any shape.
        target: κ, scalar.
        mode: `cap`, `pin` or `floor`.
        sigma: Norm of the weight, positive scalar, treated as a function of W.
        left: Vector; its outer product with `right`, reshaped, is ∂σ/∂weight.
        right: Vector.

    Returns:
        s W with s from `scaling_factor`, of the shape and dtype of the weight.

    Reference:
        Gradient through σ: Miyato et al. 2018, https://arxiv.org/abs/1802.05957
    """
    scaled = _ScaleByNorm.apply(weight, target, mode, sigma, left, right)  # type: ignore[no-untyped-call]
    return cast(Tensor, scaled)


def scale_by_autograd(
    weight: Tensor, target: Tensor, mode: Mode, sigma: Tensor, left: Tensor, right: Tensor
) -> Tensor:
    """Scale a weight like `scale_by_norm`, bit for bit, by plain differentiable operations.

    Args:
        weight: W, any shape.
        target: κ, scalar.
        mode: `cap`, `pin` or `floor`.
        sigma: Norm of the weight, positive scalar.
        left: Vector; its outer product with `right`, reshaped, is ∂σ/∂weight.
        right: Vector.

    Returns:
        s W, shaped as the weight, differentiable any number of times and inside `torch.func`
        transforms.
    """
    if torch.is_grad_enabled():
        # Adds exactly 0 to the value, and the derivatives of the norm.
        product = norm_at(weight.to(sigma.dtype), left, right)
        sigma = sigma + (product - product.detach())
    return weight * scaling_factor(mode, sigma, target).to(weight.dtype)


class _ScaleByNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        weight: Tensor,
        target: Tensor,
        mode: Mode,
        sigma: Tensor,
        left: Tensor,
        right: Tensor,
    ) -> Tensor:
        scale = scaling_factor(mode, sigma, target)
        ctx.mode = mode
        ctx.save_for_backward(weight, scale, sigma, left, right, target)
        return weight * scale.to(weight.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        if torch.is_grad_enabled():
            return _scale_differentiably(ctx, gradient)
        return _scale_backward(ctx, gradient)


def _scale_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    weight, scale, sigma, left, right, _ = ctx.saved_tensors
    # With s = κ/σ: ∂κ = ⟨G, W⟩/σ, and ∂W = s G − s ⟨G, W⟩/σ · ∂σ/∂W.
    full = gradient.to(scale.dtype)
    to_target = torch.dot(full.reshape(-1), weight.to(scale.dtype).reshape(-1)) / sigma
    if ctx.mode != 'pin':
        # An inactive cap or floor is the constant 1.
        to_target = torch.where(scale == 1, 0.0, to_target)
    to_weight = (full * scale).reshape(len(left), len(right))
    to_weight.addcmul_((left * (-to_target * scale)).unsqueeze(1), right)
    to_weight = to_weight.reshape(weight.shape).to(weight.dtype)
    return to_weight, to_target, None, None, None, None


def _scale_differentiably(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    """Compute the gradient by operations that can be differentiated again (create_graph)."""
    weight, _, sigma, left, right, target = ctx.saved_tensors
    needs = ctx.needs_input_grad[:2]
    scaled = scale_by_autograd(weight, target, ctx.mode, sigma, left, right)
    return (*gradients_where(scaled, (weight, target), needs, gradient), None, None, None, None)


def gradients_where(
    output: Tensor, inputs: Sequence[Tensor | None], needs: Sequence[bool], gradient: Tensor
) -> list[Tensor | None]:
    """Compute the gradients of an output with a graph of their own.

    Args:
        output: Function of the inputs.
        inputs: Tensors; `None` for those that are missing.
        needs: Whether the gradient of each input is needed.
        gradient: Gradient with respect to the output.

    Returns:
        Gradient by input, `None` where none is needed.
    """
    wanted = [x for x, needed in zip(inputs, needs, strict=True) if needed and x is not None]
    found = iter(
        torch.autograd.grad(
            output, wanted, gradient, create_graph=True, allow_unused=True, materialize_grads=True
        )
    )
    return [
        next(found) if needed and x is not None else None
        for x, needed in zip(inputs, needs, strict=True)
    ]
