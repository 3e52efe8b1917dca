"""Apply planned faults to the signal of one modality."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.faults.device import any_along
from lipfault.faults.fault import Groups, Site


@dataclass(frozen=True)
class Injected:
    """What became of the faulty samples of one modality; `n` samples.

    Args:
        observed: The faulty signal, of the clean signal's shape.
        mask: Bool, the places touched: series (n, C, T), image (n, 1, H, W).
        damage: (n,) float32, see `FaultLabels.damage`.
        present: (n,) bool, false where no value is left.
    """

    observed: Tensor
    mask: Tensor
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
    faulty = torch.cat([value for value, _ in results])
    touched = torch.cat([mask for _, mask in results])
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
    faulty = torch.minimum(torch.maximum(faulty, low), high)
    taken = touched & (site.severity > 0).reshape(-1, *[1] * (site.signal.ndim - 1))
    present = site.severity >= 0
    if lost is None and _complete(faulty, site.signal):
        observed = torch.where(taken, faulty, site.signal)
        change = observed - site.signal
    else:
        known = ~(faulty - site.signal).isnan()
        if lost is not None:
            known = known | (lost & ~site.signal.isnan())
        taken = taken & known
        observed = torch.where(taken, faulty, site.signal)
        change = (observed - site.signal).nan_to_num_(0.0)
        if lost is not None:
            change = torch.where(taken & lost, high - low, change)
            present = ~observed.flatten(1).isnan().all(1)
    mask = taken
    if site.signal.ndim == 4 and taken.shape[1] > 1:
        mask = any_along(taken, 1)[:, None]
    return Injected(observed, mask, _damage(site, change, mask), present)


def _complete(*signals: Tensor) -> bool:
    """Whether it is known without waiting for a device that no value is missing."""
    return all(each.device.type == 'cpu' and bool(each.sum().isfinite()) for each in signals)


def _of_missing_kind(groups: Groups, site: Site) -> Tensor:
    """(n, 1, ...) bool, the samples whose values are lost rather than wrong."""
    parts = [site.severity.new_full((stop - start,), kind.missing) for kind, start, stop in groups]
    return torch.cat(parts).bool().reshape(-1, *[1] * (site.signal.ndim - 1))


def _damage(site: Site, change: Tensor, mask: Tensor) -> Tensor:
    """(n,) RMS over the touched channels of a window, or over a whole frame, per noise."""
    # In float64, so that the order of summation does not show in the float32 result.
    energy = change.square().flatten(2).sum(-1, dtype=torch.float64) / site.sensor.noise**2
    touched = any_along(mask.flatten(2), 2).sum(1).clamp_min(1)
    channels = touched if site.signal.ndim == 3 else change.shape[1]
    places = math.prod(change.shape[2:])
    return (energy.sum(1) / (channels * places)).sqrt().float()
