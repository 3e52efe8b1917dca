"""Copies between devices, and what torch (2.13) does slowly on a CPU, done faster, bit for bit."""

import torch
from torch import Tensor


def send(values: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to a device without the host waiting for it."""
    if device.type == 'cuda':
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def any_along(mask: Tensor, axis: int) -> Tensor:
    """Whether a bool mask is true anywhere along an axis, which goes; as `mask.any(axis)`."""
    last = axis in (-1, mask.ndim - 1)
    if last and mask.is_contiguous() and not (mask.shape[-1] % 4 or mask.storage_offset() % 4):
        return mask.view(torch.int32).amax(-1) != 0  # four at a time
    return mask.view(torch.uint8).amax(axis).view(torch.bool)


def both(one: Tensor, other: Tensor) -> Tensor:
    """`one & other` of bool masks that broadcast."""
    return (one.view(torch.uint8) * other.view(torch.uint8)).view(torch.bool)


def choose(mask: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
    """`torch.where(mask, inside, outside)`, which may use up the memory of `inside`.

    Args:
        mask: Bool, broadcasts to the others.
        inside: Of the shape of `outside`.
        outside: float32.
    """
    if inside.device.type != 'cpu' or inside.dtype != torch.float32:
        return torch.where(mask, inside, outside)
    bits, other = inside.view(torch.int32), outside.view(torch.int32)
    bits ^= other
    bits &= mask.to(torch.int32).neg_()
    bits ^= other
    return inside


def take_rows(values: Tensor, place: Tensor) -> Tensor:
    """Look rows up along the last axis but one.

    Args:
        values: (n, C, K, W) of any dtype.
        place: (n, 1 or C, m) int64 in [0, K).

    Returns:
        (n, C, m, W).
    """
    samples, count, length, width = values.shape
    first = torch.arange(0, samples * count * length, length, device=values.device)
    index = place + first.view(samples, count, 1)
    return values.reshape(-1, width).index_select(0, index.view(-1)).view(*index.shape, width)


def write_rows(target: Tensor, rows: Tensor, values: Tensor) -> None:
    """`target.index_copy_(0, rows, values)`; `rows` are distinct."""
    if target.device.type == 'cpu' and not target.requires_grad and target.dtype != torch.bfloat16:
        target.numpy()[rows.numpy()] = values.numpy()
    else:
        target.index_copy_(0, rows, values)
