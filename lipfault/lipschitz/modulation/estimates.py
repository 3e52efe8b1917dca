"""Estimates of the norm of a weight, in the precision and by the steps that modulation uses."""

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lipfault.lipschitz.norms.krylov import SingularTriplet, lanczos, start_vector
from lipfault.lipschitz.norms.operators import LinearOperator

START_STEPS, START_TOLERANCE = 60, 1e-3
"""Lanczos steps and relative growth of the start; the power iteration refines it in training."""

ALIGNED = 0.9
"""Cosine between a singular vector and its next iterate below which the iteration starts anew."""


class DenseNorm(NamedTuple):
    """Norm σ of a matrix, and ∂σ/∂matrix as `factor` times the outer product of two vectors.

    Args:
        sigma: Norm.
        left: Vector of any length, (1, outputs).
        right: Vector of any length, (1, inputs).
        factor: Inverse of the product of both lengths.
    """

    sigma: float
    left: Tensor
    right: Tensor
    factor: float


class NormWithGradient(NamedTuple):
    """Norm σ of a weight and its gradient.

    Args:
        sigma: Norm, positive scalar.
        left: Vector; its outer product with `right`, reshaped, is ∂σ/∂weight.
        right: Vector, see `LinearOperator.weight_gradient`.
    """

    sigma: Tensor
    left: Tensor
    right: Tensor


def norm_precision(weight: Tensor) -> Tensor:
    """Return the weight in the precision in which norms are computed.

    Args:
        weight: Any dtype.

    Returns:
        The weight, of the same shape, in float64 if it was, else in float32.
    """
    return weight if weight.dtype == torch.float64 else weight.float()


def full_precision(weight: Tensor) -> AbstractContextManager[object]:
    """Switch autocast off on the device of a weight.

    Args:
        weight: Weight whose norm is computed.

    Returns:
        Context in which operations keep the precision of their operands.
    """
    kind = weight.device.type
    if torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


def without_parameters(layer: nn.Module) -> nn.Module:
    """Return a layer of the same geometry without parameters, buffers and hooks.

    Args:
        layer: Dense or convolutional layer.

    Returns:
        Layer whose attributes are those of the given one.
    """
    bare = nn.Module.__new__(type(layer))
    bare.__dict__.update(layer.__dict__)
    for name, value in layer.__dict__.items():
        if isinstance(value, dict):
            bare.__dict__[name] = type(value)()
    return bare


def norm_with_gradient(operator: LinearOperator, triplet: SingularTriplet) -> NormWithGradient:
    """Return the norm of an operator with its gradient with respect to the weight.

    Args:
        operator: Operator of the weight.
        triplet: Its largest singular value with vectors, batch size 1.

    Returns:
        Norm, at least the root of the smallest normal number, and gradient.
    """
    left, right = operator.weight_gradient(triplet.left, triplet.right)
    sigma = triplet.sigma[0]
    # κ/σ stays finite for a weight of zero.
    return NormWithGradient(sigma.clamp_min(torch.finfo(sigma.dtype).tiny ** 0.5), left, right)


def from_dense_norm(norm: DenseNorm) -> NormWithGradient:
    """Convert the estimate of a dense layer, which holds Python floats, to tensors.

    Args:
        norm: Estimate with vectors of any length.

    Returns:
        The same estimate.
    """
    left = norm.left[0] * norm.factor
    return NormWithGradient(left.new_tensor(norm.sigma), left, norm.right[0])


def restarted(operator: LinearOperator, found: SingularTriplet) -> SingularTriplet:
    """Start anew by Lanczos for a weight that is no trained version of the last one.

    Args:
        operator: Operator of the weight.
        found: Estimate of the power iteration.

    Returns:
        The larger of both estimates, batch size 1.
    """
    start = start_vector(operator.in_shape, operator.weight)
    triplet = lanczos(operator.apply, operator.adjoint, start, START_STEPS, START_TOLERANCE)
    # Near the ends of float32 the products can overflow, and the power iteration is kept.
    finite = bool(triplet.right.isfinite().all() & triplet.left.isfinite().all())
    return triplet if finite and bool(triplet.sigma > found.sigma) else found


def in_transform() -> bool:
    """Return whether a `torch.func` transform is running, in which no state may be changed."""
    return torch._C._are_functorch_transforms_active()


def can_branch(weight: Tensor) -> bool:
    """Return whether control flow may depend on values: plain code on a CPU.

    Args:
        weight: Weight.

    Returns:
        False in compiled code, inside `torch.func` transforms and on other devices.
    """
    plain = not torch.compiler.is_compiling() and not in_transform()
    return plain and weight.device.type == 'cpu'


def is_aligned(start: Tensor, iterated: Tensor) -> bool:
    """Return whether a power iteration hardly turned its vector, as for a trained weight.

    Args:
        start: Vector before the iteration.
        iterated: Vector after it, of the same number of entries.

    Returns:
        Whether the cosine between both is above `ALIGNED`.
    """
    a, b = start.reshape(-1), iterated.reshape(-1)
    lengths = torch.linalg.vector_norm(a) * torch.linalg.vector_norm(b)
    return bool(torch.dot(a, b) > ALIGNED * lengths)
