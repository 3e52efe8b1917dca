"""Scheduled faults of one camera of an episode."""

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.faults.apply import finish
from lipfault.faults.device import send
from lipfault.faults.episode_windows import EpisodeWindows
from lipfault.faults.fault import Sensor
from lipfault.faults.image.site import Frames, ImageSite, unit_range
from lipfault.faults.injected import Injected
from lipfault.faults.labelling import fill
from lipfault.faults.labels import FaultLabels
from lipfault.faults.scheduled import Scheduled, hits, label_event
from lipfault.modality import Modality


class ImageScenario:
    """Inject the events of one camera, each frame by itself.

    The frame at the onset of a contact, which a frozen camera repeats, is stored.

    Args:
        modality: Description of the modality.
        events: Its events, in order of onset.
    """

    def __init__(self, modality: Modality, events: list[Scheduled]) -> None:
        """Start without stored frames."""
        self._modality, self._events = modality, events
        self._frames: dict[tuple[int, int], Tensor] = {}  # by event and contact
        self._sensor = Sensor.of(modality, torch.device('cpu'))

    def __call__(self, windows: EpisodeWindows, labels: FaultLabels) -> Tensor:
        """Return the observed frames, and label them.

        Args:
            windows: Windows in order of time.
            labels: Labels, changed in place.

        Returns:
            (batch, C, H, W) observed frames, the clean tensor itself where no event is.

        Raises:
            LipfaultError: If the windows do not hold the frames that a fault needs.
        """
        observed = windows.signal
        if self._sensor.low.device != observed.device:
            self._sensor = Sensor.of(self._modality, observed.device)
        for number, event in enumerate(self._events):
            rows = event.steps.active(windows.clock).nonzero()[:, 0]
            if not len(rows):
                continue
            site = self._site(number, windows, rows)
            injected = _apply(event, site, windows.clock[rows])
            chosen = send(rows, observed.device)
            # Events of a modality do not overlap: no other one changes these frames.
            clean = windows.signal.index_select(0, chosen)
            found = torch.where(injected.mask, injected.observed.to(clean.dtype), clean)
            observed = observed.index_copy(0, chosen, found)
            fill(labels, self._modality.name, windows.index, chosen, injected)
            label_event(labels, windows, rows, event, hits(injected.mask))
        return observed

    def store(self, windows: EpisodeWindows) -> None:
        """Store the frames at the onsets of contacts that windows hold.

        Args:
            windows: Windows of the newest frame, in order of time.
        """
        for number, event in enumerate(self._events):
            if not event.fault.needs_history:
                continue
            oldest = windows.clock - windows.earlier
            held = torch.arange(int(oldest[0]), int(windows.clock[-1]) + 1)
            held = held[event.steps.active(held)]
            for contact in sorted({*event.steps.contact(held).tolist()}):
                onset, key = event.steps.onset(contact), (number, contact)
                rows = ((oldest <= onset) & (onset <= windows.clock)).nonzero()[:, 0]
                if key not in self._frames and len(rows):
                    self._frames[key] = _frame(windows, int(rows[0]), onset)
            self._forget(number, event, int(oldest[0]))

    def _forget(self, number: int, event: Scheduled, before: int) -> None:
        """Drop the frames of contacts that no later window shows."""
        current = int(event.steps.contact(torch.tensor(before)))
        for key in [key for key in self._frames if key[0] == number and key[1] < current]:
            del self._frames[key]

    def _site(self, number: int, windows: EpisodeWindows, rows: Tensor) -> ImageSite:
        """Return the frames that an event affects."""
        event, device = self._events[number], windows.signal.device
        clock, chosen = windows.clock[rows], send(rows, device)
        contact = event.steps.contact(clock)
        clean = windows.signal.index_select(0, chosen)
        draws = event.draws(len(rows), device).at(send(contact, device))
        self._require(event, windows)
        anchor = None
        if event.fault.needs_history:
            anchor = torch.stack([self._anchor(number, each) for each in contact.tolist()])
        past = clean[:, None][:, :0] if windows.past is None else windows.past
        return ImageSite(
            self._sensor,
            send(event.steps.severity(clock), device),
            draws,
            clean,
            None,
            Frames(past, chosen),
            draws.stream('frame').at(send(clock, device)),
            anchor,
            ago=windows.ago,
            clock=send(clock, device),
            strength=send(event.steps.strength(clock), device),
        )

    def _require(self, event: Scheduled, windows: EpisodeWindows) -> None:
        """Reject a history with too few frames for a fault."""
        if windows.earlier < event.reach:
            raise LipfaultError(
                f'scenario: {event.title} reads {event.reach} frames back, and so does the frame '
                f'before; the history holds {windows.earlier + windows.ago} frames, take a longer '
                'one (history_s)'
            )

    def _anchor(self, number: int, contact: int) -> Tensor:
        """Return the frame at the onset of a contact."""
        if (number, contact) not in self._frames:
            event = self._events[number]
            raise LipfaultError(
                f'scenario: {event.title} needs frame {event.steps.onset(contact)}, which no '
                'window has held; begin with the first window of the episode, leave none out, or '
                'take a longer history (history_s)'
            )
        return self._frames[number, contact]


def _apply(event: Scheduled, site: ImageSite, clock: Tensor) -> Injected:
    """Return the result of an event in some frames."""
    faulty, mask = event.fault.apply(site)
    weight = send(event.steps.weight(clock), faulty.device)[:, None, None, None]
    # Only where the sensor recovers: elsewhere the sum would round the faulty value.
    faulty = torch.where(weight < 1, site.signal + weight * (faulty - site.signal), faulty)
    return finish(site, faulty, mask, (weight > 0) if event.fault.missing else None)


def _frame(windows: EpisodeWindows, row: int, step: int) -> Tensor:
    """Return (C, H, W) float32, one frame of a window or its past."""
    back = int(windows.clock[row]) - step
    if back and windows.past is not None:
        return unit_range(windows.past[row, -back]).clone()
    return unit_range(windows.signal[row]).clone()
