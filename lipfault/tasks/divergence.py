"""Refuse a training whose loss or weights are no longer finite."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lipfault.errors import LipfaultError

_REMEDY = (
    'the training has diverged; lower model.optimizer.lr, its lr_scale or the weights of the '
    'losses, and start again: no checkpoint was written since'
)


def require_finite_loss(loss: Tensor | float, where: str) -> None:
    """Check a loss.

    Args:
        loss: Scalar.
        where: Name of the loss and the step of it, for the message.

    Raises:
        LipfaultError: If the loss is infinite or NaN.
    """
    value = float(loss)
    if not math.isfinite(value):
        raise LipfaultError(f'{where} is {value}: {_REMEDY}')


def require_finite_weights(weights: Mapping[str, Tensor], where: str) -> None:
    """Check weights.

    Args:
        weights: Tensors by name.
        where: What they are trained to, for the message.

    Raises:
        LipfaultError: Names the first tensor that holds an infinity or NaN.
    """
    name = first_not_finite(weights)
    if name is not None:
        raise LipfaultError(f'{where}, {name} is not finite: {_REMEDY}')


def first_not_finite(tensors: Mapping[str, Any]) -> str | None:
    """Return the name of the first entry that is not a tensor of finite real numbers.

    Args:
        tensors: Tensors by name, as a checkpoint holds them.

    Returns:
        The name; None if there is no such entry. Whole numbers are finite.
    """
    for name, value in tensors.items():
        if not isinstance(value, Tensor) or value.is_complex():
            return name
    checked = {name: value for name, value in tensors.items() if value.is_floating_point()}
    if not checked:
        return None
    # One transfer from the device for all of them.
    finite = torch.stack([value.detach().isfinite().all() for value in checked.values()]).tolist()
    return next((name for name, fine in zip(checked, finite, strict=True) if not fine), None)
