"""Copies between devices, and a reduction that is slow on one of them."""

import torch
from torch import Tensor


def send(values: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to a device without the host waiting for it."""
    if device.type == 'cuda':
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def any_along(mask: Tensor, axis: int) -> Tensor:
    """Whether a bool mask is true anywhere along an axis, which goes.

    The same as `mask.any(axis)`, which takes a hundred times as long on a CPU (torch 2.13).
    """
    return mask.view(torch.uint8).amax(axis).view(torch.bool)
