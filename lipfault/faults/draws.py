"""Random numbers that are a function of (seed, epoch, sample id), not of a generator's state."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import torch
from torch import Tensor

# Constants of SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number
# generators"), as signed 64-bit integers, which torch multiplies modulo 2^64.
_GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND = 0x94D049BB133111EB - (1 << 64)
_QUANTILES = 1 << 16


def mix(bits: Tensor) -> Tensor:
    """Scramble 64-bit integers one to one, as SplitMix64 does; the same bits on every device.

    Args:
        bits: int64 tensor of any shape.

    Returns:
        int64 tensor of the same shape.
    """
    # Masks turn torch's arithmetic shift into the logical one.
    bits = (bits ^ (bits >> 30).bitwise_and_((1 << 34) - 1)).mul_(_FIRST)
    bits ^= (bits >> 27).bitwise_and_((1 << 37) - 1)
    bits *= _SECOND
    bits ^= (bits >> 31).bitwise_and_((1 << 33) - 1)
    return bits


@lru_cache(maxsize=4096)
def _name_bits(name: str) -> int:
    """Turn a stream's name into a signed 64-bit integer, the same in every process."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, 'little', signed=True)


@lru_cache(maxsize=64)
def _counters(size: int, device: torch.device) -> Tensor:
    return torch.arange(size, device=device) * _GAMMA


@lru_cache(maxsize=16)
def _normal_quantiles(device: torch.device) -> Tensor:
    """Tabulate the standard normal's quantiles at the midpoints of 2^16 equal shares."""
    share = (torch.arange(_QUANTILES, dtype=torch.float64) + 0.5) / _QUANTILES
    quantiles: Tensor = torch.special.ndtri(share)
    return quantiles.to(device, torch.float32)


@dataclass(frozen=True)
class Draws:
    """Random tensors for the samples of a batch, each a pure function of the sample's key.

    Asking twice for the same name gives the same numbers. A row depends on its own key only, so a
    sample sees the same numbers in any batch, at any place, on any device, in any process.

    Args:
        keys: (batch,) int64, one key for each sample.

    Example:
        >>> draws = Draws.of(seed=0, epoch=0, sample_id=torch.tensor([7, 8]))
        >>> both, last = draws.uniform('onset', (3,)), draws.take(torch.tensor([1]))
        >>> bool((both[1:] == last.uniform('onset', (3,))).all())
        True
    """

    keys: Tensor

    @classmethod
    def of(cls, seed: int, epoch: int, sample_id: Tensor) -> Self:
        """Derive the keys of a batch.

        Args:
            seed: Seed of the whole run.
            epoch: Epoch; 0 for validation and test, so that they see the same in every epoch.
            sample_id: (batch,) int64 on the device on which to draw.
        """
        base = _name_bits(f'{seed} {epoch}')
        return cls(mix(sample_id * _GAMMA + base))

    def stream(self, name: str) -> 'Draws':
        """Independent draws for the same samples."""
        return Draws(mix(self.keys ^ _name_bits(name)))

    def at(self, counter: Tensor) -> 'Draws':
        """Independent draws for each value of a (batch,) int64 counter, a frame number say."""
        return Draws(mix(self.keys + counter * _GAMMA))

    def take(self, rows: Tensor) -> 'Draws':
        """The draws of some of the samples; `rows` is a (rows,) int64 index."""
        return Draws(self.keys.index_select(0, rows))

    def rows(self, start: int, stop: int) -> 'Draws':
        """The draws of the consecutive samples `start` to `stop`, without a copy."""
        return Draws(self.keys[start:stop])

    def bits(self, name: str, count: int) -> Tensor:
        """(batch, count) int64, every bit fair."""
        key = self.keys ^ _name_bits(name)
        return mix(key[:, None] + _counters(count, key.device))

    def uniform(self, name: str, shape: Sequence[int] = ()) -> Tensor:
        """(batch, *shape) float32 in [0, 1), multiples of 2^-24, bit-identical on every device."""
        size = _size(shape)
        words = self.bits(name, (size + 1) // 2).view(torch.int32)[:, :size]
        return _unit(words).reshape(-1, *shape)

    def normal(self, name: str, shape: Sequence[int] = ()) -> Tensor:
        """(batch, *shape) float32 standard normal, bit-identical on every device.

        The values are 2^16 tabulated quantiles: mean 0, standard deviation 1 to 1e-4, within ±4.4.
        """
        size = _size(shape)
        words = self.bits(name, (size + 3) // 4).view(torch.int16)[:, :size]
        return self._quantiles(words).reshape(-1, *shape)

    def integers(self, name: str, low: int, high: Tensor | int) -> Tensor:
        """(batch,) int64, uniform from `low` to `high` inclusive; `high` may differ by sample."""
        return low + (self.uniform(name) * (high - low + 1)).long()

    def sign(self, name: str, shape: Sequence[int] = ()) -> Tensor:
        """(batch, *shape) float32, -1 or 1 with equal chance."""
        return torch.where(self.uniform(name, shape) < 0.5, -1.0, 1.0)

    def choice(self, name: str, weights: Tensor, shape: Sequence[int] = ()) -> Tensor:
        """(batch, *shape) int64 indices drawn with the given chances.

        Args:
            name: Name of the stream.
            weights: (..., choice) float64, not negative, with positive sums; `...` broadcasts to
                `shape`.
            shape: Shape of one sample's draw.
        """
        edges = weights.cumsum(-1)
        point = self.uniform(name, shape)[..., None].double() * edges[..., -1:]
        return (point >= edges).sum(-1).clamp_max(weights.shape[-1] - 1)

    def uniform_at(self, name: str, counter: Tensor) -> Tensor:
        """float32 in [0, 1) for each entry of an int64 (batch, ...) counter.

        The same counter gives the same number, so draws for overlapping windows agree.
        """
        return _unit(self._bits_at(name, counter) >> 32)

    def normal_at(self, name: str, counter: Tensor) -> Tensor:
        """Standard normal float32 for each entry of an int64 (batch, ...) counter."""
        return self._quantiles(self._bits_at(name, counter))

    def _bits_at(self, name: str, counter: Tensor) -> Tensor:
        key = self.keys ^ _name_bits(name)
        return mix(key.reshape(-1, *[1] * (counter.ndim - 1)) + counter * _GAMMA)

    def _quantiles(self, words: Tensor) -> Tensor:
        table = _normal_quantiles(self.keys.device)
        index = words.to(torch.int32) & (_QUANTILES - 1)
        return table.index_select(0, index.flatten()).view(index.shape)


def _size(shape: Sequence[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _unit(words: Tensor) -> Tensor:
    """Map the low 24 bits above the lowest 8 of each integer to [0, 1), without rounding."""
    return (words >> 8 & (1 << 24) - 1).to(torch.float32) * 2.0**-24
