"""Padding of signals to a whole number of patches, and the crop that undoes it."""

import math
from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional


def whole_patches(length: int, patch: int) -> int:
    """Count the patches that cover a length.

    Args:
        length: Time steps or pixels, at least 1.
        patch: Time steps or pixels of a patch.

    Returns:
        The number of patches; the last one may reach beyond the end.

    Example:
        >>> whole_patches(25, 8)
        4
    """
    return math.ceil(length / patch)


def padded(signal: Tensor, patch: int, mode: str = 'replicate') -> Tensor:
    """Pad the end of each position axis to a whole number of patches.

    Args:
        signal: (batch, channel, time) or (batch, channel, height, width).
        patch: Time steps, or pixels in each direction.
        mode: `replicate` repeats the last value, `constant` appends zeros.

    Returns:
        The padded signal; the same tensor where nothing is missing.
    """
    missing = [-length % patch for length in signal.shape[2:]]
    if not any(missing):
        return signal
    # `pad` takes the last axis first, with the number before and after it.
    widths = [n for after in reversed(missing) for n in (0, after)]
    return functional.pad(signal, widths, mode=mode)


def cropped(signal: Tensor, size: Sequence[int]) -> Tensor:
    """Cut the position axes to a size.

    Args:
        signal: (batch, channel, time) or (batch, channel, height, width).
        size: Length of each position axis, at most that of the signal.

    Returns:
        The first values along each axis; the same tensor where the size is that of the signal.
    """
    if tuple(signal.shape[2:]) == tuple(size):
        return signal
    for axis, length in enumerate(size, start=2):
        signal = signal.narrow(axis, 0, length)
    return signal
