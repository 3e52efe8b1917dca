"""Apply planned faults to the signal of one modality."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.faults.catalogue import AnyFault
from lipfault.faults.draws import Draws
from lipfault.faults.fault import Site
from lipfault.faults.image.site import ImageSite
from lipfault.faults.sensor import Sensor
from lipfault.faults.series.site import SeriesSite


@dataclass(frozen=True)
class Injected:
    """What became of the faulty samples of one modality; `n` samples.

    Args:
        observed: The faulty signal, of the clean signal's shape.
        mask: Bool, the places touched: series (n, C, T), image (n, 1, H, W).
        damage: (n,) float32, see `FaultLabels.damage`.
    """

    observed: Tensor
    mask: Tensor
    damage: Tensor


def inject(site: Site, groups: Sequence[tuple[AnyFault, int, int]]) -> Injected:
    """Apply faults to the samples of a site.

    Outside the mask the signal stays the same bit for bit. A value that is missing in the clean
    signal stays missing, and one that a fault cannot compute (from a missing one) stays clean.

    Args:
        site: All faulty samples of the modality, samples of one kind next to each other.
        groups: For each kind the fault, its first sample, and the sample after its last.
    """
    results = [fault.apply(site.rows(start, stop)) for fault, start, stop in groups]
    faulty = torch.cat([value for value, _ in results])
    mask = torch.cat([touched for _, touched in results])
    sensor = site.sensor
    faulty = faulty.clamp(site.channelwise(sensor.low), site.channelwise(sensor.high))
    lossy = [fault.missing for fault, _, _ in groups]
    change = faulty - site.signal
    known = ~change.isnan()
    if any(lossy):
        lost = torch.cat([mask.new_full((b - a,), fault.missing) for fault, a, b in groups])
        lost = lost.reshape(-1, *[1] * (mask.ndim - 1)) & ~site.signal.isnan()
        known, change = known | lost, torch.where(lost, site.channelwise(sensor.span), change)
    taken = mask & known
    observed = torch.where(taken, faulty, site.signal)
    relative = torch.where(taken, change / site.channelwise(sensor.noise), 0)
    mask = taken if site.signal.ndim == 3 else taken.any(1, keepdim=True)
    return Injected(observed, mask, _damage(relative, mask))


def _damage(relative: Tensor, mask: Tensor) -> Tensor:
    """(n,) RMS over the touched channels of a window, or over a whole frame."""
    # In float64, so that the order of summation does not show in the float32 result.
    energy = relative.square_().flatten(2).sum(-1, dtype=torch.float64)
    touched = mask.flatten(2).any(-1).sum(1).clamp_min(1)
    channels = touched if mask.shape[1] == relative.shape[1] else relative.shape[1]
    places = relative[0, 0].numel() if len(relative) else 1
    return (energy.sum(1) / (channels * places)).sqrt().float()


def series_site(
    sensor: Sensor,
    signal: Tensor,
    past: Tensor,
    draws: Draws,
    when: Tensor,
    largest_share: float,
    min_channels: Tensor,
) -> SeriesSite:
    """Draw the channels concerned and put a series' faulty samples together.

    Args:
        sensor: The modality's ranges and noise.
        signal: (n, C, T) float32.
        past: (n, C, steps) float32.
        draws: Draws of the samples.
        when: (4, n) int64: severity, start, stop, horizon.
        largest_share: Largest share of the channels.
        min_channels: (n,) int64, fewest channels that the fault needs.
    """
    count = signal.shape[1]
    most = max(1, -int(-count * largest_share // 1))
    number = draws.integers('channel count', 1, most).maximum(min_channels)
    rank = draws.uniform('channels', (count,)).argsort(dim=1, stable=True).argsort(1)
    severity, start, stop, horizon = when
    channels = rank < number[:, None]
    clock = torch.zeros_like(start)
    return SeriesSite(sensor, severity, draws, signal, past, channels, start, stop, horizon, clock)


def image_site(
    sensor: Sensor, signal: Tensor, past: Tensor, draws: Draws, severity: Tensor
) -> ImageSite:
    """Put an image's faulty samples together; shapes as for `ImageSite`."""
    return ImageSite(sensor, severity, draws, signal, past, draws.stream('frame'))
