"""Apply planned faults to the signal of one modality."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.faults.device import any_along, choose
from lipfault.faults.fault import Groups, Site

_PIECE = 2**16
"""Elements worked on at a time on a CPU, few enough to stay in its cache."""


@dataclass(frozen=True)
class Injected:
    """What became of the faulty samples of one modality; `n` samples.

    Args:
        observed: The faulty signal, of the clean signal's shape.
        mask: Bool, the places touched: series (n, C, T), image (n, 1, H, W).
        channels: (n, C) bool, the channels touched; (n, 1) of an image, all alike.
        damage: (n,) float32, see `FaultLabels.damage`.
        present: (n,) bool, false where no value is left.
    """

    observed: Tensor
    mask: Tensor
    channels: Tensor
    damage: Tensor
    present: Tensor


def inject(site: Site, groups: Groups) -> Injected:
    """Apply faults to the samples of a site.

    Outside the mask the signal stays the same bit for bit. A value that is missing in the clean
    signal stays missing, and one that a fault cannot compute (from a missing one) stays clean.

    Args:
        site: All faulty samples of the modality, samples of one kind next to each other.
        groups: Which kind befalls which of them.
    """
    results = [fault.apply(site.rows(start, stop)) for fault, start, stop in groups]
    faulty = _joined([value for value, _ in results])
    touched = _joined([mask for _, mask in results])
    lossy = any(fault.missing for fault, _, _ in groups)
    return settle(site, faulty, touched, _of_missing_kind(groups, site) if lossy else None)


def settle(site: Site, faulty: Tensor, touched: Tensor, lost: Tensor | None) -> Injected:
    """Take faulty signals inside a mask, in the physical range, and work the damage out.

    Args:
        site: The samples.
        faulty: What the faults give, of the signal's shape.
        touched: Where they act, bool, broadcastable to the signal.
        lost: (n, 1, ...) bool, samples whose values are lost rather than wrong, if there are any.
    """
    low, high = site.channelwise(site.sensor.low), site.channelwise(site.sensor.high)
    taken = touched & (site.severity > 0).reshape(-1, *[1] * (site.signal.ndim - 1))
    if lost is None and faulty.device.type == 'cpu':
        injected = _settle_complete(site, _within(faulty, low, high), taken)
        if bool(injected.damage.isfinite().all()):
            return injected
    return _settle_missing(site, _within(faulty, low, high), taken, lost)


def _within(faulty: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """A copy in the physical range."""
    clamped = torch.maximum(faulty, low)
    return torch.minimum(clamped, high, out=clamped)


def _settle_complete(site: Site, faulty: Tensor, taken: Tensor) -> Injected:
    """The result if no value is missing; where one is, its damage is no finite number."""
    whole = bool(taken.numpy().all())
    observed = faulty if whole else choose(taken, faulty, site.signal)
    count = max(1, _PIECE * len(observed) // max(1, observed.numel()))
    energy = [
        _energy(observed[start : start + count] - site.signal[start : start + count])
        for start in range(0, len(observed), count)
    ]
    return _result(site, observed, taken, torch.cat(energy), site.severity >= 0)


def _settle_missing(site: Site, faulty: Tensor, taken: Tensor, lost: Tensor | None) -> Injected:
    """The result where values may be missing; the host never waits for a device."""
    present, missing = site.severity >= 0, site.signal.isnan()
    known = ~(faulty - site.signal).isnan()
    if lost is not None:
        known = known | (lost & ~missing)
    taken = taken & known
    observed = torch.where(taken, faulty, site.signal)
    change = (observed - site.signal).nan_to_num_(0.0)
    if lost is not None:
        span = site.channelwise(site.sensor.span)
        change = torch.where(taken & lost, span, change)
        present = ~observed.flatten(1).isnan().all(1)
    return _result(site, observed, taken, _energy(change), present)


def _energy(change: Tensor) -> Tensor:
    """(n, C) float64, sum of squares; uses the change up."""
    # In float64, so that the order of summation does not show in the float32 result.
    return change.square_().flatten(2).sum(-1, dtype=torch.float64)


def _result(
    site: Site, observed: Tensor, taken: Tensor, energy: Tensor, present: Tensor
) -> Injected:
    """Put the result together, the damage worked out from the (n, C) energy of the change."""
    mask = taken
    if site.signal.ndim == 4 and taken.shape[1] > 1:
        mask = any_along(taken, 1)[:, None]
    channels = any_along(mask.flatten(2), 2)
    touched = channels.sum(1).clamp_min(1) if site.signal.ndim == 3 else observed.shape[1]
    places = math.prod(observed.shape[2:])
    damage = ((energy / site.sensor.noise**2).sum(1) / (touched * places)).sqrt().float()
    return Injected(observed, mask, channels, damage, present)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _of_missing_kind(groups: Groups, site: Site) -> Tensor:
    """(n, 1, ...) bool, the samples whose values are lost rather than wrong."""
    parts = [site.severity.new_full((stop - start,), kind.missing) for kind, start, stop in groups]
    return torch.cat(parts).bool().reshape(-1, *[1] * (site.signal.ndim - 1))
