"""Round what a fault changed to the values that the sensor's converter can deliver."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Self

import torch
from torch import Tensor

from lipfault.faults.device import any_along, both, write_rows
from lipfault.faults.fault import Site

# Largest distance from the grid, as a share of the quantum, at which a value counts as on it.
_TOLERANCE = 1e-3

_CHUNK = 2**17
"""Elements processed at a time on a CPU, to stay in the cache of a core."""


@dataclass(frozen=True)
class _Grid:
    """Grid and range of some channels; all tensors broadcast with the values.

    Args:
        eight_bit: Whether values are stored in 8 bits.
        plain: Whether the multiples are the numbers of 8 bits themselves, so that rounding to them
            changes nothing.
        quantum: Step of the readings.
        first: Lowest multiple of the quantum in the range.
        last: Highest one.
        low: Lower end of the range, float32.
        high: Upper end of the range, float32.
    """

    eight_bit: bool
    plain: bool
    quantum: Tensor
    first: Tensor
    last: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, site: Site) -> Self:
        """Return the grid of all channels of a site."""
        sensor = site.sensor
        limits = (sensor.quantum, sensor.first, sensor.last, sensor.low, sensor.high)
        plain = sensor.eight_bit and sensor.quantum.device.type == 'cpu'
        plain = plain and bool((sensor.quantum * 255 == 1).all())
        return cls(sensor.eight_bit, plain, *(site.channelwise(values) for values in limits))

    def take(self, channel: Tensor) -> Self:
        """Return the grid of rows of a series, one for each of the channels (k,)."""
        limits = (self.quantum, self.first, self.last, self.low, self.high)
        return type(self)(self.eight_bit, self.plain, *(each[channel] for each in limits))

    def values(self, number: Tensor) -> Tensor:
        """Return the values of whole multiples of the quantum, as they are stored."""
        if self.plain:
            return number / 255
        if self.eight_bit:
            # The same operations as of an image that is read from 8 bits, so the same bits.
            return (number * (self.quantum * 255)).round_().div_(255)
        return number * self.quantum


def delivered(site: Site, faulty: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Convert faulty signals to readings: on the grid of the sensor and in its physical range.

    A value on the grid stays, so that a held reading is repeated bit by bit. Any other value stands
    for an analog one: a uniform part of a quantum, drawn for each entry, is added before rounding.
    The clean reading was rounded, too; without the added part a change of less than half a quantum
    would never show. A channel of a sample with a clean value off the grid is not rounded.

    Args:
        site: The samples.
        faulty: (n, C, ...) float32, output of the faults; NaN stays.
        mask: Bool that broadcasts to the signal, entries whose readings are used; all of them if
            not given. Channels of a series without any keep the clean readings.

    Returns:
        The readings, float32, and the entries at which they differ from the clean ones, bool; both
        of the signal's shape. A change by less than half a quantum is none.

    Reference:
        Lipshitz, Wannamaker & Vanderkooy 1992, Quantization and dither: a theoretical survey,
        https://www.aes.org/e-lib/browse.cfm?elib=7047 (rectangular dither)
    """
    if faulty.device.type != 'cpu':
        return _delivered(site, faulty)
    if faulty.ndim == 3 and mask is not None:
        return _delivered_rows(site, faulty, mask)
    grid, count = _Grid.of(site), max(1, _CHUNK * len(faulty) // max(1, faulty.numel()))
    readings = torch.empty_like(site.signal)
    changed = torch.empty_like(site.signal, dtype=torch.bool)
    for start in range(0, len(faulty), count):
        part = slice(start, start + count)
        clean, coarse = site.signal[part], _coarse(site, grid, part)
        dither = partial(_dither, site, part)
        readings[part], changed[part] = _readings(grid, clean, faulty[part], coarse, dither)
    return readings, changed


def _delivered(site: Site, faulty: Tensor) -> tuple[Tensor, Tensor]:
    """Return readings and changed entries of all samples at once."""
    grid, whole = _Grid.of(site), slice(len(faulty))
    coarse = _coarse(site, grid, whole)
    return _readings(grid, site.signal, faulty, coarse, partial(_dither, site, whole))


def _dither(site: Site, part: slice) -> Tensor:
    """Return what is added to the values of some samples before rounding."""
    return site.rows(part.start or 0, part.stop).dither


def _coarse(site: Site, grid: _Grid, part: slice) -> Tensor:
    """Return whether the clean values of each channel of some samples lie on the grid."""
    signal = site.signal[part]
    if site.on_grid is None:
        return _on_grid(grid, signal)
    return site.on_grid[part].reshape(*signal.shape[:2], *[1] * (signal.ndim - 2))


def _delivered_rows(site: Site, faulty: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return readings and changed entries, computed for the affected channels only."""
    steps = site.signal.shape[-1]
    affected = any_along(mask.expand_as(site.signal), 2).flatten().nonzero()[:, 0]  # (k,)
    sample, channel = affected // site.signal.shape[1], affected % site.signal.shape[1]
    clean, wrong = (x.reshape(-1, steps).index_select(0, affected) for x in (site.signal, faulty))
    grid = _Grid.of(site).take(channel)
    if site.on_grid is None:
        coarse = _on_grid(grid, clean)
    else:
        coarse = site.on_grid[sample, channel][:, None]
    read, moved = _readings(grid, clean, wrong, coarse, lambda: site.dither_of(sample, channel))
    # Windows that a schedule cuts from its tape overlap in memory: both results are new tensors.
    readings = site.signal.clone(memory_format=torch.contiguous_format)
    changed = torch.zeros(readings.shape, dtype=torch.bool)
    write_rows(readings.view(-1, steps), affected, read)
    write_rows(changed.view(-1, steps), affected, moved)
    return readings, changed


def _readings(
    grid: _Grid, clean: Tensor, faulty: Tensor, coarse: Tensor, dither: Callable[[], Tensor]
) -> tuple[Tensor, Tensor]:
    """Return readings and changed entries; `coarse` is where clean values lie on the grid."""
    on_cpu = faulty.device.type == 'cpu'
    number = faulty.to(grid.quantum.dtype) / grid.quantum
    nearest = number.round()
    known = (grid.values(nearest) - faulty).abs_() <= _TOLERANCE * grid.quantum
    # Nothing to draw where values are repeated; a GPU would wait for the answer.
    if on_cpu and bool(known.all()):
        number = nearest
    else:
        number = torch.where(known, nearest, number.add_(dither()).round_())
    number = torch.minimum(torch.maximum(number, grid.first), grid.last)
    readings, least = grid.values(number).float(), grid.quantum / 2
    if not (on_cpu and bool(coarse.all())):
        # NaN passes both, as it does not pass clamp on every device.
        unrounded = torch.minimum(torch.maximum(faulty, grid.low), grid.high)
        readings = torch.where(coarse, readings, unrounded)
        least = torch.where(coarse, least, grid.quantum * _TOLERANCE)
    # A clean value beyond the range is changed by a fault only.
    changed = both((readings - clean).abs_() > least, faulty != clean)
    return readings, changed


def channels_on_grid(site: Site) -> Tensor:
    """Return whether the clean values of each channel lie on the grid of the sensor.

    Args:
        site: The samples.

    Returns:
        (n, C, 1, ...) bool with the dimensions of the signal; `site.on_grid` if it is set.
    """
    return _coarse(site, _Grid.of(site), slice(len(site.signal)))


def _on_grid(grid: _Grid, clean: Tensor) -> Tensor:
    """Return whether all values of a channel lie on the grid, bool with 1 for each other axis."""
    number = (clean.to(grid.quantum.dtype) / grid.quantum).round_()
    distance, most = (grid.values(number) - clean).abs_(), _TOLERANCE * grid.quantum
    trailing = grid.quantum.ndim - 1  # 1 of a series, 2 of an image
    shape = (*clean.shape[: clean.ndim - trailing], *[1] * trailing)
    if clean.device.type == 'cpu' and bool((distance <= most).all()):
        return torch.ones(shape, dtype=torch.bool)
    # Ends of the range, at which a converter clips, and missing values count as on the grid.
    ends = (clean == grid.low) | (clean == grid.high)
    off = (distance > most) & ~ends
    return ~any_along(off.flatten(off.ndim - trailing), -1).reshape(shape)


def nearest_level(site: Site, values: Tensor) -> Tensor:
    """Round values to the nearest ones on the grid, without the part drawn by `delivered`.

    For a fault whose reading is a constant code, such as lost low bits.

    Args:
        site: The samples.
        values: (n, C, ...) float32.

    Returns:
        float32 of the same shape.
    """
    grid = _Grid.of(site)
    return grid.values((values.to(grid.quantum.dtype) / grid.quantum).round_()).float()
