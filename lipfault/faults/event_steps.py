"""Times of a scheduled fault in whole steps of its sensor."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.faults.event import FaultEvent

TOLERANCE = 1e-6
"""Largest rounding error of a product of seconds and a rate in float64, in steps."""

_NEVER = 2**40
"""A step beyond all recordings."""

_PARTS = 512
"""Parts of a growing fault with one strength each, so that a part adds 1/100 to the strength."""


def first_step(time_s: float, rate_hz: float) -> int:
    """Return the first step at or after an instant.

    Args:
        time_s: Seconds from the start of the episode; infinity gives a step beyond all recordings.
        rate_hz: Steps per second.

    Returns:
        The step.

    Example:
        >>> first_step(0.25, 10.0), first_step(0.3, 10.0)
        (3, 3)
    """
    return _NEVER if time_s == math.inf else math.ceil(time_s * rate_hz - TOLERANCE)


@dataclass(frozen=True)
class Chunk:
    """Consecutive steps of one contact with one strength.

    Args:
        start: First step.
        stop: The step after the last one.
        contact: Number of the contact, from 0.
        onset: First step of the contact.
        end: The step after the last one of the contact.
    """

    start: int
    stop: int
    contact: int
    onset: int
    end: int


class EventSteps:
    """An event in steps of its modality, counted from the start of the episode.

    Args:
        event: The event.
        rate_hz: Steps per second.
        strength: Strength of the fault, at its end if it grows, in [0, 5].

    Attributes:
        event: The event.
        rate_hz: Steps per second.
        largest: Strength of the fault, at its end if it grows.
        start: First faulty step.
        stop: First step of the recovery.
        over: First step after the recovery.
        horizon: Steps in which a slow fault develops, at least 1.
    """

    def __init__(self, event: FaultEvent, rate_hz: float, strength: float) -> None:
        """Round the times of the event."""
        self.event, self.rate_hz, self.largest = event, rate_hz, strength
        self.start, self.stop, self.over = (
            first_step(time_s, rate_hz) for time_s in (event.start_s, event.stop_s, event.over_s)
        )
        self.horizon = max(1, round(event.develops_s * rate_hz))
        # A permanent fault is one contact that lasts until the event is over.
        self._period, self._length = max(1, self.over - self.start), max(1, self.over - self.start)
        if event.period_s:
            self._period = max(1, round(event.period_s * rate_hz))
            self._length = math.ceil(event.contact_share * self._period)
        self._growth = max(1, self.stop - self.start)
        self._part = -(-self._growth // _PARTS) if event.grows else 1

    def active(self, step: Tensor) -> Tensor:
        """Return at which steps the fault is active, recovery included.

        Args:
            step: int64 of any shape.

        Returns:
            Bool of the same shape.
        """
        inside = (step >= self.start) & (step < self.over)
        return inside & ((step - self.start) % self._period < self._length)

    def contact(self, step: Tensor) -> Tensor:
        """Return the number of the contact that began last, 0 in a permanent fault.

        Args:
            step: int64 of any shape, not before the start.

        Returns:
            int64 of the same shape.
        """
        return (step - self.start).div(self._period, rounding_mode='floor')

    def onset(self, contact: int) -> int:
        """Return the first step of a contact.

        Args:
            contact: Its number.

        Returns:
            The step.
        """
        return self.start + contact * self._period

    def onset_s(self, contact: Tensor) -> Tensor:
        """Return the onsets of contacts.

        Args:
            contact: int64, their numbers.

        Returns:
            float64 in seconds from the start of the episode, of the same shape.
        """
        return self.event.start_s + contact.double() * self._period / self.rate_hz

    def strength(self, step: Tensor) -> Tensor:
        """Return the strength of the fault, which climbs steadily from 0 if the event grows.

        Args:
            step: int64 of any shape, not before the start.

        Returns:
            float32 in [0, 5] of the same shape.
        """
        return (self.largest * self._grown(step)).float()

    def severity(self, step: Tensor) -> Tensor:
        """Return the severity reached, rounded up.

        Args:
            step: int64 of any shape, not before the start.

        Returns:
            int64, 1 to 5, of the same shape.
        """
        return (self.event.severity * self._grown(step)).ceil().long().clamp_min(1)

    def weight(self, step: Tensor) -> Tensor:
        """Return the share of the fault in the reading: 1 until the end, then falling to 0.

        Args:
            step: int64 of any shape.

        Returns:
            float32 in [0, 1] of the same shape.
        """
        recovery = self.event.recovery_s
        if not recovery:
            return torch.ones(step.shape)
        gone = (step.double() / self.rate_hz - self.event.stop_s) / recovery
        return (1 - gone).clamp(0, 1).float()

    def chunks(self, start: int, stop: int) -> Iterator[Chunk]:
        """Yield the faulty steps of a range, cut where a contact or a part of the growth begins.

        Args:
            start: First step of the range.
            stop: The step after its last one.

        Yields:
            The chunks, in order of time.
        """
        step, stop = max(start, self.start), min(stop, self.over)
        while step < stop:
            contact = (step - self.start) // self._period
            onset = self.onset(contact)
            end = min(onset + self._length, self.over)
            if step < end:
                last = min(stop, end, self._same_strength_until(step))
                yield Chunk(step, last, contact, onset, end)
                step = last
            else:
                step = onset + self._period

    def _same_strength_until(self, step: int) -> int:
        """Return the first step with another strength."""
        if not self.event.grows or step >= self.stop:
            return _NEVER
        return self.start + ((step - self.start) // self._part + 1) * self._part

    def _grown(self, step: Tensor) -> Tensor:
        """Return float64 in (0, 1], the share of the growth that is reached at each step."""
        if not self.event.grows:
            return torch.ones(step.shape, dtype=torch.float64)
        part = (step - self.start).div(self._part, rounding_mode='floor')
        return ((part + 1) * self._part).clamp(1, self._growth).double() / self._growth
