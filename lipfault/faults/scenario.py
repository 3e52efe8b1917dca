"""Play a fault schedule on the windows of an episode: in training, in a test, or live."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lipfault.faults.device import any_along, send
from lipfault.faults.draws import Draws
from lipfault.faults.fault import Sensor, Site
from lipfault.faults.image.site import Frames, ImageSite, last_frames, unit_range
from lipfault.faults.inject import Injected, settle
from lipfault.faults.labelling import blank, fill
from lipfault.faults.labels import FaultLabels
from lipfault.faults.plan import Columns, Plan
from lipfault.faults.schedule import FaultSchedule, Stage
from lipfault.faults.series.site import SeriesSite
from lipfault.faults.sites import draw_channels
from lipfault.modality import Modality

# Times that came through float32 are this close to the sample they mean, in samples.
_CLOSE = 0.01


@dataclass(frozen=True)
class View:
    """One modality of some windows of an episode.

    Args:
        modality: The modality.
        index: Its place among the signals.
        signal: (batch, ...) clean signal.
        past: What came directly before, if known.
        clock: (batch,) int64 on the CPU, the recording's step at which each window starts; for an
            image the number of the frame.
        start_s: (batch,) float64 on the CPU, start of each window in seconds.
        ago: Frames between an image and the one that the window shows.
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
        """Steps of a window; 1 for an image."""
        return self.signal.shape[-1] if self.signal.ndim == 3 else 1

    def steps(self, rows: Tensor) -> Tensor:
        """(rows, 1, T) or (rows, 1, 1, 1) int64, the recording's steps in some windows."""
        steps = self.clock[rows][:, None] + torch.arange(self.length)
        return steps.reshape(len(rows), *[1] * (self.signal.ndim - 2), self.length)


class FaultScenario:
    """The run of a schedule through one episode.

    Give it the windows of the episode, in order of time: one by one as in live operation, or many
    at once. Windows may overlap and see the same faulty reading at the same instant. What a fault
    must remember for longer than a window's history, such as the reading at which a sensor
    stuck, it remembers from the window in which it began.

    Args:
        schedule: What goes wrong when.
    """

    def __init__(self, schedule: FaultSchedule) -> None:
        """Remember nothing yet."""
        self.schedule = schedule
        self._anchors: dict[int, Tensor] = {}

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
            history: What came directly before.
            end_s: (batch,) end of each window in seconds from the start of the episode, on the
                CPU, rising.

        Returns:
            Observed signals and labels. Where a window holds two faults of a modality, kind,
            severity and onset are the later one's, and damage the larger.
        """
        observed = dict(signals)
        labels = _blank(signals)
        for view in self._views(signals, history or {}, end_s):
            for stage in self.schedule.stages(view.modality.name):
                self._play(stage, view, observed, labels)
        return observed, labels

    @torch.no_grad()
    def before(
        self, signals: Mapping[str, Tensor], history: Mapping[str, Tensor], end_s: Tensor
    ) -> dict[str, Tensor]:
        """The frame before the window's as the sensor showed it, of each image with a history.

        The arguments are those of a call. Equal to what a window one frame earlier observes.

        Returns:
            (batch, channel, height, width) float32 in [0, 1].
        """
        frames = last_frames(history)
        shown, labels = dict(frames), _blank(signals)
        for view in self._views(signals, history, end_s):
            name = view.modality.name
            if name in frames:
                past, clock = history[name][:, :-1], view.clock - 1
                earlier = replace(view, signal=frames[name], past=past, clock=clock, ago=1)
                for stage in self.schedule.stages(name):
                    self._play(stage, earlier, shown, labels)
        return shown

    def _views(
        self, signals: Mapping[str, Tensor], history: Mapping[str, Tensor], end_s: Tensor
    ) -> list[View]:
        modalities = self.schedule.modalities
        lengths = {name: signals[name].shape[-1] for name in signals if signals[name].ndim == 3}
        window_s = max((lengths[name] / modalities[name].rate_hz for name in lengths), default=0.0)
        views = []
        for index, (name, signal) in enumerate(signals.items()):
            last = (end_s.double() * modalities[name].rate_hz + _CLOSE).floor().long()
            clock = last + 1 - lengths.get(name, 1)
            start_s = end_s.double() - window_s
            views.append(View(modalities[name], index, signal, history.get(name), clock, start_s))
        return views

    def _play(
        self, stage: Stage, view: View, observed: dict[str, Tensor], labels: FaultLabels
    ) -> None:
        """Inject one stage of an event into the windows that it meets."""
        name, rate, device = view.modality.name, view.modality.rate_hz, view.signal.device
        start, stop = _step(stage.start_s, rate), _step(stage.stop_s, rate)
        self._remember(stage, view)
        rows = ((view.clock < stop) & (view.clock + view.length > start)).nonzero()[:, 0]
        if not len(rows):
            return
        site = self._site(stage, view, rows)
        fault = self.schedule.faults[stage.number]
        faulty, touched = fault.apply(site)
        step = view.steps(rows)
        here = (step >= start) & (step < stop) & _contact(stage, step, rate)
        weight = send(_weight(stage, step, rate), device)
        faulty = torch.where(weight < 1, site.signal + weight * (faulty - site.signal), faulty)
        lost = (weight > 0) if fault.missing else None
        injected = settle(site, faulty, touched & send(here, device), lost)
        places = send(rows, device)
        observed[name] = _merge(observed[name], places, injected)
        onset = send(stage.event.start_s - view.start_s[rows], device).float()
        _note(labels, view, places, injected, (self._kind(stage), stage.severity, onset))

    def _kind(self, stage: Stage) -> int:
        return self.schedule.names.index(self.schedule.faults[stage.number].name)

    def _remember(self, stage: Stage, view: View) -> None:
        """Keep the readings or the frame at the onset, from the first window that holds it."""
        if stage.number in self._anchors:
            return
        start = _step(stage.event.start_s, view.modality.rate_hz)
        axis = 2 if view.signal.ndim == 3 else 1
        earlier = 0 if view.past is None else view.past.shape[axis]
        inside = (view.clock - earlier <= start) & (start < view.clock + view.length)
        if bool(inside.any()):
            row = int(inside.nonzero()[0, 0])
            place = start - int(view.clock[row])
            signal = view.signal if axis == 2 else view.signal[:, None]
            source = signal if place >= 0 or view.past is None else view.past
            found = source[row].select(axis - 1, place % source.shape[axis])
            self._anchors[stage.number] = unit_range(found).clone()

    def _site(self, stage: Stage, view: View, rows: Tensor) -> Site:
        """The windows that a stage meets, with draws that are the same in all of them."""
        device, count, rate = view.signal.device, len(rows), view.modality.rate_hz
        sensor, places = Sensor.of(view.modality, device), send(rows, device)
        key = torch.full((count,), stage.number, device=device)
        draws = Draws.of(self.schedule.seed, 0, key).stream('event')
        severity = torch.full((count,), stage.severity, device=device)
        anchor = self._anchors.get(stage.number)
        held = None if anchor is None else anchor.expand(count, *anchor.shape)
        clean, now = view.signal.index_select(0, places), send(view.clock[rows], device)
        if view.signal.ndim == 4:
            frames = Frames(clean[:, None][:, :0] if view.past is None else view.past, places)
            frame = draws.at(now)
            return ImageSite(
                sensor, severity, draws, clean, None, frames, frame, held, ago=view.ago
            )
        past = clean[..., :0] if view.past is None else view.past.index_select(0, places).float()
        start, stop = _step(stage.event.start_s, rate), _step(stage.stop_s, rate)
        horizon = torch.full_like(now, max(1, round(stage.event.develops_s * rate)))
        channels = self._channels(stage, view, draws)
        return SeriesSite(
            sensor,
            severity,
            draws,
            clean,
            None,
            past,
            channels,
            start - now,
            stop - now,
            horizon,
            now,
            held,
        )

    def _channels(self, stage: Stage, view: View, draws: Draws) -> Tensor:
        """(n, C) bool, the channels named or drawn."""
        fault, names = self.schedule.faults[stage.number], view.modality.channels
        wanted = stage.event.channels
        if wanted is not None and not fault.all_channels:
            named = torch.tensor([name in wanted for name in names])
            return send(named, draws.keys.device).expand(len(draws.keys), -1)
        fewest = len(names) if fault.all_channels else fault.min_channels
        return draw_channels(draws, len(names), 1 / 3, fewest)


def _blank(signals: Mapping[str, Tensor]) -> FaultLabels:
    """Labels in which nothing is faulty yet."""
    shape = (len(next(iter(signals.values()))), len(signals))
    none, zero = torch.full(shape, -1), torch.zeros(shape)
    columns = Columns(none, none + 1, zero, zero, none)
    return blank(signals, Plan(none[:, 0], 0, columns, none[:, 0]), 1.0)


def _step(time_s: float, rate_hz: float) -> int:
    """The first step at or after an instant; one beyond all recordings for never."""
    return 2**40 if time_s == math.inf else math.ceil(time_s * rate_hz - _CLOSE)


def _contact(stage: Stage, step: Tensor, rate_hz: float) -> Tensor:
    """Whether the fault of an intermittent contact shows, for each int64 step."""
    if not stage.event.period_s:
        return torch.ones_like(step, dtype=torch.bool)
    period = max(1, round(stage.event.period_s * rate_hz))
    age = step - _step(stage.event.start_s, rate_hz)
    return age % period < math.ceil(stage.event.contact_share * period)


def _weight(stage: Stage, step: Tensor, rate_hz: float) -> Tensor:
    """Share of the fault left, float32 for each step: 1 until the end, then falling to 0."""
    recovery = stage.event.recovery_s
    if not recovery:
        return torch.ones(step.shape)
    gone = (step / rate_hz - stage.event.stop_s) / recovery
    return (1 - gone).clamp(0, 1)


def _merge(observed: Tensor, rows: Tensor, injected: Injected) -> Tensor:
    """Take the injected values where they were touched."""
    before = observed.index_select(0, rows)
    return observed.index_copy(0, rows, torch.where(injected.mask, injected.observed, before))


def _note(
    labels: FaultLabels,
    view: View,
    rows: Tensor,
    injected: Injected,
    what: tuple[int, int, Tensor],
) -> None:
    """Add what a stage touched to the labels; windows that it left alone keep theirs.

    Args:
        labels: Labels to add to.
        view: The modality.
        rows: (n,) int64, the windows concerned.
        injected: What became of them.
        what: Kind, severity, and (n,) onset in seconds from the window's start.
    """
    name, index = view.modality.name, view.index
    hit = injected.mask.flatten(1).any(1)
    mask = labels.mask[name].index_select(0, rows) | injected.mask
    damage = torch.maximum(labels.damage[rows, index], injected.damage)
    present = labels.present[name].index_select(0, rows) & injected.present
    channels = any_along(mask.flatten(2), 2)
    fill(labels, name, index, rows, Injected(injected.observed, mask, channels, damage, present))
    kind, severity, onset = what
    here = (rows, index)
    labels.kind[here] = labels.kind[here].masked_fill(hit, kind)
    labels.severity[here] = labels.severity[here].masked_fill(hit, severity)
    labels.onset[here] = torch.where(hit, onset, labels.onset[here])
    labels.modality[here] |= hit
