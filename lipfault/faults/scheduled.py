"""Events of a schedule with their faults and draws, for the modality on which they act."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.faults.device import any_along, send
from lipfault.faults.draws import Draws
from lipfault.faults.episode_windows import EpisodeWindows
from lipfault.faults.event_steps import EventSteps
from lipfault.faults.fault import AnyFault
from lipfault.faults.labels import FaultLabels


@dataclass(frozen=True)
class Scheduled:
    """One event of a schedule.

    Args:
        steps: Its times in steps of the modality.
        fault: Its fault.
        kind: Index of the fault in the names of the schedule.
        seed: Seed of the schedule.
        key: Key of the event's draws.
    """

    steps: EventSteps
    fault: AnyFault
    kind: int
    seed: int
    key: int

    @property
    def reach(self) -> int:
        """Return how many steps before its onset the fault reads."""
        return self.fault.reach(max(1, math.ceil(self.steps.largest)), self.steps.rate_hz)

    @property
    def title(self) -> str:
        """Return a description for messages."""
        event = self.steps.event
        return f'fault {event.kind!r} of {event.modality!r} from {event.start_s:g} s'

    def draws(self, count: int, device: torch.device) -> Draws:
        """Return the draws of the event, the same in all its contacts.

        Args:
            count: Number of samples, which all draw the same numbers.
            device: Device of the draws.

        Returns:
            The draws.
        """
        key = torch.full((count,), self.key, device=device)
        return Draws.of(self.seed, 0, key).stream('event')


def label_event(
    labels: FaultLabels, windows: EpisodeWindows, rows: Tensor, event: Scheduled, hit: Tensor
) -> None:
    """Write kind, severity and onset of an event into the labels of windows.

    Args:
        labels: Labels, changed in place.
        windows: Windows of the modality.
        rows: (n,) int64 on the CPU, rows of windows that the event overlaps.
        event: The event.
        hit: (n,) bool, the windows in which the event changed a reading.
    """
    steps, clock = event.steps, windows.clock[rows]
    last = (clock + windows.length).clamp_max(steps.over) - 1
    onset_s = steps.onset_s(steps.contact(last)) - windows.start_s[rows]
    device = labels.kind.device
    here = (send(rows, device), windows.index)
    labels.kind[here] = labels.kind[here].masked_fill(hit, event.kind)
    severity = send(steps.severity(last), device)
    labels.severity[here] = torch.where(hit, severity, labels.severity[here])
    labels.onset[here] = torch.where(hit, send(onset_s, device).float(), labels.onset[here])
    labels.modality[here] |= hit


def hits(mask: Tensor) -> Tensor:
    """Return the samples in which a mask holds an entry.

    Args:
        mask: (n, ...) bool.

    Returns:
        (n,) bool.
    """
    return any_along(mask.flatten(1), 1)
