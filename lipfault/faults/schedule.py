"""Faults on the clock of a long recording: when each begins, grows, comes and goes, and ends."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.faults.catalogue import NAMES, expand, own_faults, unknown
from lipfault.faults.config import SEVERITIES
from lipfault.faults.draws import Draws
from lipfault.faults.fault import AnyFault
from lipfault.modality import Modality


@dataclass(frozen=True)
class FaultEvent:
    """One fault of one modality, in seconds from the start of the episode; plain types.

    Args:
        modality: Name of the modality.
        kind: Name of the fault, or the class path of your own.
        severity: 1 to 5.
        start_s: Onset.
        stop_s: End, after which the sensor recovers; never if not given.
        recovery_s: Time in which the reading returns to the truth after the end.
        channels: Names of the channels concerned; drawn if not given. Images take all.
        period_s: Period of an intermittent contact: the fault shows in the first part of each.
        contact_share: That part of each period, in (0, 1].
        grows: Whether the severity climbs from 1 to `severity` in equal parts of the duration.
        horizon_s: Time in which a slow fault (drift) develops fully; the duration if not given, or
            10 s where there is no end.
    """

    modality: str
    kind: str
    severity: int
    start_s: float
    stop_s: float = math.inf
    recovery_s: float = 0.0
    channels: Sequence[str] | None = None
    period_s: float = 0.0
    contact_share: float = 1.0
    grows: bool = False
    horizon_s: float | None = None

    @property
    def over_s(self) -> float:
        """When the sensor reads the truth again."""
        return self.stop_s + self.recovery_s

    @property
    def develops_s(self) -> float:
        """Time in which a slow fault develops fully."""
        if self.horizon_s is not None:
            return self.horizon_s
        return self.stop_s - self.start_s if self.stop_s < math.inf else 10.0


@dataclass(frozen=True)
class Stage:
    """A part of an event with one severity.

    Args:
        number: Place of the event in the schedule.
        event: The event.
        severity: 1 to 5.
        start_s: Start of the stage.
        stop_s: Its end, recovery included.
    """

    number: int
    event: FaultEvent
    severity: int
    start_s: float
    stop_s: float


class FaultSchedule:
    """What goes wrong when in an episode: a pure description, used by `lipfault.faults.scenario`.

    Args:
        modalities: The modalities by name.
        events: The events; those of one modality must not overlap.
        seed: Seed of what is drawn within the faults.

    Attributes:
        names: The kinds that the labels' indices stand for, `FaultEngine.names` first.

    Raises:
        LipfaultError: If an event names something unknown, its times or its severity make no
            sense, its fault does not fit, or two events of a modality overlap.
    """

    def __init__(
        self, modalities: Mapping[str, Modality], events: Sequence[FaultEvent], seed: int = 0
    ) -> None:
        """Check the events."""
        self.modalities = dict(modalities)
        self.events = tuple(sorted(events, key=lambda event: event.start_s))
        self.seed = seed
        self.faults: tuple[AnyFault, ...] = tuple(
            _check(event, self.modalities) for event in self.events
        )
        _refuse_overlaps(self.events)
        self.names = (*NAMES, *own_faults(event.kind for event in self.events))

    def active(self, time_s: float) -> list[FaultEvent]:
        """The events at an instant, recovery included."""
        return [event for event in self.events if event.start_s <= time_s < event.over_s]

    def spans(self) -> Tensor:
        """(event, 2) float64, start of each event and end of its recovery in seconds."""
        return torch.tensor(
            [[event.start_s, event.over_s] for event in self.events], dtype=torch.float64
        ).reshape(-1, 2)

    def stages(self, modality: str) -> list[Stage]:
        """The stages of one modality's events, in order of time."""
        return [
            stage
            for number, event in enumerate(self.events)
            if event.modality == modality
            for stage in _stages(number, event)
        ]

    def to_list(self) -> list[dict[str, Any]]:
        """The events as plain types, for JSON and YAML; an end that never comes is `None`."""
        plain = []
        for event in self.events:
            fields = asdict(event)
            fields['stop_s'] = None if event.stop_s == math.inf else event.stop_s
            fields['channels'] = None if event.channels is None else list(event.channels)
            plain.append(fields)
        return plain


def draw_schedule(
    modalities: Mapping[str, Modality],
    kinds: Sequence[str],
    episode: int,
    duration_s: float,
    count: int = 1,
    seed: int = 0,
) -> FaultSchedule:
    """Draw a schedule for an episode, a function of (seed, episode) alone.

    The episode is cut into as many equal parts as there are events; each event begins in the
    first half of its part and is over within it. Half of them recover slowly, a quarter are an
    intermittent contact, a quarter grow.

    Args:
        modalities: The modalities by name.
        kinds: Names of kinds, groups or families to draw from.
        episode: Number of the episode.
        duration_s: Its length in seconds.
        count: Number of events.
        seed: Seed of all draws.

    Raises:
        LipfaultError: If no kind fits any modality.
    """
    pairs = [
        (name, fault.name)
        for each in kinds
        for fault in expand(each)
        for name, modality in modalities.items()
        if fault.fits(modality) and not fault.missing
    ]
    if not pairs:
        raise LipfaultError(f'faults: none of the kinds {list(kinds)} fits a modality')
    draws = Draws.of(seed, episode, torch.arange(count))
    pair = draws.integers('pair', 0, len(pairs) - 1).tolist()
    severity = draws.integers('severity', 1, len(SEVERITIES)).tolist()
    events = []
    for place, share in enumerate(draws.uniform('share', (6,)).tolist()):
        part = duration_s / count
        start = part * (place + 0.5 * share[0])
        room = part * (place + 1) - start
        name, kind = pairs[pair[place]]
        event = FaultEvent(name, kind, severity[place], start, start + room * 0.8)
        if share[1] < 0.5:
            event = replace(event, recovery_s=0.2 * room * share[2])
        if share[3] < 0.25:
            event = replace(event, period_s=room * (0.05 + 0.1 * share[4]), contact_share=0.5)
        events.append(replace(event, grows=share[5] < 0.25))
    return FaultSchedule(modalities, events, seed)


def _stages(number: int, event: FaultEvent) -> list[Stage]:
    if not event.grows:
        return [Stage(number, event, event.severity, event.start_s, event.over_s)]
    step = (event.stop_s - event.start_s) / event.severity
    ends = [event.start_s + step * done for done in range(1, event.severity)] + [event.over_s]
    starts = [event.start_s, *ends[:-1]]
    return [
        Stage(number, event, severity, start, stop)
        for severity, (start, stop) in enumerate(zip(starts, ends, strict=True), start=1)
    ]


def _check(event: FaultEvent, modalities: Mapping[str, Modality]) -> AnyFault:
    """The event's fault, if the event makes sense."""
    where = f'schedule: {event.kind!r} of {event.modality!r}'
    if event.modality not in modalities:
        raise unknown('modality', event.modality, modalities)
    faults = expand(event.kind)
    modality = modalities[event.modality]
    if len(faults) != 1 or not faults[0].fits(modality):
        raise LipfaultError(f'{where}: must be one kind of fault that fits the modality')
    if event.severity not in SEVERITIES:
        raise LipfaultError(f'{where}: severity must be 1 to 5, got {event.severity!r}')
    if not 0 <= event.start_s < event.stop_s:
        raise LipfaultError(
            f'{where}: must start at 0 s or later and stop after that, got {event.start_s} s to '
            f'{event.stop_s} s'
        )
    if event.grows and event.stop_s == math.inf:
        raise LipfaultError(f'{where}: grows, and so needs stop_s')
    if not 0 < event.contact_share <= 1 or event.period_s < 0 or event.recovery_s < 0:
        raise LipfaultError(
            f'{where}: contact_share must be in (0, 1], period_s and recovery_s not negative, got '
            f'{event.contact_share}, {event.period_s}, {event.recovery_s}'
        )
    if not event.develops_s > 0:
        raise LipfaultError(f'{where}: horizon_s must be positive, got {event.horizon_s}')
    for channel in event.channels or ():
        if channel not in modality.channels:
            raise unknown(f'channel of {event.modality!r}', channel, modality.channels)
    return faults[0]


def _refuse_overlaps(events: Sequence[FaultEvent]) -> None:
    for place, event in enumerate(events):
        for later in events[place + 1 :]:
            if later.modality == event.modality and later.start_s < event.over_s:
                raise LipfaultError(
                    f'schedule: two faults of {event.modality!r} overlap: {event.kind!r} until '
                    f'{event.over_s} s and {later.kind!r} from {later.start_s} s'
                )
