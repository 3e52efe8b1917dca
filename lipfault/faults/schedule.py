"""Schedules of faults in long recordings: onset, growth, intermittence and recovery."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.faults.collection import NAMES, expand, own_faults, unknown
from lipfault.faults.config import SEVERITIES
from lipfault.faults.draws import Draws, text_key
from lipfault.faults.event import FaultEvent
from lipfault.faults.fault import AnyFault
from lipfault.faults.sites import Scale
from lipfault.modality import Modality


class FaultSchedule:
    """Faults of an episode and their times, as a description without state.

    `lipfault.faults.scenario.FaultScenario` injects them into windows.

    Args:
        modalities: The modalities by name.
        events: The events; those of one modality must not overlap.
        seed: Seed of the draws within the faults.
        episode: Id of the episode, on which the draws within the faults depend as well.
        own: Instances of faults by the names in the events, for faults that no class path names.
        scale: Strength by severity, a `SeverityScale`; without one a severity takes the kind's
            level of its number.

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
        self,
        modalities: Mapping[str, Modality],
        events: Sequence[FaultEvent],
        seed: int = 0,
        episode: str | int = '',
        own: Mapping[str, AnyFault] | None = None,
        scale: Scale | None = None,
    ) -> None:
        """Check the events."""
        self.modalities = dict(modalities)
        self.events = tuple(sorted(events, key=lambda event: event.start_s))
        self.seed, self.episode, self._scale = seed, str(episode), scale
        self.faults: tuple[AnyFault, ...] = tuple(
            _check(event, self.modalities, own or {}) for event in self.events
        )
        _reject_overlaps(self.events)
        named = own_faults(event.kind for event in self.events)
        self.names = (*NAMES, *sorted({*named, *(own or {})} - {*NAMES}))

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

    def keys(self) -> list[int]:
        """Return the keys of the events' draws.

        A key depends on the episode and on modality, kind and onset of the event, not on the other
        events or episodes.

        Returns:
            One integer of 63 bits for each event.
        """
        return [
            text_key(f'{self.episode} {each.modality} {each.kind} {float(each.start_s)!r}')
            for each in self.events
        ]

    def strengths(self) -> list[float]:
        """Return the strengths of the events, drawn where a severity leaves a choice.

        Returns:
            A number in [0, 5] for each event, at its end if it grows.
        """
        found = []
        for event, fault, key in zip(self.events, self.faults, self.keys(), strict=True):
            severity = torch.tensor([event.severity])
            strength = severity.float()
            if self._scale is not None:
                chance = Draws.of(self.seed, 0, torch.tensor([key])).uniform('strength')
                strength = self._scale.strength(event.modality, fault, severity, chance)
            found.append(float(strength))
        return found

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
    episode: str | int,
    duration_s: float,
    count: int = 1,
    seed: int = 0,
    begin_s: float = 0.0,
    scale: Scale | None = None,
) -> FaultSchedule:
    """Draw a schedule for an episode, a function of (seed, episode) and its length alone.

    The time from `begin_s` to the end is cut into as many equal parts as there are events; each
    event begins in the first half of its part and is over within it. Half of them recover slowly, a
    quarter are an intermittent contact, a quarter grow.

    Args:
        modalities: The modalities by name.
        kinds: Names of kinds, groups or families to draw from.
        episode: Id of the episode, such as `EpisodeInfo.unique_id`; it should not change if other
            recordings are added.
        duration_s: Length of the episode in seconds.
        count: Number of events.
        seed: Seed of all draws.
        begin_s: Time before which no fault begins; the end of the first window, for windows whose
            history does not reach back to the start of the episode.
        scale: Strength by severity, a `SeverityScale`.

    Returns:
        The schedule.

    Raises:
        LipfaultError: If no kind fits any modality, or there is no time after `begin_s`.
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
    if not 0 <= begin_s < duration_s:
        raise LipfaultError(
            f'faults: a schedule must begin before its end, got {begin_s:g} s to {duration_s:g} s'
        )
    draws = Draws.of(seed, 0, torch.arange(count)).stream(f'schedule of {episode}')
    pair = draws.integers('pair', 0, len(pairs) - 1).tolist()
    severity = draws.integers('severity', 1, len(SEVERITIES)).tolist()
    events = []
    # Six uniform numbers for each event: onset, recovery (2), intermittence (2), growth.
    for number, share in enumerate(draws.uniform('share', (6,)).tolist()):
        part = (duration_s - begin_s) / count
        start = begin_s + part * (number + 0.5 * share[0])
        room = begin_s + part * (number + 1) - start
        name, kind = pairs[pair[number]]
        # 80 % of the room for the fault leave 20 % for its recovery.
        event = FaultEvent(name, kind, severity[number], start, start + room * 0.8)
        if share[1] < 0.5:
            event = replace(event, recovery_s=0.2 * room * share[2])
        if share[3] < 0.25:
            event = replace(event, period_s=room * (0.05 + 0.1 * share[4]), contact_share=0.5)
        events.append(replace(event, grows=share[5] < 0.25))
    return FaultSchedule(modalities, events, seed, episode, scale=scale)


def _check(
    event: FaultEvent, modalities: Mapping[str, Modality], own: Mapping[str, AnyFault]
) -> AnyFault:
    """Return the event's fault, after checking the event."""
    where = f'schedule: {event.kind!r} of {event.modality!r}'
    if event.modality not in modalities:
        raise unknown('modality', event.modality, modalities)
    faults = [own[event.kind]] if event.kind in own else expand(event.kind)
    modality = modalities[event.modality]
    if len(faults) != 1 or not faults[0].fits(modality):
        raise LipfaultError(f'{where}: must be one kind of fault that fits the modality')
    if not faults[0].causal:
        raise LipfaultError(f'{where}: depends on later readings (causal = False)')
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
