"""Propagation rules of normalization layers."""

import math
from typing import Any

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.lipschitz.propagation.bounded_tensor import BoundedTensor, Function, rule
from lipfault.lipschitz.propagation.intervals import affine_interval


@rule('batch_norm', single_operand=True)
def _batch_norm(
    func: Function,
    operand: BoundedTensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> BoundedTensor:
    """Bound batch normalization in evaluation mode by max|γ| / √(running_var + ε), exactly.

    Reference:
        Gouk et al. 2021, section on batch normalization, https://arxiv.org/abs/1804.04368
    """
    del func, momentum
    if training or running_mean is None or running_var is None:
        raise LipfaultError('BatchNorm has a bound in evaluation only, with running statistics')
    slope = (running_var.double() + eps).rsqrt()
    slope = slope if weight is None else slope * weight.double()
    shift = -running_mean.double() * slope + (0.0 if bias is None else bias.double())
    # (channel,) to (1, channel, 1, ...)
    shape = (1, -1, *[1] * (operand.ndim - 2))
    slope, shift = slope.reshape(shape), shift.reshape(shape)
    sensitivity = operand.sensitivity.scaled_gains(float(slope.abs().max()))
    return BoundedTensor.build(operand.shape, *affine_interval(operand, slope, shift), sensitivity)


@rule('layer_norm', single_operand=True)
def _layer_norm(
    func: Function,
    operand: BoundedTensor,
    normalized_shape: Any,  # noqa: ANN401
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> BoundedTensor:
    """Bound layer normalization by max|γ| / √ε, attained at constant inputs: finite but loose."""
    del func
    count = math.prod(normalized_shape)
    return _normalized(operand, count, weight, bias, eps)


@rule('group_norm', single_operand=True)
def _group_norm(
    func: Function,
    operand: BoundedTensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> BoundedTensor:
    """Bound group normalization by max|γ| / √ε, as layer normalization."""
    del func
    count = operand.shape[1] // num_groups * math.prod(operand.shape[2:])
    return _normalized(operand, count, _column(weight, operand), _column(bias, operand), eps)


@rule('instance_norm', single_operand=True)
def _instance_norm(
    func: Function,
    operand: BoundedTensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> BoundedTensor:
    """Bound as batch normalization with running statistics, else as one group per channel."""
    if not use_input_stats:
        running = func, operand, running_mean, running_var, weight, bias, False, momentum, eps
        return _batch_norm(*running)  # type: ignore[no-any-return]
    return _group_norm(func, operand, operand.shape[1], weight, bias, eps)  # type: ignore[no-any-return]


@rule('rms_norm', single_operand=True)
def _rms_norm(
    func: Function,
    operand: BoundedTensor,
    normalized_shape: Any,  # noqa: ANN401
    weight: Tensor | None = None,
    eps: float | None = None,
) -> BoundedTensor:
    """Bound x / r with r² = mean x² + ε by max|γ| / r: its Jacobian is γ/r times a contraction.

    Reference:
        Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467
    """
    del func
    if eps is None:
        # torch takes the resolution of the dtype; without a weight the finest is assumed.
        eps = torch.finfo(torch.float64 if weight is None else weight.dtype).eps
    if not eps > 0:
        raise LipfaultError(f'a normalization with eps={eps} has no bound; eps must be positive')
    count = math.prod(normalized_shape)
    scale = torch.ones((), dtype=torch.float64) if weight is None else weight.double().abs()
    least = eps
    if operand.low is not None and operand.high is not None:
        # Smallest square of each entry, then of each row of statistics.
        nearest = torch.zeros_like(operand.low).clamp(operand.low, operand.high).square()
        least += float(nearest.reshape(-1, count).mean(dim=1).min())
    top = math.sqrt(count) * scale + torch.zeros(operand.shape, dtype=torch.float64)
    sensitivity = operand.sensitivity.scaled_gains(float(scale.max()) / math.sqrt(least))
    return BoundedTensor.build(operand.shape, -top, top, sensitivity)


def _column(values: Tensor | None, operand: BoundedTensor) -> Tensor | None:
    """Shape (channel,) to (channel, 1, ...), to broadcast over the spatial axes."""
    return None if values is None else values.reshape(-1, *[1] * (operand.ndim - 2))


def _normalized(
    operand: BoundedTensor, count: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> BoundedTensor:
    """Bound values and gain of a normalization over `count` entries that share their statistics."""
    if not eps > 0:
        raise LipfaultError(f'a normalization with eps={eps} has no bound; eps must be positive')
    scale = torch.ones((), dtype=torch.float64) if weight is None else weight.double().abs()
    shift = torch.zeros((), dtype=torch.float64) if bias is None else bias.double()
    zeros = torch.zeros(operand.shape, dtype=torch.float64)
    # A standardized value is largest where all others are equal: √(n − 1).
    most = math.sqrt(max(count - 1, 0)) * scale
    sensitivity = operand.sensitivity.scaled_gains(float(scale.max()) / math.sqrt(eps))
    low, high = zeros - most + shift, zeros + most + shift
    return BoundedTensor.build(operand.shape, low, high, sensitivity)
