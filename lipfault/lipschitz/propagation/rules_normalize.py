"""Rules for normalizations."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.lipschitz.propagation.bounded_tensor import BoundedTensor, rule


@rule('batch_norm', single_operand=True)
def _batch_norm(
    func: Callable[..., Any],
    reach: BoundedTensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> BoundedTensor:
    """In evaluation max|γ| / √(running_var + ε), exact."""
    if training or running_mean is None or running_var is None:
        raise LipfaultError('BatchNorm has a bound in evaluation only, with running statistics')
    slope = (running_var.double() + eps).rsqrt()
    slope = slope if weight is None else slope * weight.double()
    shift = -running_mean.double() * slope + (0.0 if bias is None else bias.double())
    shape = (1, -1, *[1] * (reach.ndim - 2))
    slope, shift = slope.reshape(shape), shift.reshape(shape)
    low = high = None
    if reach.low is not None and reach.high is not None:
        ends = torch.stack([reach.low * slope, reach.high * slope]) + shift
        low, high = ends.amin(dim=0), ends.amax(dim=0)
    del func, momentum
    return BoundedTensor.build(
        reach.shape, low, high, reach.sensitivity.scaled_gains(float(slope.abs().max()))
    )


@rule('layer_norm', single_operand=True)
def _layer_norm(
    func: Callable[..., Any],
    reach: BoundedTensor,
    normalized_shape: Any,  # noqa: ANN401
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> BoundedTensor:
    """max|γ| / √ε, reached at constant inputs: finite, and useless."""
    del func
    count = math.prod(normalized_shape)
    return _normalized(reach, count, weight, bias, eps)


@rule('group_norm', single_operand=True)
def _group_norm(
    func: Callable[..., Any],
    reach: BoundedTensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> BoundedTensor:
    del func
    count = reach.shape[1] // num_groups * math.prod(reach.shape[2:])
    return _normalized(reach, count, _column(weight, reach), _column(bias, reach), eps)


@rule('instance_norm', single_operand=True)
def _instance_norm(
    func: Callable[..., Any],
    reach: BoundedTensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> BoundedTensor:
    """With running statistics as `BatchNorm`, otherwise each channel as a group."""
    if not use_input_stats:
        running = func, reach, running_mean, running_var, weight, bias, False, momentum, eps
        return _batch_norm(*running)  # type: ignore[no-any-return]
    return _group_norm(func, reach, reach.shape[1], weight, bias, eps)  # type: ignore[no-any-return]


def _column(values: Tensor | None, reach: BoundedTensor) -> Tensor | None:
    return None if values is None else values.reshape(-1, *[1] * (reach.ndim - 2))


def _normalized(
    reach: BoundedTensor, count: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> BoundedTensor:
    """A normalized value is at most √(n − 1) for n values that coefficient their statistics."""
    scale = torch.ones((), dtype=torch.float64) if weight is None else weight.double().abs()
    shift = torch.zeros((), dtype=torch.float64) if bias is None else bias.double()
    zeros = torch.zeros(reach.shape, dtype=torch.float64)
    most = math.sqrt(max(count - 1, 0)) * scale
    factor = float(scale.max()) / math.sqrt(eps)
    change = reach.sensitivity.scaled_gains(factor)
    return BoundedTensor.build(reach.shape, zeros - most + shift, zeros + most + shift, change)
