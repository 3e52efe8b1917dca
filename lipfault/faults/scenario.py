"""Inject a fault schedule into the windows of an episode, in training, in a test, or live."""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.faults.episode_windows import EpisodeWindows, episode_windows
from lipfault.faults.event_steps import EventSteps
from lipfault.faults.image.site import last_frames
from lipfault.faults.image_scenario import ImageScenario
from lipfault.faults.labelling import blank
from lipfault.faults.labels import FaultLabels
from lipfault.faults.plan import Columns, Plan
from lipfault.faults.schedule import FaultSchedule
from lipfault.faults.scheduled import Scheduled
from lipfault.faults.series_scenario import SeriesScenario


class FaultScenario:
    """Inject the faults of a schedule into one episode.

    Takes the windows of the episode in order of time, one by one as in live operation, or many at
    once. Windows may overlap and hold the same faulty reading at the same instant. The readings
    that a fault needs for longer than a window's history, such as the one at which a sensor stuck,
    are stored. What cannot be computed from the windows is an error: a second episode, windows out
    of order, or a fault whose onset no window has held.

    Args:
        schedule: The faults and their times.
    """

    def __init__(self, schedule: FaultSchedule) -> None:
        """Start an episode without stored values."""
        self.schedule = schedule
        self._series, self._images = {}, {}
        for name, modality in schedule.modalities.items():
            if modality.kind == 'series':
                self._series[name] = SeriesScenario(modality, _events(schedule, name))
            else:
                self._images[name] = ImageScenario(modality, _events(schedule, name))
        self._last_end_s = -math.inf
        self._episode: int | None = None

    @torch.no_grad()
    def __call__(
        self,
        signals: Mapping[str, Tensor],
        history: Mapping[str, Tensor] | None,
        end_s: Tensor,
        episode: int | None = None,
    ) -> tuple[dict[str, Tensor], FaultLabels]:
        """Inject the scheduled faults.

        Args:
            signals: Clean signals by modality, (batch, ...) float32, as for `FaultEngine`; a series
                ends with the last sample at or before the window's end, an image is the last frame.
            history: Samples directly before the windows.
            end_s: (batch,) end of each window in seconds from the start of the episode, on the
                CPU, increasing; float64, or float32 while it resolves the samples.
            episode: Number of the episode, if it should be checked that it stays the same.

        Returns:
            Observed signals and labels. Where a window holds two faults of a modality, kind,
            severity and onset are the later one's, and mask and damage are of both. The onset of an
            intermittent fault is that of its latest contact.

        Raises:
            LipfaultError: If the windows are of another episode, out of order or of other
                modalities, or do not hold the samples that a fault needs.
        """
        if not len(end_s):
            return dict(signals), _blank(self.schedule, signals)
        self._check(end_s, episode)
        found = self._windows(signals, history, end_s)
        observed, labels = dict(signals), _blank(self.schedule, signals)
        for windows in found:
            name = windows.modality.name
            if name in self._series:
                observed[name] = self._series[name](windows, labels)
            else:
                self._images[name].store(windows)
                observed[name] = self._images[name](windows, labels)
        self._last_end_s = float(end_s[-1])
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

        Raises:
            LipfaultError: As for a call.
        """
        observed, labels = last_frames(history), _blank(self.schedule, signals)
        if not len(end_s):
            return observed
        for windows in self._windows(signals, history, end_s):
            name = windows.modality.name
            if name in observed:
                self._images[name].store(windows)
                past, clock = history[name][:, :-1], windows.clock - 1
                earlier = replace(windows, signal=observed[name], past=past, clock=clock, ago=1)
                observed[name] = self._images[name](earlier, labels)
        return observed

    def _windows(
        self,
        signals: Mapping[str, Tensor],
        history: Mapping[str, Tensor] | None,
        end_s: Tensor,
    ) -> list[EpisodeWindows]:
        """Return the windows of each modality with their place in the recording."""
        return episode_windows(self.schedule.modalities, signals, history or {}, end_s)

    def _check(self, end_s: Tensor, episode: int | None) -> None:
        """Reject windows out of order, and a second episode."""
        if bool((end_s.diff() < 0).any()) or float(end_s[0]) < self._last_end_s:
            raise LipfaultError(
                'a scenario needs the windows of one episode in order of time, got windows that '
                f'end at {float(end_s[0]):g} s to {float(end_s[-1]):g} s after one that ends at '
                f'{self._last_end_s:g} s; make a FaultScenario for each run through an episode'
            )
        if self._episode is not None and episode is not None and episode != self._episode:
            raise LipfaultError(
                f'a scenario of episode {self._episode} got windows of episode {episode}; make a '
                'FaultScenario for each run through an episode'
            )
        self._episode = episode


def _blank(schedule: FaultSchedule, signals: Mapping[str, Tensor]) -> FaultLabels:
    """Return labels without a fault."""
    shape = (len(next(iter(signals.values()))), len(schedule.modalities))
    none, zero = torch.full(shape, -1), torch.zeros(shape)
    columns = Columns(none, none + 1, zero, zero, none)
    ordered = {name: signals[name] for name in schedule.modalities if name in signals}
    return blank(ordered, Plan(none[:, 0], 0, columns, none[:, 0]), 1.0)


def _events(schedule: FaultSchedule, modality: str) -> list[Scheduled]:
    """Return the events of one modality, in order of onset."""
    rate, seed, names = schedule.modalities[modality].rate_hz, schedule.seed, schedule.names
    events = zip(
        schedule.events, schedule.faults, schedule.strengths(), schedule.keys(), strict=True
    )
    return [
        Scheduled(EventSteps(event, rate, strength), fault, names.index(fault.name), seed, key)
        for event, fault, strength, key in events
        if event.modality == modality
    ]
