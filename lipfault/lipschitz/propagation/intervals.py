"""Interval bound propagation: images of intervals under monotone, affine and linear maps.

Reference: Gowal et al. 2018, On the effectiveness of interval bound propagation,
https://arxiv.org/abs/1810.12715
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lipfault.lipschitz.propagation.bounded_tensor import BoundedTensor, Function

Interval = tuple[Tensor | None, Tensor | None]
"""Lower and upper ends in float64, or `None` twice where no range is known."""

WeightMap = Callable[[Tensor], Tensor]


def monotone_interval(
    func: Function,
    operand: BoundedTensor,
    *args: Any,  # noqa: ANN401
    **kwargs: Any,  # noqa: ANN401
) -> Interval:
    """Apply a function that is monotone in every entry to both ends of an interval.

    Args:
        func: Monotone function, such as a mean or a maximum.
        operand: Tensor with the interval.
        args: Further arguments of the function.
        kwargs: Further keyword arguments of the function.

    Returns:
        Interval of the result.
    """
    low, high = (
        None if end is None else func(end, *args, **kwargs) for end in (operand.low, operand.high)
    )
    return low, high


def affine_interval(operand: BoundedTensor, slope: Tensor, shift: Tensor) -> Interval:
    """Multiply and shift an interval by constants.

    Args:
        operand: Tensor with the interval.
        slope: Factors of either sign, broadcastable to the operand, float64.
        shift: Summands, broadcastable to the operand, float64.

    Returns:
        Interval of slope x + shift.
    """
    if operand.low is None or operand.high is None:
        return None, None
    # A negative slope exchanges the ends.
    ends = torch.stack([operand.low * slope, operand.high * slope]) + shift
    return ends.amin(dim=0), ends.amax(dim=0)


def linear_interval(
    operand: BoundedTensor, apply: Callable[[Tensor, WeightMap], Tensor], bias: Tensor | None
) -> Interval:
    """Map an interval by a linear layer: the weight acts on its center, |weight| on its radius.

    Args:
        operand: Tensor with the interval.
        apply: Layer as a function of its input and of a function to apply to the weight first.
        bias: Bias, broadcastable to the output, float64.

    Returns:
        Interval of the output.

    Reference:
        Gowal et al. 2018, https://arxiv.org/abs/1810.12715
    """
    if operand.low is None or operand.high is None:
        return None, None
    center = apply((operand.low + operand.high) / 2, lambda weight: weight)
    radius = apply((operand.high - operand.low) / 2, torch.Tensor.abs)
    if bias is not None:
        center = center + bias
    return center - radius, center + radius
