"""Apply drawn faults to the samples of one modality."""

import math

import torch
from torch import Tensor

from lipfault.faults.device import any_along, both, choose
from lipfault.faults.fault import Groups, Site
from lipfault.faults.grid import delivered
from lipfault.faults.injected import Injected

_CHUNK = 2**16
"""Elements processed at a time on a CPU: 256 KiB of float32, to stay in the cache of a core."""


def apply_faults(site: Site, groups: Groups) -> Injected:
    """Apply faults to the samples of a site.

    Outside the mask the signal stays the same bit for bit. A value that is missing in the clean
    signal stays missing, and one that a fault cannot compute (from a missing one) stays clean.

    Args:
        site: All faulty samples of the modality, samples of one kind next to each other.
        groups: Kinds of the samples.

    Returns:
        The result.
    """
    results = [fault.apply(site.rows(start, stop)) for fault, start, stop in groups]
    faulty = _concatenated([value for value, _ in results])
    mask = _concatenated([mask for _, mask in results])
    lossy = any(fault.missing for fault, _, _ in groups)
    return finish(site, faulty, mask, _loses_values(groups, site) if lossy else None)


def finish(site: Site, faulty: Tensor, mask: Tensor, lost: Tensor | None) -> Injected:
    """Round faulty signals to the sensor's grid, restrict them to the mask, compute the damage.

    A sample in which no reading changes gets an empty mask and a damage of 0.

    Args:
        site: The samples.
        faulty: Output of the faults, of the signal's shape.
        mask: Bool, the affected entries, broadcastable to the signal.
        lost: (n, 1, ...) bool, samples whose values are lost rather than wrong, if there are any.

    Returns:
        The result.
    """
    # (n, 1, ...): severity 0 changes nothing
    mask = mask & (site.severity > 0).reshape(-1, *[1] * (site.signal.ndim - 1))
    readings, changed = delivered(site, faulty, mask)
    if site.sensor.chain is not None:
        # A controller computes derived channels from the joints as they were delivered.
        faulty, mask = site.sensor.chain.follow(site.signal, readings, mask)
        readings, changed = delivered(site, faulty, mask)
    changed = changed & mask
    if lost is None and faulty.device.type == 'cpu':
        injected = _finish_complete(site, readings, mask, changed)
        # A NaN in the signal makes its damage NaN, which is cheaper to test than the signal.
        if bool(injected.damage.isfinite().all()):
            return injected
        readings, _ = delivered(site, faulty, mask)  # the other was overwritten
    return _finish_missing(site, readings, mask, changed, lost)


def _finish_complete(site: Site, readings: Tensor, mask: Tensor, changed: Tensor) -> Injected:
    """Return the result if no value is missing; where one is, the damage is not finite."""
    observed = choose(changed, readings, site.signal)
    count = max(1, _CHUNK * len(observed) // max(1, observed.numel()))
    energy = [
        _energy(observed[start : start + count] - site.signal[start : start + count])
        for start in range(0, len(observed), count)
    ]
    return _result(site, observed, mask, torch.cat(energy), site.severity >= 0)


def _finish_missing(
    site: Site, readings: Tensor, mask: Tensor, changed: Tensor, lost: Tensor | None
) -> Injected:
    """Return the result where values may be missing; the host never waits for a device."""
    # All present, as a tensor on the signal's device.
    present, missing = site.severity >= 0, site.signal.isnan()
    defined = ~(readings - site.signal).isnan()
    if lost is not None:
        # Readings on the way back to the true value are wrong, not lost.
        gone = mask & lost & ~missing & readings.isnan()
        defined, changed = defined | gone, changed | gone
    mask = mask & defined
    observed = torch.where(changed, readings, site.signal)
    change = (observed - site.signal).nan_to_num_(0.0)
    if lost is not None:
        change = torch.where(gone, site.channelwise(site.sensor.span), change)
        present = ~observed.flatten(1).isnan().all(1)
    return _result(site, observed, mask, _energy(change), present)


def _energy(change: Tensor) -> Tensor:
    """Return (n, C) float64, the sum of squares; overwrites the change."""
    # In float64, so that the order of summation does not show in the float32 result.
    return change.square_().flatten(2).sum(-1, dtype=torch.float64)


def _result(
    site: Site, observed: Tensor, mask: Tensor, energy: Tensor, present: Tensor
) -> Injected:
    """Return the result, with the damage computed from the (n, C) energy of the change."""
    if site.signal.ndim == 4 and mask.shape[1] > 1:
        mask = any_along(mask, 1)[:, None]
    channels = any_along(mask.flatten(2), 2)
    affected = channels.sum(1).clamp_min(1) if site.signal.ndim == 3 else observed.shape[1]
    size = math.prod(observed.shape[2:])  # steps, or pixels, of a channel
    damage = ((energy / site.sensor.noise**2).sum(1) / (affected * size)).sqrt().float()
    # No fault is labelled where nothing changed.
    mask = both(mask, (damage > 0).reshape(-1, *[1] * (mask.ndim - 1)))
    return Injected(observed, mask, both(channels, (damage > 0)[:, None]), damage, present)


def _concatenated(parts: list[Tensor]) -> Tensor:
    """Concatenate the samples of all kinds, without a copy where there is one kind only."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _loses_values(groups: Groups, site: Site) -> Tensor:
    """Return (n, 1, ...) bool, the samples whose values are lost rather than wrong."""
    parts = [site.severity.new_full((stop - start,), kind.missing) for kind, start, stop in groups]
    return torch.cat(parts).bool().reshape(-1, *[1] * (site.signal.ndim - 1))
