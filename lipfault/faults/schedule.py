"""Schedules of faults in long recordings: onset, growth, intermittence and recovery."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.faults.collection import NAMES, expand, own_faults, unknown
from lipfault.faults.config import SEVERITIES
from lipfault.faults.draws import Draws
from lipfault.faults.fault import AnyFault
from lipfault.modality import Modality


@dataclass(frozen=True)
class FaultEvent:
    """One fault of one modality, of plain types; times are seconds from the start of the episode.

    Args:
        modality: Name of the modality.
        kind: Name of the fault, or the class path of a user's own.
        severity: 1 to 5.
        start_s: Onset.
        stop_s: End, after which the sensor recovers; infinite if not given.
        recovery_s: Time in which the reading returns to the true signal after the end.
        channels: Names of the affected channels; drawn if not given. In an image all are affected.
        period_s: Period of an intermittent contact: the fault is active in the first part of each
            period; 0 for a permanent fault.
        contact_share: Active share of each period, in (0, 1].
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
        """Return the time at which the sensor reads the true signal again, in seconds."""
        return self.stop_s + self.recovery_s

    @property
    def develops_s(self) -> float:
        """Return the time in which a slow fault develops fully, in seconds."""
        if self.horizon_s is not None:
            return self.horizon_s
        return self.stop_s - self.start_s if self.stop_s < math.inf else 10.0


@dataclass(frozen=True)
class Stage:
    """A part of an event with one severity.

    Args:
        number: Index of the event in the schedule.
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
    """Faults of an episode and their times, as a description without state.

    `lipfault.faults.scenario.FaultScenario` injects them into windows.

    Args:
        modalities: The modalities by name.
        events: The events; those of one modality must not overlap.
        seed: Seed of the draws within the faults.

    Attributes:
        names: The kinds that the labels' indices stand for, `FaultEngine.names` first.

    Raises:
        LipfaultError: If an event names something unknown, its times or its severity are out of
            range, its fault does not fit, or two events of a modality overlap.

    Example:
        >>> arm = Modality('arm', 'series', 50.0, ('q',), ('rad',), (-3.0,), (3.0,), (0.002,))
        >>> FaultSchedule({'arm': arm}, [FaultEvent('arm', 'bias', 3, 2.0, 5.0)]).spans().tolist()
        [[2.0, 5.0]]
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
        _reject_overlaps(self.events)
        self.names = (*NAMES, *own_faults(event.kind for event in self.events))

    def active(self, time_s: float) -> list[FaultEvent]:
        """Return the events at an instant, recovery included.

        Args:
            time_s: Seconds from the start of the episode.

        Returns:
            The events, in order of onset.
        """
        return [event for event in self.events if event.start_s <= time_s < event.over_s]

    def spans(self) -> Tensor:
        """Return the time span of each event.

        Returns:
            (event, 2) float64, start of the event and end of its recovery in seconds.
        """
        return torch.tensor(
            [[event.start_s, event.over_s] for event in self.events], dtype=torch.float64
        ).reshape(-1, 2)

    def stages(self, modality: str) -> list[Stage]:
        """Return the stages of one modality's events.

        Args:
            modality: Name of the modality.

        Returns:
            The stages, in order of time.
        """
        return [
            stage
            for number, event in enumerate(self.events)
            if event.modality == modality
            for stage in _stages(number, event)
        ]

    def to_list(self) -> list[dict[str, Any]]:
        """Return the events as plain types, for JSON and YAML.

        Returns:
            One dictionary for each event; an infinite end is `None`, which JSON can hold.
        """
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

    Returns:
        The schedule.

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
    # Six uniform numbers for each event: onset, recovery (2), intermittence (2), growth.
    for number, share in enumerate(draws.uniform('share', (6,)).tolist()):
        part = duration_s / count
        start = part * (number + 0.5 * share[0])
        room = part * (number + 1) - start
        name, kind = pairs[pair[number]]
        # 80 % of the room for the fault leave 20 % for its recovery.
        event = FaultEvent(name, kind, severity[number], start, start + room * 0.8)
        if share[1] < 0.5:
            event = replace(event, recovery_s=0.2 * room * share[2])
        if share[3] < 0.25:
            event = replace(event, period_s=room * (0.05 + 0.1 * share[4]), contact_share=0.5)
        events.append(replace(event, grows=share[5] < 0.25))
    return FaultSchedule(modalities, events, seed)


def _stages(number: int, event: FaultEvent) -> list[Stage]:
    """Return the stages of an event: one, or one for each severity up to the event's."""
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
    """Return the event's fault, after checking the event."""
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
        raise LipfaultError(f'{where}: grows, which needs stop_s')
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


def _reject_overlaps(events: Sequence[FaultEvent]) -> None:
    """Reject two events of one modality at the same time: a label holds one kind."""
    for number, event in enumerate(events):
        for later in events[number + 1 :]:
            if later.modality == event.modality and later.start_s < event.over_s:
                raise LipfaultError(
                    f'schedule: two faults of {event.modality!r} overlap: {event.kind!r} until '
                    f'{event.over_s} s and {later.kind!r} from {later.start_s} s'
                )
