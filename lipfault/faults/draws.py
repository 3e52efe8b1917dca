"""Random numbers that are a function of (seed, epoch, sample id), not of a generator's state."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import torch
from torch import Tensor

from lipfault.faults.splitmix import GAMMA, mix, normal, uniform


@lru_cache(maxsize=4096)
def _name_bits(name: str) -> int:
    """Turn a stream's name into a signed 64-bit integer, the same in every process."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, 'little', signed=True)


@lru_cache(maxsize=64)
def _counters(size: int, device: torch.device) -> Tensor:
    return torch.arange(size, device=device)[None]


@lru_cache(maxsize=256)
def _several(
    sizes: tuple[tuple[str, int], ...], device: torch.device
) -> tuple[Tensor, Tensor, dict[str, slice]]:
    """For each integer to be hashed its name's bits and its counter; each name's columns."""
    names, counters, columns, start = [], [], {}, 0
    for name, size in sizes:
        count = (size + 1) // 2
        names.append(torch.full((count,), _name_bits(name)))
        counters.append(torch.arange(count))
        columns[name] = slice(2 * start, 2 * start + size)
        start += count
    return torch.cat(names).to(device), (torch.cat(counters) * GAMMA).to(device), columns


def as_integers(chance: Tensor, low: int, high: Tensor | int) -> Tensor:
    """Turn uniform numbers into int64 ones from `low` to `high` inclusive."""
    return low + (chance * (high - low + 1)).long()


def as_choice(chance: Tensor, weights: Tensor) -> Tensor:
    """Turn uniform numbers into int64 indices, see `Draws.choice`."""
    edges = weights.cumsum(-1)
    point = chance[..., None].double() * edges[..., -1:]
    return (point >= edges).sum(-1).clamp_max(weights.shape[-1] - 1)


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
        return cls(mix(sample_id * GAMMA + base))

    def stream(self, name: str) -> 'Draws':
        """Independent draws for the same samples."""
        return Draws(mix(self.keys ^ _name_bits(name)))

    def at(self, counter: Tensor) -> 'Draws':
        """Independent draws for each value of a (batch,) int64 counter, a frame number say."""
        return Draws(mix(self.keys + counter * GAMMA))

    def take(self, rows: Tensor) -> 'Draws':
        """The draws of some of the samples; `rows` is a (rows,) int64 index."""
        return Draws(self.keys.index_select(0, rows))

    def rows(self, start: int, stop: int) -> 'Draws':
        """The draws of the consecutive samples `start` to `stop`, without a copy."""
        return Draws(self.keys[start:stop])

    def uniform(self, name: str, shape: Sequence[int] = ()) -> Tensor:
        """(batch, *shape) float32 in [0, 1), multiples of 2^-24, bit-identical on every device."""
        size = math.prod(shape)
        words = uniform(_counters((size + 1) // 2, self.keys.device), self._key(name))
        return words[:, :size].reshape(-1, *shape)

    def normal(self, name: str, shape: Sequence[int] = ()) -> Tensor:
        """(batch, *shape) float32 standard normal, bit-identical on every device.

        The values are 2^16 tabulated quantiles: mean 0, standard deviation 1 to 1e-4, within ±4.4.
        """
        size = math.prod(shape)
        words = normal(_counters((size + 3) // 4, self.keys.device), self._key(name))
        return words[:, :size].reshape(-1, *shape)

    def uniforms(self, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
        """What `uniform` gives for several names, hashed in one go."""
        sizes = tuple((name, math.prod(shape)) for name, shape in shapes.items())
        names, counters, columns = _several(sizes, self.keys.device)
        found = uniform((self.keys[:, None] ^ names) + counters)
        return {name: found[:, columns[name]].reshape(-1, *shape) for name, shape in shapes.items()}

    def integers(self, name: str, low: int, high: Tensor | int) -> Tensor:
        """(batch,) int64, uniform from `low` to `high` inclusive; `high` may differ by sample."""
        return as_integers(self.uniform(name), low, high)

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
        return as_choice(self.uniform(name, shape), weights)

    def uniform_at(self, name: str, counter: Tensor) -> Tensor:
        """float32 in [0, 1) for each entry of an int64 (batch, ...) counter.

        The same counter gives the same number, so draws for overlapping windows agree.
        """
        return uniform(counter, self._key(name), each=1)

    def normal_at(self, name: str, counter: Tensor) -> Tensor:
        """Standard normal float32 for each entry of an int64 (batch, ...) counter."""
        return normal(counter, self._key(name), each=1)

    def _key(self, name: str) -> Tensor:
        """(batch,) int64."""
        return self.keys ^ _name_bits(name)
