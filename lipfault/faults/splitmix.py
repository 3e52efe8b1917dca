"""SplitMix64 as a counter-based hash of integers, with the same bits on every device.

Reference:
    Steele, Lea & Flood 2014, Fast splittable pseudorandom number generators,
    https://doi.org/10.1145/2660193.2660195

On a CPU, NumPy hashes chunks that stay in the cache, which takes a quarter of the time that torch
takes for a whole tensor.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Words = npt.NDArray[np.uint64]

GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)
"""Increment of SplitMix64, the odd integer nearest to 2^64 / φ, as a signed 64-bit integer: torch
multiplies these modulo 2^64."""

# Multipliers of the finalizer: Stafford's variant 13, see the reference above.
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_UNIT = 2.0**-24  # spacing of float32 just below 1
_QUANTILES = 1 << 16
_CHUNK = 32768  # integers hashed at a time: 256 KiB, to stay in the cache of a core


def mix(bits: Tensor) -> Tensor:
    """Hash 64-bit integers one to one.

    Args:
        bits: int64 tensor of any shape with at least one dimension.

    Returns:
        int64 tensor of the same shape.
    """
    if bits.device.type != 'cpu':
        return torch_mix(bits)
    return torch.from_numpy(_hashed(bits.numpy().view(np.uint64)).view(np.int64))


def uniform(bits: Tensor, key: Tensor | None = None, each: int = 2) -> Tensor:
    """Hash integers into numbers in [0, 1), multiples of 2^-24.

    Args:
        bits: (n, ..., count) int64; with a key also (1, ..., count), the same for all samples.
        key: (n,) int64; the integers are counters then, and `bits * GAMMA + key` is hashed.
        each: Numbers to make from each integer, 1 or 2.

    Returns:
        (n, ..., each * count) float32.
    """
    if bits.device.type != 'cpu':
        mixed = torch_mix(_keyed(bits, key))
        return torch_uniform(mixed.view(torch.int32) if each == 2 else mixed >> 32)
    return _in_chunks(bits, key, each, _uniform_pair if each == 2 else _uniform_single)


def normal(bits: Tensor, key: Tensor | None = None, each: int = 4) -> Tensor:
    """Hash integers into standard normal numbers, the midpoints of 2^16 equal shares.

    Args:
        bits: (n, ..., count) int64, as for `uniform`.
        key: (n,) int64, as for `uniform`.
        each: Numbers to make from each integer, 1 or 4.

    Returns:
        (n, ..., each * count) float32.
    """
    if bits.device.type != 'cpu':
        mixed = torch_mix(_keyed(bits, key))
        return torch_normal(mixed.view(torch.int16) if each == 4 else mixed)
    return _in_chunks(bits, key, each, _normal_four if each == 4 else _normal_single)


def _keyed(bits: Tensor, key: Tensor | None) -> Tensor:
    """Return the integers to be hashed."""
    return bits if key is None else bits * GAMMA + key.view(-1, *[1] * (bits.ndim - 1))


def torch_mix(bits: Tensor) -> Tensor:
    """Compute `mix` in torch, for any device.

    Args:
        bits: int64 tensor of any shape.

    Returns:
        int64 tensor of the same shape.
    """
    # Masks turn torch's arithmetic shift into the logical one.
    bits = (bits ^ (bits >> 30).bitwise_and_((1 << 34) - 1)).mul_(_FIRST - (1 << 64))
    bits ^= (bits >> 27).bitwise_and_((1 << 37) - 1)
    bits *= _SECOND - (1 << 64)
    bits ^= (bits >> 31).bitwise_and_((1 << 33) - 1)
    return bits


def torch_uniform(words: Tensor) -> Tensor:
    """Map 24 bits of each integer, those above the lowest 8, to [0, 1) without rounding.

    Args:
        words: int32 or int64 tensor.

    Returns:
        float32 tensor of the same shape.
    """
    return (words >> 8 & (1 << 24) - 1).to(torch.float32) * _UNIT


def torch_normal(words: Tensor) -> Tensor:
    """Look up the normal quantile that the lowest 16 bits of each integer stand for.

    Args:
        words: int16 or int64 tensor.

    Returns:
        float32 tensor of the same shape.
    """
    index = words.to(torch.int32) & (_QUANTILES - 1)
    return _quantiles(words.device).index_select(0, index.flatten()).view(index.shape)


@lru_cache(maxsize=16)
def _quantiles(device: torch.device) -> Tensor:
    """Return (2^16,) float32, the standard normal's quantiles at midpoints of equal shares."""
    # A table, since transcendental functions round differently on different devices.
    share = (torch.arange(_QUANTILES, dtype=torch.float64) + 0.5) / _QUANTILES
    quantiles: Tensor = torch.special.ndtri(share)
    return quantiles.to(device, torch.float32)


def _hashed(words: Words) -> Words:
    """Apply SplitMix64's finalizer, with as few temporary arrays as possible."""
    mixed: Words = np.right_shift(words, 30)
    mixed ^= words
    mixed *= _FIRST
    shifted = np.right_shift(mixed, 27)
    mixed ^= shifted
    mixed *= _SECOND
    np.right_shift(mixed, 31, out=shifted)
    mixed ^= shifted
    return mixed


def _in_chunks(
    bits: Tensor, key: Tensor | None, each: int, finish: Callable[[Words, Tensor], object]
) -> Tensor:
    """Hash a tensor chunk by chunk, and convert each chunk while it is in the cache."""
    count = len(bits) if key is None else len(key)
    # (n or 1, integers of a sample)
    rows = bits.numpy().view(np.uint64).reshape(len(bits), math.prod(bits.shape[1:]))
    found = torch.empty(count, rows.shape[1] * each)
    step = max(1, _CHUNK // max(1, rows.shape[1]))
    for start in range(0, count, step):
        words = rows[start : start + step] if len(rows) == count else rows
        if key is not None:
            own_key = key[start : start + step, None].numpy().view(np.uint64)
            words = np.add(words * (GAMMA % 2**64), own_key)
        chunk = _hashed(words.reshape(-1))
        finish(chunk, found[start : start + step].view(-1))
    shape = bits.shape[1:] if each == 1 else (*bits.shape[1:-1], bits.shape[-1] * each)
    return found.view(count, *shape)


def _uniform_pair(words: Words, found: Tensor) -> None:
    """Convert both halves of each integer."""
    _units(np.right_shift(words.view(np.uint32), 8), found)


def _uniform_single(words: Words, found: Tensor) -> None:
    """Convert the upper half of each integer."""
    _units(np.right_shift(words, 40).astype(np.uint32), found)


def _units(steps: npt.NDArray[np.uint32], found: Tensor) -> None:
    """Convert steps of 2^-24 to float32."""
    # As signed integers: only their conversion is fast.
    np.multiply(steps.view(np.int32), np.float32(_UNIT), out=found.numpy(), dtype=np.float32)


def _normal_four(words: Words, found: Tensor) -> None:
    """Look up the quantiles of all four quarters of each integer."""
    _look_up(words.view(np.uint16).astype(np.int32), found)


def _normal_single(words: Words, found: Tensor) -> None:
    """Look up the quantile of the lowest quarter of each integer."""
    _look_up((words & (_QUANTILES - 1)).astype(np.int32), found)


def _look_up(index: npt.NDArray[np.int32], found: Tensor) -> None:
    """Write the quantiles with these indices."""
    torch.index_select(_quantiles(found.device), 0, torch.from_numpy(index), out=found)
