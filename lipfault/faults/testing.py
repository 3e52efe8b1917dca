"""Requirements on every fault, as a check for the tests of a user's own faults."""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.faults.agreement import disagreements
from lipfault.faults.apply import apply_faults
from lipfault.faults.config import SEVERITIES
from lipfault.faults.draws import Draws
from lipfault.faults.fault import AnyFault, Sensor, Site
from lipfault.faults.image.site import Frames, ImageSite
from lipfault.faults.injected import Injected
from lipfault.faults.series.site import SeriesSite
from lipfault.modality import Modality

# Enough samples that the median damage of the severities is ordered for every built-in fault.
SAMPLES = 200
_STEPS, _RATE_HZ = 60, 60.0  # windows of 1 s, with 1 s of history
_FRAMES, _HEIGHT, _WIDTH = 5, 24, 20  # not square, 20 not a multiple of 8: exposes mixed-up axes

SERIES = Modality(
    'probe_series',
    'series',
    _RATE_HZ,
    ('position', 'velocity', 'torque', 'pressure', 'current', 'level'),
    ('rad', 'rad/s', 'N m', 'bar', 'A', '1'),
    (-3.0, -8.0, -50.0, 0.0, -20.0, 0.0),
    (3.0, 8.0, 50.0, 10.0, 20.0, 1.0),
    (0.002, 0.01, 0.2, 0.01, 0.02, 0.001),
)
"""Six slow channels of different ranges, two of which are never negative."""

IMAGE = Modality(
    'probe_image',
    'image',
    rate_hz=10.0,
    channels=('red', 'green', 'blue'),
    units=('1',) * 3,
    low=(0.0,) * 3,
    high=(1.0,) * 3,
    noise=(0.005,) * 3,
    size=(_HEIGHT, _WIDTH),
)
"""A colour camera; its frames show moving stripes."""


def check_fault(fault: AnyFault, device: str = 'cpu') -> None:
    """Raise an error if a fault violates a requirement of the engine.

    The fault is applied to 200 synthetic samples of each kind of signal of its family, of an image
    also to the previous frame. The requirements: severity 0 changes nothing; outside the mask
    nothing changes, bit for bit; shapes, dtypes and devices are kept; values stay in the physical
    range; only a missing kind makes values missing; the median damage grows with the severity; the
    result of a sample does not depend on its batch; overlapping windows agree, see `disagreements`
    in `lipfault.faults.agreement`.

    Args:
        fault: The fault.
        device: Device of the samples.

    Raises:
        LipfaultError: Names the fault and the violated requirement.

    Example:
        >>> from lipfault.faults.collection import load
        >>> check_fault(load('lipfault.faults.series.offset.Bias'))
    """
    if len(fault.levels) != len(SEVERITIES):
        raise LipfaultError(
            f'fault {fault.name!r}: levels must have {len(SEVERITIES)} entries, got {fault.levels}'
        )
    sites = probes(fault, device)
    if not sites:
        raise LipfaultError(
            f'fault {fault.name!r}: family must be series, image or cross, got {fault.family!r}'
        )
    for site in sites:
        where = 'the previous frame' if getattr(site, 'ago', 0) else f'{site.sensor.kind} signals'
        for violation in _violations(fault, site):
            raise LipfaultError(f'fault {fault.name!r} on {where}: {violation}')


def probes(fault: AnyFault, device: str = 'cpu') -> list[Site]:
    """Return the synthetic samples on which a fault is checked, of severity 1, deterministic.

    Args:
        fault: The fault, whose family selects the kinds of signals.
        device: Device of the samples.

    Returns:
        Series, frames, and the previous frames, those that the family includes.
    """
    found: list[Site] = []
    if fault.family in ('series', 'cross'):
        found.append(_series(fault, torch.device(device)))
    if fault.family in ('image', 'cross'):
        found += [_image(torch.device(device), ago) for ago in (0, 1)]
    return found


def at_severity(site: Site, severity: int) -> Site:
    """Return the same samples with one severity for all.

    Args:
        site: The samples.
        severity: 0 to 5.

    Returns:
        A site of the same class.
    """
    chosen = torch.full_like(site.severity, severity)
    return replace(site, severity=chosen, strength=chosen.float())


def _series(fault: AnyFault, device: torch.device) -> SeriesSite:
    """Return sines with sensor noise; onsets before and in the window, half of them with an end."""
    draws = Draws.of(0, 0, torch.arange(SAMPLES, device=device))
    sensor, count = Sensor.of(SERIES, device), len(SERIES.channels)
    time = torch.arange(-_STEPS, _STEPS, device=device) / _RATE_HZ
    turns = (0.1 + 0.4 * draws.uniform('rate', (count, 1))) * time + draws.uniform(
        'phase', (count, 1)
    )
    noise = sensor.noise[:, None] * draws.normal('noise', (count, 2 * _STEPS))
    # From 10 to 90 % of the range: offsets of both signs have room.
    wave = 0.5 + 0.4 * torch.sin(2 * math.pi * turns)
    # Past and window in one piece, (n, C, 2 T)
    extended = (sensor.low[:, None] + wave * sensor.span[:, None] + noise).clamp(
        sensor.low[:, None], sensor.high[:, None]
    )
    signal = extended[..., _STEPS:]
    channels = draws.uniform('channels', (count,)) < 0.5
    channels[:, : count if fault.all_channels else max(1, fault.min_channels)] = True
    start = draws.integers('start', -_STEPS, _STEPS // 2)
    stop = torch.where(draws.uniform('ends') < 0.5, _STEPS, start + 90).clamp(1, _STEPS)
    zero, horizon = torch.zeros_like(start), (stop - start).clamp_min(1)
    severity, past = torch.ones_like(start), extended[..., :_STEPS]
    return SeriesSite(
        sensor, severity, draws, signal, signal.flip(0), past, channels, start, stop, horizon, zero
    )


def _image(device: torch.device, ago: int) -> ImageSite:
    """Return frames of stripes, `ago` frames before the newest one."""
    draws = Draws.of(0, 0, torch.arange(SAMPLES, device=device))
    sensor = Sensor.of(IMAGE, device)
    # Frequencies down and right, phase and speed of each colour, (n, 4, 3, 1, 1)
    stripes = draws.uniform('stripes', (4, 3, 1, 1)) - 0.5
    row = torch.arange(_HEIGHT, device=device)[:, None]
    column = torch.arange(_WIDTH, device=device)
    frame = torch.arange(_FRAMES + 1, device=device)[:, None, None, None]
    turns = stripes[:, 0] * row / 4 + stripes[:, 1] * column / 4 + stripes[:, 2]
    frames = 0.5 + 0.4 * torch.sin(
        2 * math.pi * (turns[:, None] + stripes[:, None, 3] * frame / 12)
    )
    signal = frames[:, _FRAMES - ago].contiguous()
    samples = torch.arange(SAMPLES, device=device)
    past, own = Frames(frames[:, : _FRAMES - ago], samples), draws.stream(f'frame {ago}')
    severity = torch.ones_like(samples)
    number = torch.full_like(samples, -ago)
    return ImageSite(
        sensor, severity, draws, signal, signal.flip(0), past, own, ago=ago, clock=number
    )


def _violations(fault: AnyFault, site: Site) -> Iterator[str]:
    """Yield the violated requirements on some samples, one sentence each."""
    nothing = _apply(fault, at_severity(site, 0))
    if not _same(nothing.observed, site.signal) or bool(nothing.mask.any()):
        yield 'severity 0 changes the signal'
    medians = []
    for severity in SEVERITIES:
        affected = at_severity(site, severity)
        yield from _wrong_result(fault, affected)
        injected = _apply(fault, affected)
        medians.append(float(injected.damage.median()))
        yield from _wrong_values(affected, injected)
    if sorted(medians) != medians or not medians[0] < medians[-1]:
        yield f'the damage must grow with the severity, got medians {medians}'
    yield from _depends_on_batch(fault, at_severity(site, 3))
    for severity in (1, 3, 5):
        yield from disagreements(fault, at_severity(site, severity))


def _apply(fault: AnyFault, site: Site) -> Injected:
    """Apply the fault as the engine does."""
    return apply_faults(site, [(fault, 0, len(site.signal))])


def _same(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors are equal, NaN equal to NaN."""
    return torch.equal(one.nan_to_num(nan=-1e9), other.nan_to_num(nan=-1e9))


def _wrong_result(fault: AnyFault, site: Site) -> Iterator[str]:
    """Yield violations by the output of `apply`: shapes, dtypes, devices, missing values."""
    value, mask = fault.apply(site)
    shape = tuple(site.signal.shape)
    flat = shape if site.signal.ndim == 3 else (shape[0], 1, *shape[2:])
    if tuple(value.shape) != shape or value.dtype != site.signal.dtype:
        yield f'the signal must be float32 {shape}, got {value.dtype} {tuple(value.shape)}'
    here = site.signal.device
    if {value.device, mask.device} != {here}:
        yield f'signal and mask must stay on {here}, got {value.device} and {mask.device}'
    if tuple(mask.shape) != flat or mask.dtype != torch.bool:
        yield f'the mask must be bool {flat}, got {mask.dtype} {tuple(mask.shape)}'
    if bool(value.isnan().any()) != fault.missing:
        yield f'missing is {fault.missing}, but there are {int(value.isnan().sum())} NaN'


def _wrong_values(site: Site, injected: Injected) -> Iterator[str]:
    """Yield violations by the injected signal: changes outside the mask, range, damage."""
    observed, outside = injected.observed, ~injected.mask.expand_as(site.signal)
    if not _same(observed[outside], site.signal[outside]):
        yield 'the signal changes outside the mask'
    if isinstance(site, SeriesSite) and bool((injected.mask & ~site.mask).any()):
        yield 'the mask must stay within site.mask'
    low, high = site.channelwise(site.sensor.low), site.channelwise(site.sensor.high)
    if bool(((observed < low) | (observed > high)).any()):
        yield 'values leave the physical range'
    if not bool(injected.damage.isfinite().all()):
        yield 'the damage must be finite'


def _depends_on_batch(fault: AnyFault, site: Site) -> Iterator[str]:
    """Yield a violation if a part of the batch gives another result than the whole."""
    whole = _apply(fault, site)
    # Batch sizes that torch's kernels may split differently.
    for size in (1, 7, 64):
        for start in range(0, min(2 * size, SAMPLES - size), size):
            part = _apply(fault, site.rows(start, start + size))
            stop = start + size
            if not (
                _same(part.observed, whole.observed[start:stop])
                and torch.equal(part.mask, whole.mask[start:stop])
                and torch.equal(part.damage, whole.damage[start:stop])
            ):
                yield f'a sample differs between a batch of {size} and one of {SAMPLES}'
