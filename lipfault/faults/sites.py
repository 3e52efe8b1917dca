"""Gather the faulty samples of a batch, sorted by kind."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from lipfault.faults.device import send
from lipfault.faults.draws import Draws, as_integers
from lipfault.faults.fault import AnyFault, Groups, Sensor, Site
from lipfault.faults.image.site import Frames, ImageSite, unit_range
from lipfault.faults.plan import Columns, Plan
from lipfault.faults.series.site import SeriesSite


class Scale(Protocol):
    """Strength of a fault by its severity: a `lipfault.faults.severity.SeverityScale`."""

    def strength(self, modality: str, fault: AnyFault, severity: Tensor, chance: Tensor) -> Tensor:
        """Return the strength of each sample.

        Args:
            modality: Name of the modality.
            fault: The kind of all samples.
            severity: (n,) int64 on the CPU, 1 to 5.
            chance: (n,) float32 on the CPU, uniform in [0, 1).

        Returns:
            (n,) float32 in [0, 5] on the CPU.
        """


@dataclass(frozen=True)
class Gathered:
    """Faulty samples of one modality.

    Args:
        rows: (n,) int64, their rows in the batch, on the signals' device.
        site: The samples.
        groups: Kinds of the samples.
    """

    rows: Tensor
    site: Site
    groups: Groups


@dataclass(frozen=True)
class Source:
    """One modality of a batch.

    Args:
        name: Name of the modality.
        index: Its column in the plan.
        sensor: Its ranges and noise.
        past: Samples directly before the window: series (batch, C, steps), image
            (batch, frame, C, H, W); `None` if not given.
        ago: Age of the image in frames: 0 for the window's own frame, 1 for the previous one.
        scale: Strength by severity; equal to the severity if not given.
        side: Sign of the faults that have one, see `Site`.
    """

    name: str
    index: int
    sensor: Sensor
    past: Tensor | None
    ago: int = 0
    scale: Scale | None = None
    side: int = 0


def gather(
    source: Source,
    signals: Mapping[str, Tensor],
    plan: Plan,
    faults: tuple[AnyFault, ...],
    seed: int,
    largest_share: float,
) -> Gathered | None:
    """Gather the faulty samples of a modality on its signal's device, sorted by kind.

    Args:
        source: The modality.
        signals: Clean signals of the batch.
        plan: Faults drawn for the batch.
        faults: The faults that the plan's indices stand for.
        seed: Seed of all draws.
        largest_share: Largest share of a series' channels affected.

    Returns:
        The samples, `None` where there are none.
    """
    kind = plan.columns.kind[:, source.index]
    # Samples without a fault have kind -1 and are sorted to the front.
    order = kind.argsort(stable=True)[int((kind < 0).sum()) :]
    if not len(order):
        return None
    signal, groups = signals[source.name], _groups(kind[order], faults)
    # One copy to the device for all integers of the plan.
    packed = send(_pack(plan, source.index, order, groups, signal), signal.device)
    rows, sample_id, partner, fewest, severity, start, stop, horizon = packed
    clean = unit_range(signal.index_select(0, rows))
    strength = send(_strengths(source, plan, order, groups, seed), signal.device)
    other = _others(plan, source.index, order, signals, clean)
    common = Draws.of(seed, plan.epoch, sample_id)
    draws = common.stream(source.name)
    if other is not None:  # swapped sensors agree on the instants at which they are swapped
        shared = common.stream('swapped')
        draws = Draws(torch.where(partner < 0, draws.keys, shared.keys))
    if clean.ndim == 4:
        site: Site = _image_site(source, rows, severity, draws, clean, other)
        site = replace(site, strength=strength)
    else:
        channels = draw_channels(draws, signal.shape[1], largest_share, fewest)
        past = clean[..., :0] if source.past is None else source.past.index_select(0, rows).float()
        when = start, stop, horizon, torch.zeros_like(start)
        site = SeriesSite(
            source.sensor,
            severity,
            draws,
            clean,
            other,
            past,
            channels,
            *when,
            strength=strength,
            side=source.side,
        )
    return Gathered(rows, site, groups)


def _strengths(source: Source, plan: Plan, order: Tensor, groups: Groups, seed: int) -> Tensor:
    """Return (n,) float32 on the CPU, the strength of each sample."""
    severity = plan.columns.severity[order, source.index]
    if source.scale is None:
        return severity.float()
    draws = Draws.of(seed, plan.epoch, plan.sample_id[order]).stream(source.name)
    chance = draws.uniform('strength')
    parts = [
        source.scale.strength(source.name, fault, severity[start:stop], chance[start:stop])
        for fault, start, stop in groups
    ]
    return torch.cat(parts)


def _image_site(
    source: Source,
    rows: Tensor,
    severity: Tensor,
    draws: Draws,
    clean: Tensor,
    other: Tensor | None,
) -> ImageSite:
    """Return the site of an image, whose frame draws differ between frames."""
    past = clean[:, None][:, :0] if source.past is None else source.past
    frame = draws.stream(f'frame -{source.ago}' if source.ago else 'frame')
    frames = Frames(past, rows)
    return ImageSite(source.sensor, severity, draws, clean, other, frames, frame, ago=source.ago)


def _pack(plan: Plan, index: int, order: Tensor, groups: Groups, signal: Tensor) -> Tensor:
    """Return (8, n) int64: row, sample id, partner, fewest channels, severity, time in steps."""
    count = signal.shape[1]
    fewest = [
        count if fault.all_channels else fault.min_channels
        for fault, start, stop in groups
        for _ in range(start, stop)
    ]
    partner = plan.columns.partner[order, index]
    when = _steps(plan.columns, index, order, signal.shape[-1])
    return torch.stack([order, plan.sample_id[order], partner, torch.tensor(fewest), *when])


def _groups(kinds: Tensor, faults: tuple[AnyFault, ...]) -> Groups:
    """Return the runs of equal kinds."""
    groups: Groups = []
    for row, kind in enumerate(kinds.tolist()):
        if groups and groups[-1][0] is faults[kind]:
            groups[-1] = (faults[kind], groups[-1][1], row + 1)
        else:
            groups.append((faults[kind], row, row + 1))
    return groups


def _steps(columns: Columns, index: int, order: Tensor, steps: int) -> tuple[Tensor, ...]:
    """Return severity, start, stop and horizon in steps; (n,) int64 each."""
    begin, end = columns.begin[order, index], columns.end[order, index]
    start = (begin * steps).floor().long()
    stop = (end * steps).ceil().long().maximum(start + 1)
    # A drift develops until the fault or the window ends.
    horizon = (stop.clamp_max(steps) - start).clamp_min(1)
    return columns.severity[order, index], start, stop, horizon


def draw_channels(draws: Draws, count: int, largest_share: float, fewest: Tensor | int) -> Tensor:
    """Draw the affected channels: from one to the largest share of them, at least the fewest.

    Args:
        draws: Draws of the samples.
        count: Number of channels.
        largest_share: Largest share of them.
        fewest: (n,) int64 or one number for all samples.

    Returns:
        (n, C) bool.
    """
    most = max(1, math.ceil(count * largest_share))
    chance = draws.uniforms({'channel count': (), 'channels': (count,)})
    number = as_integers(chance['channel count'], 1, most).clamp_min(fewest)
    # argsort of argsort: the rank of each channel's random number
    rank = chance['channels'].argsort(dim=1, stable=True).argsort(1)
    return rank < number[:, None]


def _others(
    plan: Plan, index: int, order: Tensor, signals: Mapping[str, Tensor], clean: Tensor
) -> Tensor | None:
    """Return (n, ...) signals of each sample's swap partner; its own without a partner."""
    partner = plan.columns.partner[order, index]
    if bool((partner < 0).all()):
        return None
    other = clean
    for column, signal in enumerate(signals.values()):
        chosen = (partner == column).nonzero()[:, 0]
        if len(chosen):
            rows = send(order[chosen], signal.device)
            taken = unit_range(signal.index_select(0, rows))
            other = other.index_copy(0, send(chosen, signal.device), taken)
    return other
