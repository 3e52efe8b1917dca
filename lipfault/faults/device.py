"""Copies between devices, and faster CPU versions of some torch operations, equal bit for bit.

The operations are those on bool masks and whole rows that torch 2.13 does slowly on a CPU.
"""

import torch
from torch import Tensor


def send(values: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to a device without the host waiting for the copy.

    Args:
        values: CPU tensor of any shape and dtype.
        device: Destination.

    Returns:
        The tensor on the device.
    """
    if device.type == 'cuda':
        # Only a copy from pinned memory is asynchronous.
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def any_along(mask: Tensor, axis: int) -> Tensor:
    """Return `mask.any(axis)`.

    Args:
        mask: Bool tensor of any shape.
        axis: Axis to reduce.

    Returns:
        Bool tensor without that axis.
    """
    last = axis in (-1, mask.ndim - 1)
    if last and mask.is_contiguous() and not (mask.shape[-1] % 4 or mask.storage_offset() % 4):
        return mask.view(torch.int32).amax(-1) != 0  # four bools at a time
    return mask.view(torch.uint8).amax(axis).view(torch.bool)


def both(one: Tensor, other: Tensor) -> Tensor:
    """Return `one & other`.

    Args:
        one: Bool mask.
        other: Bool mask that broadcasts with the first.

    Returns:
        Bool mask of the broadcast shape.
    """
    return (one.view(torch.uint8) * other.view(torch.uint8)).view(torch.bool)


def choose(mask: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
    """Return `torch.where(mask, inside, outside)`, which may overwrite `inside`.

    Args:
        mask: Bool, broadcasts to the others.
        inside: float32, of the shape of `outside`.
        outside: float32.

    Returns:
        float32 of the shape of `outside`.
    """
    if inside.device.type != 'cpu' or inside.dtype != torch.float32:
        return torch.where(mask, inside, outside)
    # Select the bits with a mask of all ones or all zeros: out ^ ((in ^ out) & mask).
    bits, other = inside.view(torch.int32), outside.view(torch.int32)
    bits ^= other
    bits &= mask.to(torch.int32).neg_()
    bits ^= other
    return inside


def take_rows(values: Tensor, index: Tensor) -> Tensor:
    """Gather rows along the last axis but one.

    Args:
        values: (n, C, K, W) of any dtype.
        index: (n, 1 or C, m) int64 in [0, K).

    Returns:
        (n, C, m, W).
    """
    samples, count, length, width = values.shape
    # Number of the first row of each sample and channel, if all rows are counted through.
    first = torch.arange(0, samples * count * length, length, device=values.device)
    rows = index + first.view(samples, count, 1)
    return values.reshape(-1, width).index_select(0, rows.view(-1)).view(*rows.shape, width)


def write_rows(target: Tensor, rows: Tensor, values: Tensor) -> None:
    """Run `target.index_copy_(0, rows, values)` for distinct rows.

    Args:
        target: (batch, ...) tensor, changed in place.
        rows: (n,) int64, distinct.
        values: (n, ...) of the target's dtype.
    """
    # NumPy has no bfloat16, and refuses tensors that require a gradient.
    if target.device.type == 'cpu' and not target.requires_grad and target.dtype != torch.bfloat16:
        target.numpy()[rows.numpy()] = values.numpy()
    else:
        target.index_copy_(0, rows, values)
