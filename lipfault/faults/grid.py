"""Round what a fault changed to the values that the sensor's converter can deliver."""

import torch
from torch import Tensor

from lipfault.faults.device import any_along
from lipfault.faults.fault import Sensor, Site

# Largest distance from the grid, as a share of the quantum, at which a value counts as on it.
_TOLERANCE = 1e-3

_CHUNK = 2**16
"""Elements processed at a time on a CPU, to stay in the cache of a core."""


def delivered(site: Site, faulty: Tensor) -> tuple[Tensor, Tensor]:
    """Convert faulty signals to readings: on the grid of the sensor and in its physical range.

    A value on the grid stays, so that a held reading is repeated bit by bit. Any other value stands
    for an analog one: a uniform part of a quantum, drawn for each entry, is added before rounding.
    The clean reading was rounded, too; without the added part a change of less than half a quantum
    would never show. A channel of a sample with a clean value off the grid is not rounded.

    Args:
        site: The samples.
        faulty: (n, C, ...) float32, output of the faults; NaN stays.

    Returns:
        The readings, float32, and the entries at which they differ from the clean ones, bool; both
        of the signal's shape. A change by less than half a quantum is none.

    Reference:
        Lipshitz, Wannamaker & Vanderkooy 1992, Quantization and dither: a theoretical survey,
        https://www.aes.org/e-lib/browse.cfm?elib=7047 (rectangular dither)
    """
    count = max(1, _CHUNK * len(faulty) // max(1, faulty.numel()))
    if faulty.device.type != 'cpu' or count >= len(faulty):
        return _delivered(site, faulty)
    parts = [
        _delivered(site.rows(start, start + count), faulty[start : start + count])
        for start in range(0, len(faulty), count)
    ]
    return torch.cat([part for part, _ in parts]), torch.cat([part for _, part in parts])


def _delivered(site: Site, faulty: Tensor) -> tuple[Tensor, Tensor]:
    """Return readings and changed entries of some samples."""
    sensor = site.sensor
    quantum, first, last, low, high = (
        site.channelwise(values)
        for values in (sensor.quantum, sensor.first, sensor.last, sensor.low, sensor.high)
    )
    number = faulty.to(quantum.dtype) / quantum
    nearest = number.round()
    known = (_value(sensor, nearest, quantum) - faulty).abs() <= _TOLERANCE * quantum
    number = torch.where(known, nearest, number.add_(site.dither).round_())
    number = torch.minimum(torch.maximum(number, first), last)
    readings = _value(sensor, number, quantum).float()
    coarse = channels_on_grid(site)
    # NaN passes both, as it does not pass clamp on every device.
    unrounded = torch.minimum(torch.maximum(faulty, low), high)
    readings = torch.where(coarse, readings, unrounded)
    least = torch.where(coarse, quantum / 2, quantum * _TOLERANCE)
    # A clean value beyond the range is changed by a fault only.
    changed = ((readings - site.signal).abs() > least) & (faulty != site.signal)
    return readings, changed


def channels_on_grid(site: Site) -> Tensor:
    """Return whether the clean values of each channel lie on the grid of the sensor.

    Args:
        site: The samples.

    Returns:
        (n, C, 1, ...) bool with the dimensions of the signal; `site.on_grid` if it is set.
    """
    signal, sensor = site.signal, site.sensor
    if site.on_grid is not None:
        return site.on_grid.reshape(*signal.shape[:2], *[1] * (signal.ndim - 2))
    quantum = site.channelwise(sensor.quantum)
    nearest = _value(sensor, (signal.to(quantum.dtype) / quantum).round_(), quantum)
    # Ends of the range, at which a converter clips, and missing values count as on the grid.
    ends = (signal == site.channelwise(sensor.low)) | (signal == site.channelwise(sensor.high))
    off = ((nearest - signal).abs() > _TOLERANCE * quantum) & ~ends
    return ~any_along(off.flatten(2), 2).reshape(*signal.shape[:2], *[1] * (signal.ndim - 2))


def nearest_level(site: Site, values: Tensor) -> Tensor:
    """Round values to the nearest ones on the grid, without the part drawn by `delivered`.

    For a fault whose reading is a constant code, such as lost low bits.

    Args:
        site: The samples.
        values: (n, C, ...) float32.

    Returns:
        float32 of the same shape.
    """
    quantum = site.channelwise(site.sensor.quantum)
    return _value(site.sensor, (values.to(quantum.dtype) / quantum).round_(), quantum).float()


def _value(sensor: Sensor, number: Tensor, quantum: Tensor) -> Tensor:
    """Return the values of whole multiples of the quantum, as they are stored."""
    if sensor.eight_bit:
        # The same operations as of an image that is read from 8 bits, so the same bits.
        return (number * (quantum * 255)).round_() / 255
    return number * quantum
