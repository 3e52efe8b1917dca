"""Inject a fault schedule into the windows of an episode, in training, in a test, or live."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lipfault.faults.apply import finish
from lipfault.faults.device import any_along, send
from lipfault.faults.draws import Draws
from lipfault.faults.fault import Sensor, Site
from lipfault.faults.image.site import Frames, ImageSite, last_frames, unit_range
from lipfault.faults.injected import Injected
from lipfault.faults.labelling import blank, fill
from lipfault.faults.labels import FaultLabels
from lipfault.faults.plan import Columns, Plan
from lipfault.faults.schedule import FaultSchedule, Stage
from lipfault.faults.series.site import SeriesSite
from lipfault.faults.sites import draw_channels
from lipfault.modality import Modality

_TOLERANCE = 0.01
"""Largest rounding error of a time, in samples: end times may have been float32."""


@dataclass(frozen=True)
class ModalityWindows:
    """Windows of one modality of an episode.

    Args:
        modality: Description of the modality.
        index: Its column in the labels.
        signal: (batch, ...) clean signal.
        past: Samples directly before the windows; `None` if not given.
        clock: (batch,) int64 on the CPU, the recording's step at which each window starts; for an
            image the number of the frame.
        start_s: (batch,) float64 on the CPU, start of each window in seconds.
        ago: Age of the image in frames: 0 for the window's own frame, 1 for the previous one.
    """

    modality: Modality
    index: int
    signal: Tensor
    past: Tensor | None
    clock: Tensor
    start_s: Tensor
    ago: int = 0

    @property
    def length(self) -> int:
        """Return the steps of a window; 1 for an image."""
        return self.signal.shape[-1] if self.signal.ndim == 3 else 1

    def steps(self, rows: Tensor) -> Tensor:
        """Return the recording's steps in some windows.

        Args:
            rows: (n,) int64, rows of the windows.

        Returns:
            (n, 1, T) int64 for a series, (n, 1, 1, 1) for an image.
        """
        steps = self.clock[rows][:, None] + torch.arange(self.length)
        return steps.reshape(len(rows), *[1] * (self.signal.ndim - 2), self.length)


class FaultScenario:
    """Inject the faults of a schedule into one episode.

    Takes the windows of the episode in order of time, one by one as in live operation, or many at
    once. Windows may overlap and hold the same faulty reading at the same instant. A value that a
    fault needs for longer than a window's history, such as the reading at which a sensor stuck, is
    stored from the window in which the fault begins.

    Args:
        schedule: The faults and their times.
    """

    def __init__(self, schedule: FaultSchedule) -> None:
        """Start an episode without stored values."""
        self.schedule = schedule
        self._onset_values: dict[int, Tensor] = {}

    @torch.no_grad()
    def __call__(
        self,
        signals: Mapping[str, Tensor],
        history: Mapping[str, Tensor] | None,
        end_s: Tensor,
    ) -> tuple[dict[str, Tensor], FaultLabels]:
        """Inject the scheduled faults.

        Args:
            signals: Clean signals by modality, (batch, ...) float32, as for `FaultEngine`; a series
                ends with the last sample at or before the window's end, an image is the last frame.
            history: Samples directly before the windows.
            end_s: (batch,) end of each window in seconds from the start of the episode, on the
                CPU, increasing.

        Returns:
            Observed signals and labels. Where a window holds two faults of a modality, kind,
            severity and onset are the later one's, and damage the larger.
        """
        observed = dict(signals)
        labels = _blank(signals)
        for windows in self._by_modality(signals, history or {}, end_s):
            for stage in self.schedule.stages(windows.modality.name):
                self._inject(stage, windows, observed, labels)
        return observed, labels

    @torch.no_grad()
    def previous_frames(
        self, signals: Mapping[str, Tensor], history: Mapping[str, Tensor], end_s: Tensor
    ) -> dict[str, Tensor]:
        """Return the previous frame as observed, for each image with a history.

        It equals the observed frame of a window that ends one frame earlier.

        Args:
            signals: Clean signals, as for a call.
            history: Samples directly before the windows.
            end_s: (batch,) end of each window in seconds, as for a call.

        Returns:
            For each image (batch, channel, height, width) float32 in [0, 1].
        """
        frames = last_frames(history)
        observed, labels = dict(frames), _blank(signals)
        for windows in self._by_modality(signals, history, end_s):
            name = windows.modality.name
            if name in frames:
                past, clock = history[name][:, :-1], windows.clock - 1
                earlier = replace(windows, signal=frames[name], past=past, clock=clock, ago=1)
                for stage in self.schedule.stages(name):
                    self._inject(stage, earlier, observed, labels)
        return observed

    def _by_modality(
        self, signals: Mapping[str, Tensor], history: Mapping[str, Tensor], end_s: Tensor
    ) -> list[ModalityWindows]:
        """Return the windows of each modality with their position in the recording."""
        modalities = self.schedule.modalities
        lengths = {name: signals[name].shape[-1] for name in signals if signals[name].ndim == 3}
        window_s = max((lengths[name] / modalities[name].rate_hz for name in lengths), default=0.0)
        found = []
        for index, (name, signal) in enumerate(signals.items()):
            last = (end_s.double() * modalities[name].rate_hz + _TOLERANCE).floor().long()
            clock = last + 1 - lengths.get(name, 1)
            start_s = end_s.double() - window_s
            past = history.get(name)
            found.append(ModalityWindows(modalities[name], index, signal, past, clock, start_s))
        return found

    def _inject(
        self,
        stage: Stage,
        windows: ModalityWindows,
        observed: dict[str, Tensor],
        labels: FaultLabels,
    ) -> None:
        """Inject one stage of an event into the windows that overlap it."""
        name, rate = windows.modality.name, windows.modality.rate_hz
        device = windows.signal.device
        start, stop = _step(stage.start_s, rate), _step(stage.stop_s, rate)
        self._store_onset(stage, windows)
        rows = ((windows.clock < stop) & (windows.clock + windows.length > start)).nonzero()[:, 0]
        if not len(rows):
            return
        site = self._site(stage, windows, rows)
        fault = self.schedule.faults[stage.number]
        faulty, mask = fault.apply(site)
        step = windows.steps(rows)
        active = (step >= start) & (step < stop) & _contact(stage, step, rate)
        weight = send(_weight(stage, step, rate), device)
        # Only where the sensor recovers: elsewhere the sum would round the faulty value.
        faulty = torch.where(weight < 1, site.signal + weight * (faulty - site.signal), faulty)
        lost = (weight > 0) if fault.missing else None
        injected = finish(site, faulty, mask & send(active, device), lost)
        chosen = send(rows, device)
        observed[name] = _merge(observed[name], chosen, injected)
        onset = send(stage.event.start_s - windows.start_s[rows], device).float()
        _update(labels, windows, chosen, injected, (self._kind(stage), stage.severity, onset))

    def _kind(self, stage: Stage) -> int:
        """Return the index of the stage's kind in the schedule's names."""
        return self.schedule.names.index(self.schedule.faults[stage.number].name)

    def _store_onset(self, stage: Stage, windows: ModalityWindows) -> None:
        """Store the readings or the frame at the onset, from the first window that holds it."""
        if stage.number in self._onset_values:
            return
        start = _step(stage.event.start_s, windows.modality.rate_hz)
        axis = 2 if windows.signal.ndim == 3 else 1  # of time, in the history
        earlier = 0 if windows.past is None else windows.past.shape[axis]
        inside = (windows.clock - earlier <= start) & (start < windows.clock + windows.length)
        if bool(inside.any()):
            row = int(inside.nonzero()[0, 0])
            step = start - int(windows.clock[row])  # negative in the history
            signal = windows.signal if axis == 2 else windows.signal[:, None]
            source = signal if step >= 0 or windows.past is None else windows.past
            found = source[row].select(axis - 1, step % source.shape[axis])
            self._onset_values[stage.number] = unit_range(found).clone()

    def _site(self, stage: Stage, windows: ModalityWindows, rows: Tensor) -> Site:
        """Return the windows that a stage overlaps, with the same draws in all of them."""
        device, count, rate = windows.signal.device, len(rows), windows.modality.rate_hz
        sensor, chosen = Sensor.of(windows.modality, device), send(rows, device)
        # The key is the event instead of a sample: every window draws the same numbers.
        key = torch.full((count,), stage.number, device=device)
        draws = Draws.of(self.schedule.seed, 0, key).stream('event')
        severity = torch.full((count,), stage.severity, device=device)
        stored = self._onset_values.get(stage.number)
        anchor = None if stored is None else stored.expand(count, *stored.shape)
        clean, now = windows.signal.index_select(0, chosen), send(windows.clock[rows], device)
        if windows.signal.ndim == 4:
            past = clean[:, None][:, :0] if windows.past is None else windows.past
            frames, frame = Frames(past, chosen), draws.at(now)
            return ImageSite(
                sensor, severity, draws, clean, None, frames, frame, anchor, windows.ago, now
            )
        past = clean[..., :0]
        if windows.past is not None:
            past = windows.past.index_select(0, chosen).float()
        start, stop = _step(stage.event.start_s, rate), _step(stage.stop_s, rate)
        horizon = torch.full_like(now, max(1, round(stage.event.develops_s * rate)))
        return SeriesSite(
            sensor,
            severity,
            draws,
            clean,
            None,
            past,
            self._channels(stage, windows, draws),
            start - now,
            stop - now,
            horizon,
            now,
            anchor,
        )

    def _channels(self, stage: Stage, windows: ModalityWindows, draws: Draws) -> Tensor:
        """Return (n, C) bool, the affected channels, as named in the event or drawn."""
        fault, names = self.schedule.faults[stage.number], windows.modality.channels
        requested = stage.event.channels
        if requested is not None and not fault.all_channels:
            named = torch.tensor([name in requested for name in names])
            return send(named, draws.keys.device).expand(len(draws.keys), -1)
        fewest = len(names) if fault.all_channels else fault.min_channels
        # A third, the default of FaultConfig.largest_share.
        groups = Sensor.of(windows.modality, draws.keys.device).groups
        return draw_channels(draws, groups, 1 / 3, fewest)


def _blank(signals: Mapping[str, Tensor]) -> FaultLabels:
    """Return labels without a fault."""
    shape = (len(next(iter(signals.values()))), len(signals))
    none, zero = torch.full(shape, -1), torch.zeros(shape)
    columns = Columns(none, none + 1, zero, zero, none)
    return blank(signals, Plan(none[:, 0], 0, columns, none[:, 0]), 1.0)


def _step(time_s: float, rate_hz: float) -> int:
    """Return the first step at or after an instant; for infinity one beyond all recordings."""
    return 2**40 if time_s == math.inf else math.ceil(time_s * rate_hz - _TOLERANCE)


def _contact(stage: Stage, step: Tensor, rate_hz: float) -> Tensor:
    """Return for each int64 step whether an intermittent fault is active."""
    if not stage.event.period_s:
        return torch.ones_like(step, dtype=torch.bool)
    period = max(1, round(stage.event.period_s * rate_hz))
    age = step - _step(stage.event.start_s, rate_hz)
    return age % period < math.ceil(stage.event.contact_share * period)


def _weight(stage: Stage, step: Tensor, rate_hz: float) -> Tensor:
    """Return float32 for each step, the share of the fault: 1 until the end, then falling to 0."""
    recovery = stage.event.recovery_s
    if not recovery:
        return torch.ones(step.shape)
    gone = (step / rate_hz - stage.event.stop_s) / recovery
    return (1 - gone).clamp(0, 1)


def _merge(observed: Tensor, rows: Tensor, injected: Injected) -> Tensor:
    """Return the observed signals with the injected values inside the mask."""
    before = observed.index_select(0, rows)
    return observed.index_copy(0, rows, torch.where(injected.mask, injected.observed, before))


def _update(
    labels: FaultLabels,
    windows: ModalityWindows,
    rows: Tensor,
    injected: Injected,
    event: tuple[int, int, Tensor],
) -> None:
    """Add the result of a stage to the labels; windows that it did not change keep theirs.

    Args:
        labels: Labels, changed in place.
        windows: Windows of the modality.
        rows: (n,) int64, the affected windows.
        injected: Result of the injection.
        event: Kind, severity, and (n,) onset in seconds from the window's start.
    """
    name, index = windows.modality.name, windows.index
    hit = injected.mask.flatten(1).any(1)
    mask = labels.mask[name].index_select(0, rows) | injected.mask
    damage = torch.maximum(labels.damage[rows, index], injected.damage)
    present = labels.present[name].index_select(0, rows) & injected.present
    channels = any_along(mask.flatten(2), 2)
    fill(labels, name, index, rows, Injected(injected.observed, mask, channels, damage, present))
    kind, severity, onset = event
    here = (rows, index)
    labels.kind[here] = labels.kind[here].masked_fill(hit, kind)
    labels.severity[here] = labels.severity[here].masked_fill(hit, severity)
    labels.onset[here] = torch.where(hit, onset, labels.onset[here])
    labels.modality[here] |= hit
