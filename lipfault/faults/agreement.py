"""Requirements on a fault in a recording: any window shows the same reading at the same instant."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from lipfault.faults.apply import apply_faults
from lipfault.faults.fault import AnyFault, Site
from lipfault.faults.grid import channels_on_grid
from lipfault.faults.image.site import Frames, ImageSite
from lipfault.faults.series.site import SeriesSite

_CUTS = (0.0, 0.02, 0.1, 0.37, 1.0)
"""Shares of a window at which it is cut into shorter ones; the first has one step or few."""

_NEXT = 0.4
"""Share of a window after which the clean readings are replaced, to test causality."""


def disagreements(fault: AnyFault, site: Site) -> Iterator[str]:
    """Yield the requirements on a recording that a fault violates on some samples.

    Windows that overlap hold the same reading at the same instant. The reading depends on clean
    values neither later, if the fault is `causal`, nor more than `reach` before the onset; without
    `needs_history` not on values before the window.

    Args:
        fault: The fault.
        site: The samples.

    Yields:
        One sentence for each violation.
    """
    site = replace(site, on_grid=channels_on_grid(site).flatten(1))
    if isinstance(site, SeriesSite):
        yield from _series(fault, site)
    elif isinstance(site, ImageSite):
        yield from _image(fault, site)


def _series(fault: AnyFault, site: SeriesSite) -> Iterator[str]:
    """Yield the violations on a series."""
    whole, steps = _readings(fault, site), site.signal.shape[-1]
    place = round(_NEXT * steps)
    later = torch.arange(steps, device=site.signal.device) >= place
    changed = replace(site, signal=torch.where(later, site.signal.flip(0), site.signal))
    if fault.causal and not _same(_readings(fault, changed)[..., :place], whole[..., :place]):
        yield (
            'the reading at an instant changes with later clean values; set causal = False if the '
            'formula says so'
        )
    cuts = sorted({min(steps, round(share * steps)) for share in _CUTS})
    parts = [_readings(fault, _cut(site, start, stop)) for start, stop in pairwise(cuts)]
    if not _same(torch.cat(parts, dim=-1), whole):
        yield 'the reading at an instant depends on where the window begins or ends'
    yield from _reads_too_early(fault, site, whole)


def _reads_too_early(fault: AnyFault, site: SeriesSite, whole: Tensor) -> Iterator[str]:
    """Yield a violation if a reading depends on values before those that the fault asks for."""
    if not fault.needs_history:
        if not _same(_readings(fault, replace(site, past=site.past[..., :0])), whole):
            yield 'it reads samples from before the window, but needs_history is False'
        return
    severity = int(site.severity.max())
    reach = fault.reach(severity, site.sensor.rate_hz)
    early = (site.extended_time < site.start[:, None] - reach)[:, None]
    changed = torch.where(early, site.extended.flip(0), site.extended)
    length = site.past.shape[-1]
    other = replace(site, past=changed[..., :length], signal=changed[..., length:])
    since = (site.age >= 0)[:, None]
    if not _same(_readings(fault, other) * since, whole * since):
        yield (
            f'it reads more than reach() = {reach} samples before its onset at severity {severity}'
        )


def _image(fault: AnyFault, site: ImageSite) -> Iterator[str]:
    """Yield the violations on frames; `anchor` is the frame at the onset, as in a schedule."""
    severity = int(site.severity.max())
    reach = fault.reach(severity, site.sensor.rate_hz)
    site = replace(site, anchor=site.signal.flip(0))
    whole = _readings(fault, site)
    if not _same(_readings(fault, replace(site, ago=1 - site.ago)), whole):
        yield 'the frame before is not what a window shows that ends one frame earlier'
    if reach > len(site.past):
        return
    newest = Frames(site.past.batch[:, len(site.past) - reach :], site.past.samples)
    if not _same(_readings(fault, replace(site, past=newest)), whole):
        yield f'it reads more than reach() = {reach} frames back at severity {severity}'


def _readings(fault: AnyFault, site: Site) -> Tensor:
    """Return (n, 2, C, ...) float32, observed readings and mask of the affected ones."""
    observed = apply_faults(site, [(fault, 0, len(site.signal))]).observed
    mask = fault.apply(site)[1].expand_as(observed)
    return torch.stack([observed, mask.float()], dim=1)


def _cut(site: SeriesSite, start: int, stop: int) -> SeriesSite:
    """Return a part of each window as a window, with all readings before it as its past."""
    return replace(
        site,
        signal=site.signal[..., start:stop],
        other=None if site.other is None else site.other[..., start:stop],
        past=torch.cat([site.past, site.signal[..., :start]], dim=-1),
        start=site.start - start,
        stop=site.stop - start,
        clock=site.clock + start,
    )


def _same(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors are equal, NaN equal to NaN."""
    return torch.equal(one.nan_to_num(nan=-1e9), other.nan_to_num(nan=-1e9))
