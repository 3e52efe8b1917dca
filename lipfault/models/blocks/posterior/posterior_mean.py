"""Posterior mean of a clean window under one fault variance per channel and chunk of time."""

from typing import Any

import torch
from torch import Tensor

from lipfault.models.relations.window_gaussian import Factor, WindowGaussian


def posterior_mean(
    gaussian: WindowGaussian, signal: Tensor, variance: Tensor, training: bool
) -> tuple[Tensor, Tensor, Tensor, Factor]:
    """Compute the posterior mean y - V (S + V)^-1 (y - mean) of the clean window.

    The gradient of the posterior mean with respect to the variance has a closed form, which takes
    one more product with the same factor instead of a pass back through the factorization.

    Args:
        gaussian: Clean model, covariance S.
        signal: Observed windows y, (batch, channel, time), standardized.
        variance: Diagonal of V, (batch, channel, chunk).
        training: Whether to use the closed-form gradient. The outputs after the first then have no
            gradient; in evaluation all have, for attacks and Jacobians.

    Returns:
        The posterior mean, (batch, channel, time); the residual (S + V)^-1 (y - mean) and the
        low-rank part of the clean window, of the same shape; and the factorization.

    Reference:
        docs/theory.md, section 9; gradient of the evidence framework: MacKay 1992,
        https://doi.org/10.1162/neco.1992.4.3.415
    """
    if training:
        applied = _PosteriorMean.apply(gaussian, signal, variance)  # type: ignore[no-untyped-call]
        *outputs, precision, cholesky = applied
        corrected, residual, low_rank = outputs
        return corrected, residual, low_rank, Factor(precision, cholesky)
    factor = gaussian.factor(variance)
    residual, low_rank = gaussian.solve(factor, gaussian.deviation(signal))
    return signal - gaussian.spread(variance) * residual, residual, low_rank, factor


class _PosteriorMean(torch.autograd.Function):
    """`posterior_mean` with its closed-form gradient."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        gaussian: WindowGaussian,
        signal: Tensor,
        variance: Tensor,
    ) -> tuple[Tensor, ...]:
        """Compute the posterior mean; keep the factor for the gradient."""
        factor = gaussian.factor(variance)
        residual, low_rank = gaussian.solve(factor, gaussian.deviation(signal))
        ctx.gaussian, ctx.factor = gaussian, factor
        ctx.save_for_backward(residual, variance)
        corrected = signal - gaussian.spread(variance) * residual
        ctx.mark_non_differentiable(residual, low_rank, factor.precision, factor.cholesky)
        return corrected, residual, low_rank, factor.precision, factor.cholesky

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401
        *gradients: Tensor,
    ) -> tuple[None, Tensor, Tensor]:
        """Return gradients with respect to the signal and to the variance."""
        residual, variance = ctx.saved_tensors
        gaussian: WindowGaussian = ctx.gaussian
        outer = gradients[0]
        # (I - (S + V)^-1 V) applied to the gradient, which is also the adjoint of the correction.
        product = gaussian.solve(ctx.factor, gaussian.spread(variance) * outer)[0]
        inner = outer - product
        return None, inner, -gaussian.chunked(residual * inner).sum(dim=3)
