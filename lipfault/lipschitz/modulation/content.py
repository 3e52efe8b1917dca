"""Comparison of weights by content: the one test that no way of writing a weight escapes.

A version counter misses writes through `.data` (FSDP, weight averaging, many optimizers), and an
address is reused after its tensor is freed.
"""

import torch
from torch import Tensor

REPLACED = 0.5
"""Relative change of the first row from which a weight counts as replaced, not trained."""


def same_content(weight: Tensor, seen: Tensor | None) -> bool:
    """Compare a weight with a copy of an earlier one, bit by bit.

    Args:
        weight: Weight, not inside a transform.
        seen: Copy of an earlier weight, or None.

    Returns:
        Whether shape, dtype, device and all entries are the same.
    """
    if seen is None or weight.shape != seen.shape or weight.dtype != seen.dtype:
        return False
    if weight.device != seen.device:
        return False
    a, b = weight.detach(), seen
    # Twice as fast in words of 64 bits. Not by numpy(), after which FSDP cannot free the storage.
    aligned = a.shape[-1] * a.itemsize % 8 == 0 == a.storage_offset() * a.itemsize % 8
    if a.is_contiguous() and aligned:
        a, b = a.view(torch.int64), b.view(torch.int64)
    return torch.equal(a, b)


def copy_content(weight: Tensor, seen: Tensor | None) -> Tensor:
    """Copy a weight, into the earlier copy where it has the same form.

    Args:
        weight: Weight, not inside a transform.
        seen: Earlier copy, or None.

    Returns:
        Detached copy, of the shape of the weight.
    """
    fits = seen is not None and seen.shape == weight.shape and seen.dtype == weight.dtype
    if seen is None or not fits or seen.device != weight.device:
        return weight.detach().clone(memory_format=torch.contiguous_format)
    return seen.copy_(weight.detach())


def is_replaced(weight: Tensor, seen: Tensor | None) -> bool:
    """Return whether a weight is another one than the earlier, not a trained version of it.

    Args:
        weight: Weight in CPU memory, not inside a transform.
        seen: Copy of the earlier weight, or None.

    Returns:
        Whether the first row has changed by more than `REPLACED` of its norm.
    """
    if seen is None or weight.shape != seen.shape or weight.dtype != seen.dtype:
        return seen is not None
    before, after = seen[0], weight.detach()[0]
    return bool(torch.dist(after, before) > REPLACED * torch.linalg.vector_norm(before))
