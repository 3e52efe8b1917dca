"""Scheduled faults of one series of an episode."""

from dataclasses import replace

import torch
from torch import Tensor

from lipfault.faults.apply import finish
from lipfault.faults.device import send
from lipfault.faults.draws import Draws
from lipfault.faults.episode_windows import EpisodeWindows
from lipfault.faults.event_steps import Chunk
from lipfault.faults.fault import Sensor
from lipfault.faults.grid import channels_on_grid
from lipfault.faults.labelling import fill
from lipfault.faults.labels import FaultLabels
from lipfault.faults.scheduled import Scheduled, hits, label_event
from lipfault.faults.series.site import SeriesSite
from lipfault.faults.sites import draw_channels
from lipfault.faults.tape import SeriesTape
from lipfault.modality import Modality


class SeriesScenario:
    """Inject the events of one series, each step of the recording once.

    Windows are cut from the observed readings, so that overlapping windows agree.

    Args:
        modality: Description of the modality.
        events: Its events, in order of onset.
    """

    def __init__(self, modality: Modality, events: list[Scheduled]) -> None:
        """Start an empty tape."""
        self._modality, self._events = modality, events
        self._tape = SeriesTape(modality.name)
        self._sensor = Sensor.of(modality, torch.device('cpu'))
        # Of the first window: a single step may lie on the grid by chance.
        self._on_grid: Tensor | None = None  # (1, C) bool

    def __call__(self, windows: EpisodeWindows, labels: FaultLabels) -> Tensor:
        """Return the observed windows, and label them.

        Args:
            windows: Windows in order of time.
            labels: Labels, changed in place.

        Returns:
            (batch, C, T) observed readings, the clean tensor itself where no event is.

        Raises:
            LipfaultError: If the windows do not hold the readings that a fault needs.
        """
        tape, last = self._tape, int(windows.clock[-1])
        if not self._events:
            return windows.signal
        if self._sensor.low.device != windows.signal.device:
            self._sensor = Sensor.of(self._modality, windows.signal.device)
        tape.extend(windows.signal, windows.past, windows.clock)
        if self._on_grid is None:
            first = _blank_site(self._sensor, windows.signal[:1].float())
            self._on_grid = channels_on_grid(first).flatten(1)
        for event in self._events:
            for chunk in event.steps.chunks(tape.done, tape.stop):
                self._inject(event, chunk)
        tape.done = tape.stop
        observed = self._label(windows, labels)
        tape.forget(min([last - windows.earlier, *map(self._oldest, self._events)]))
        return observed

    def _inject(self, event: Scheduled, chunk: Chunk) -> None:
        """Write the readings of one chunk of an event on the tape."""
        tape, steps = self._tape, event.steps
        first = chunk.start
        if event.fault.needs_history:
            first = tape.require(chunk.onset - event.reach, chunk.stop, event.title)
        site = self._site(event, chunk, first)
        faulty, mask = event.fault.apply(site)
        time = torch.arange(chunk.start, chunk.stop)
        weight = send(steps.weight(time), faulty.device)[None, None]
        # Only where the sensor recovers: elsewhere the sum would round the faulty value.
        faulty = torch.where(weight < 1, site.signal + weight * (faulty - site.signal), faulty)
        lost = (weight > 0) if event.fault.missing else None
        injected = finish(site, faulty, mask, lost)
        # Of the mask of `finish` the derived channels, which follow the ones that are hit.
        mask = mask & _defined(site, faulty, lost) | injected.mask
        tape.write(chunk.start, injected.observed[0], mask[0])

    def _site(self, event: Scheduled, chunk: Chunk, first: int) -> SeriesSite:
        """Return the readings of a chunk as one sample, with the past from step `first` on."""
        tape, steps = self._tape, event.steps
        cut = chunk.start - tape.start
        past = tape.clean[None, :, first - tape.start : cut]
        signal = tape.clean[None, :, cut : chunk.stop - tape.start]
        draws = event.draws(1, signal.device)
        start, stop, horizon, clock = torch.tensor(
            [
                [chunk.onset - chunk.start],
                [chunk.end - chunk.start],
                [steps.horizon],
                [chunk.start],
            ],
            device=signal.device,
        )
        here = torch.tensor([chunk.start])
        return SeriesSite(
            self._sensor,
            send(steps.severity(here), signal.device),
            draws.at(torch.full_like(clock, chunk.contact)),
            signal,
            None,
            past,
            self._channels(event, draws),
            start,
            stop,
            horizon,
            clock,
            strength=send(steps.strength(here), signal.device),
            on_grid=self._on_grid,
        )

    def _channels(self, event: Scheduled, draws: Draws) -> Tensor:
        """Return (1, C) bool, the affected channels, as named in the event or drawn."""
        names, requested = self._modality.channels, event.steps.event.channels
        if requested is not None and not event.fault.all_channels:
            named = torch.tensor([[name in requested for name in names]])
            return send(named, draws.keys.device)
        fewest = len(names) if event.fault.all_channels else event.fault.min_channels
        # A third, the default of FaultConfig.largest_share.
        return draw_channels(draws, self._sensor.groups, 1 / 3, fewest)

    def _oldest(self, event: Scheduled) -> int:
        """Return the earliest step that an event still needs."""
        done, steps = self._tape.done, event.steps
        if not event.fault.needs_history or done >= steps.over:
            return done
        if done <= steps.start:
            return done - event.reach
        return steps.onset(int(steps.contact(torch.tensor(done)))) - event.reach

    def _label(self, windows: EpisodeWindows, labels: FaultLabels) -> Tensor:
        """Return the observed windows, and label those that an event overlaps."""
        first, last = windows.clock, windows.clock + windows.length
        overlap = [(first < e.steps.over) & (last > e.steps.start) for e in self._events]
        rows = torch.stack(overlap).any(0).nonzero()[:, 0]
        if not len(rows):
            return windows.signal
        device = windows.signal.device
        clean, observed, mask = self._tape.windows(windows.clock[rows], windows.length)
        lossy = any(event.fault.missing for event in self._events)
        site = _blank_site(self._sensor, clean)
        if self._on_grid is not None:
            site = replace(site, on_grid=self._on_grid.expand(len(rows), -1))
        injected = finish(site, observed, mask, observed.isnan() if lossy else None)
        chosen = send(rows, device)
        fill(labels, windows.modality.name, windows.index, chosen, injected)
        step = windows.clock[rows][:, None] + torch.arange(windows.length)
        for event in self._events:
            within = (step >= event.steps.start) & (step < event.steps.over)
            hit = hits(injected.mask & send(within, device)[:, None])
            label_event(labels, windows, rows, event, hit)
        before = windows.signal.index_select(0, chosen)
        found = torch.where(injected.mask, injected.observed.to(before.dtype), before)
        return windows.signal.index_copy(0, chosen, found)


def _defined(site: SeriesSite, faulty: Tensor, lost: Tensor | None) -> Tensor:
    """Return where a fault has a value: it is lost, or neither it nor the clean one is missing."""
    # Not the mask of `finish`, which is empty where a whole sample is unchanged: a chunk is none.
    here = ~site.signal.isnan()
    return here & ~faulty.isnan() if lost is None else here & (lost | ~faulty.isnan())


def _blank_site(sensor: Sensor, signal: Tensor) -> SeriesSite:
    """Return windows as a site without a fault, to compare clean and observed readings."""
    count = torch.ones(len(signal), dtype=torch.int64, device=signal.device)
    channels = torch.ones(signal.shape[:2], dtype=torch.bool, device=signal.device)
    return SeriesSite(
        sensor, count, Draws(count), signal, None, signal[..., :0], channels, *[count] * 4
    )
