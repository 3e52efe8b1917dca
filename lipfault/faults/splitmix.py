"""Hash integers into random numbers by SplitMix64, the same bits on every device.

Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators",
doi:10.1145/2660193.2660195. On a CPU NumPy works through pieces that stay in its cache, which takes
a quarter of the time that torch takes over a whole tensor.
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
"""Distance of two counters, as a signed 64-bit integer, which torch multiplies modulo 2^64."""

_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_UNIT = 2.0**-24
_QUANTILES = 1 << 16
_PIECE = 32768


def mix(bits: Tensor) -> Tensor:
    """Scramble 64-bit integers one to one.

    Args:
        bits: int64 tensor of any shape but a single number's.

    Returns:
        int64 tensor of the same shape.
    """
    if bits.device.type != 'cpu':
        return torch_mix(bits)
    return torch.from_numpy(_scrambled(bits.numpy().view(np.uint64)).view(np.int64))


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
    return _in_pieces(bits, key, each, _uniform_pair if each == 2 else _uniform_single)


def normal(bits: Tensor, key: Tensor | None = None, each: int = 4) -> Tensor:
    """Hash integers into standard normal numbers, the midpoints of 2^16 equal shares.

    The arguments are those of `uniform`; `each` is 1 or 4.
    """
    if bits.device.type != 'cpu':
        mixed = torch_mix(_keyed(bits, key))
        return torch_normal(mixed.view(torch.int16) if each == 4 else mixed)
    return _in_pieces(bits, key, each, _normal_four if each == 4 else _normal_single)


def _keyed(bits: Tensor, key: Tensor | None) -> Tensor:
    """The integers to be hashed."""
    return bits if key is None else bits * GAMMA + key.view(-1, *[1] * (bits.ndim - 1))


def torch_mix(bits: Tensor) -> Tensor:
    """`mix` in torch, for any device."""
    # Masks turn torch's arithmetic shift into the logical one.
    bits = (bits ^ (bits >> 30).bitwise_and_((1 << 34) - 1)).mul_(_FIRST - (1 << 64))
    bits ^= (bits >> 27).bitwise_and_((1 << 37) - 1)
    bits *= _SECOND - (1 << 64)
    bits ^= (bits >> 31).bitwise_and_((1 << 33) - 1)
    return bits


def torch_uniform(words: Tensor) -> Tensor:
    """Map the low 24 bits above the lowest 8 of each integer to [0, 1), without rounding."""
    return (words >> 8 & (1 << 24) - 1).to(torch.float32) * _UNIT


def torch_normal(words: Tensor) -> Tensor:
    """Look up the quantile that the lowest 16 bits of each integer stand for."""
    index = words.to(torch.int32) & (_QUANTILES - 1)
    return _quantiles(words.device).index_select(0, index.flatten()).view(index.shape)


@lru_cache(maxsize=16)
def _quantiles(device: torch.device) -> Tensor:
    """Tabulate the standard normal's quantiles at the midpoints of 2^16 equal shares."""
    share = (torch.arange(_QUANTILES, dtype=torch.float64) + 0.5) / _QUANTILES
    quantiles: Tensor = torch.special.ndtri(share)
    return quantiles.to(device, torch.float32)


def _scrambled(words: Words) -> Words:
    """SplitMix64's finalizer."""
    mixed: Words = np.right_shift(words, 30)
    mixed ^= words
    mixed *= _FIRST
    shifted = np.right_shift(mixed, 27)
    mixed ^= shifted
    mixed *= _SECOND
    np.right_shift(mixed, 31, out=shifted)
    mixed ^= shifted
    return mixed


def _in_pieces(
    bits: Tensor, key: Tensor | None, each: int, finish: Callable[[Words, Tensor], object]
) -> Tensor:
    """Scramble a tensor piece by piece, and finish each piece while it is in the cache."""
    count = len(bits) if key is None else len(key)
    rows = bits.numpy().view(np.uint64).reshape(len(bits), math.prod(bits.shape[1:]))
    found = torch.empty(count, rows.shape[1] * each)
    step = max(1, _PIECE // max(1, rows.shape[1]))
    for start in range(0, count, step):
        words = rows[start : start + step] if len(rows) == count else rows
        if key is not None:
            mine = key[start : start + step, None].numpy().view(np.uint64)
            words = np.add(words * (GAMMA % 2**64), mine)
        piece = _scrambled(words.reshape(-1))
        finish(piece, found[start : start + step].view(-1))
    shape = bits.shape[1:] if each == 1 else (*bits.shape[1:-1], bits.shape[-1] * each)
    return found.view(count, *shape)


def _uniform_pair(words: Words, found: Tensor) -> None:
    _units(np.right_shift(words.view(np.uint32), 8), found)


def _uniform_single(words: Words, found: Tensor) -> None:
    _units(np.right_shift(words, 40).astype(np.uint32), found)


def _units(steps: npt.NDArray[np.uint32], found: Tensor) -> None:
    """Steps of 2^-24 as float32; signed, since only that conversion is fast."""
    np.multiply(steps.view(np.int32), np.float32(_UNIT), out=found.numpy(), dtype=np.float32)


def _normal_four(words: Words, found: Tensor) -> None:
    _look_up(words.view(np.uint16).astype(np.int32), found)


def _normal_single(words: Words, found: Tensor) -> None:
    _look_up((words & (_QUANTILES - 1)).astype(np.int32), found)


def _look_up(places: npt.NDArray[np.int32], found: Tensor) -> None:
    torch.index_select(_quantiles(found.device), 0, torch.from_numpy(places), out=found)
