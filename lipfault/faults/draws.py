"""Random numbers as a function of (seed, epoch, sample id) instead of a generator's state."""

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
    """Hash a stream's name into a signed 64-bit integer, the same in every process."""
    # Python's hash() of a string is salted anew in every process.
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, 'little', signed=True)


def text_key(text: str) -> int:
    """Hash a text into a key of draws, the same in every process.

    Args:
        text: What the draws belong to, such as the id of an episode.

    Returns:
        An integer of 63 bits, not negative.

    Example:
        >>> text_key('ur5/ur5-0003') == text_key('ur5/ur5-0004')
        False
    """
    return _name_bits(text) & (1 << 63) - 1


def instant_keys(keys: Tensor, time_s: Tensor) -> Tensor:
    """Hash keys and instants into keys of draws.

    Args:
        keys: (n,) int64, for example of episodes.
        time_s: (n,) float64 in seconds, rounded to microseconds.

    Returns:
        (n,) int64 of 63 bits, not negative.
    """
    return mix(keys + (time_s * 1e6).round().long() * GAMMA) & (1 << 63) - 1


@lru_cache(maxsize=64)
def _counters(size: int, device: torch.device) -> Tensor:
    """Return (1, size) int64, 0 to size - 1."""
    return torch.arange(size, device=device)[None]


@lru_cache(maxsize=256)
def _layout(
    sizes: tuple[tuple[str, int], ...], device: torch.device
) -> tuple[Tensor, Tensor, dict[str, slice]]:
    """Return each hashed integer's name bits and counter, and each name's columns."""
    names, counters, columns, start = [], [], {}, 0
    for name, size in sizes:
        count = (size + 1) // 2  # an integer of 64 bits makes two numbers
        names.append(torch.full((count,), _name_bits(name)))
        counters.append(torch.arange(count))
        columns[name] = slice(2 * start, 2 * start + size)
        start += count
    return torch.cat(names).to(device), (torch.cat(counters) * GAMMA).to(device), columns


def as_integers(chance: Tensor, low: int, high: Tensor | int) -> Tensor:
    """Map uniform numbers to integers.

    Args:
        chance: float32 in [0, 1), any shape.
        low: Smallest integer.
        high: Largest integer, one for all or broadcastable.

    Returns:
        int64 of the shape of `chance`, uniform from `low` to `high` inclusive.
    """
    return low + (chance * (high - low + 1)).long()


def as_choice(chance: Tensor, weights: Tensor) -> Tensor:
    """Map uniform numbers to weighted indices by inverting the cumulative distribution.

    Args:
        chance: float32 in [0, 1), any shape.
        weights: (..., choice) float64, see `Draws.choice`.

    Returns:
        int64 indices of the shape of `chance`.
    """
    edges = weights.cumsum(-1)
    point = chance[..., None].double() * edges[..., -1:]
    # Rounding may put the point on the last edge.
    return (point >= edges).sum(-1).clamp_max(weights.shape[-1] - 1)


@dataclass(frozen=True)
class Draws:
    """Random tensors for the samples of a batch, each a pure function of the sample's key.

    A counter-based generator: the same name gives the same numbers whenever it is drawn, and a row
    depends on its own key only. A sample therefore gets the same numbers in any batch, at any row,
    on any device and in any process.

    Args:
        keys: (batch,) int64, one key for each sample.

    Reference:
        Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3,
        https://doi.org/10.1145/2063384.2063405 (the idea; the hash here is SplitMix64)

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
            epoch: Epoch; 0 for validation and test, whose draws are the same in every epoch.
            sample_id: (batch,) int64 on the device of the draws.

        Returns:
            Draws of the batch.
        """
        base = _name_bits(f'{seed} {epoch}')
        return cls(mix(sample_id * GAMMA + base))

    def stream(self, name: str) -> 'Draws':
        """Derive independent draws for the same samples.

        Args:
            name: Name of the stream.

        Returns:
            Draws with other keys.
        """
        return Draws(mix(self.keys ^ _name_bits(name)))

    def at(self, counter: Tensor) -> 'Draws':
        """Derive independent draws for each value of a counter.

        Args:
            counter: (batch,) int64, for example the number of a frame.

        Returns:
            Draws with other keys.
        """
        return Draws(mix(self.keys + counter * GAMMA))

    def take(self, rows: Tensor) -> 'Draws':
        """Select samples by index.

        Args:
            rows: (n,) int64.

        Returns:
            Draws of these samples.
        """
        return Draws(self.keys.index_select(0, rows))

    def rows(self, start: int, stop: int) -> 'Draws':
        """Select consecutive samples without a copy.

        Args:
            start: First sample.
            stop: The sample after the last one.

        Returns:
            Draws of these samples.
        """
        return Draws(self.keys[start:stop])

    def uniform(self, name: str, shape: Sequence[int] = ()) -> Tensor:
        """Draw uniform numbers, bit-identical on every device.

        Args:
            name: Name of the stream.
            shape: Shape of one sample's draw.

        Returns:
            (batch, *shape) float32 in [0, 1), multiples of 2^-24.
        """
        size = math.prod(shape)
        # An integer of 64 bits makes two numbers, so half as many are hashed.
        words = uniform(_counters((size + 1) // 2, self.keys.device), self._key(name))
        return words[:, :size].reshape(-1, *shape)

    def normal(self, name: str, shape: Sequence[int] = ()) -> Tensor:
        """Draw standard normal numbers, bit-identical on every device.

        Args:
            name: Name of the stream.
            shape: Shape of one sample's draw.

        Returns:
            (batch, *shape) float32, 2^16 tabulated quantiles: mean 0, standard deviation 1 to
            1e-4, within ±4.4.
        """
        size = math.prod(shape)
        words = normal(_counters((size + 3) // 4, self.keys.device), self._key(name))
        return words[:, :size].reshape(-1, *shape)

    def uniforms(self, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
        """Draw several streams with one call of the hash.

        Args:
            shapes: Shape of one sample's draw for each name.

        Returns:
            For each name the tensor that `uniform` returns.
        """
        sizes = tuple((name, math.prod(shape)) for name, shape in shapes.items())
        names, counters, columns = _layout(sizes, self.keys.device)
        found = uniform((self.keys[:, None] ^ names) + counters)
        return {name: found[:, columns[name]].reshape(-1, *shape) for name, shape in shapes.items()}

    def integers(self, name: str, low: int, high: Tensor | int) -> Tensor:
        """Draw uniform integers.

        Args:
            name: Name of the stream.
            low: Smallest integer.
            high: Largest integer, one for all samples or (batch,).

        Returns:
            (batch,) int64 from `low` to `high` inclusive.
        """
        return as_integers(self.uniform(name), low, high)

    def sign(self, name: str, shape: Sequence[int] = ()) -> Tensor:
        """Draw signs with equal chance.

        Args:
            name: Name of the stream.
            shape: Shape of one sample's draw.

        Returns:
            (batch, *shape) float32, -1 or 1.
        """
        return torch.where(self.uniform(name, shape) < 0.5, -1.0, 1.0)

    def choice(self, name: str, weights: Tensor, shape: Sequence[int] = ()) -> Tensor:
        """Draw indices with given weights.

        Args:
            name: Name of the stream.
            weights: (..., choice) float64, not negative, with positive sums; `...` broadcasts to
                `shape`.
            shape: Shape of one sample's draw.

        Returns:
            (batch, *shape) int64.
        """
        return as_choice(self.uniform(name, shape), weights)

    def uniform_at(self, name: str, counter: Tensor) -> Tensor:
        """Draw one uniform number for each value of a counter.

        The same value gives the same number, so that draws for overlapping windows agree.

        Args:
            name: Name of the stream.
            counter: (batch, ...) int64.

        Returns:
            float32 in [0, 1) of the counter's shape.
        """
        return uniform(counter, self._key(name), each=1)

    def normal_at(self, name: str, counter: Tensor) -> Tensor:
        """Draw one standard normal number for each value of a counter.

        Args:
            name: Name of the stream.
            counter: (batch, ...) int64.

        Returns:
            float32 of the counter's shape.
        """
        return normal(counter, self._key(name), each=1)

    def _key(self, name: str) -> Tensor:
        """Return (batch,) int64, the keys of a stream."""
        return self.keys ^ _name_bits(name)
