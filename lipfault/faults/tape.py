"""Readings of one series of an episode, collected from its windows, before and after the faults."""

import torch
from torch import Tensor

from lipfault.errors import LipfaultError

_LATEST_START = 2
"""Latest step at which the first window of an episode can begin: a window does not hold the instant
at which it begins, and lengths are rounded down to whole steps."""


def _same(one: Tensor, other: Tensor) -> bool:
    """Return whether two float tensors are equal, NaN equal to NaN."""
    return bool(((one == other) | (one.isnan() & other.isnan())).all())


class SeriesTape:
    """Clean and observed readings of one series, from the earliest step that is still needed on.

    Args:
        name: Name of the modality, for messages.

    Attributes:
        start: Step of the first reading on the tape.
        done: First step whose observed reading is not computed yet.
        clean: (C, steps) float32, readings before the faults, NaN where none was given.
        observed: (C, steps) float32, readings after the faults.
        mask: (C, steps) bool, the readings that faults changed.
    """

    def __init__(self, name: str) -> None:
        """Start an empty tape."""
        self._name = name
        self.start = self.done = 0
        self.clean = self.observed = torch.empty(0, 0)
        self.mask = torch.empty(0, 0, dtype=torch.bool)
        self._known = torch.empty(0, dtype=torch.bool)

    @property
    def stop(self) -> int:
        """Return the step after the last reading."""
        return self.start + len(self._known)

    def extend(self, signal: Tensor, past: Tensor | None, clock: Tensor) -> None:
        """Add the readings of windows.

        Args:
            signal: (batch, C, T) clean readings.
            past: (batch, C, steps) readings directly before the windows; `None` if not given.
            clock: (batch,) int64 on the CPU, step at which each window starts, increasing.

        Raises:
            LipfaultError: If two windows, of this call or an earlier one, differ at one instant.
        """
        given = signal if past is None else torch.cat([past, signal], dim=-1)
        given = given.float()
        first, last = clock - (given.shape[-1] - signal.shape[-1]), clock + signal.shape[-1]
        low, high = int(first[0]), int(last[-1])
        if low > self.stop or not len(self._known):
            self._restart(given, low, int(clock[0]))
        elif low < self.start:
            raise LipfaultError(
                f'scenario: windows of {self._name!r} read from step {low}, earlier than those '
                'before them; windows and histories must all have the same length'
            )
        self._lengthen(high)
        place = first[:, None] - self.start + torch.arange(given.shape[-1])  # (batch, steps)
        where = place.to(given.device)
        before, known = self.clean.clone(), self._known.clone()
        self.clean[:, where] = given.transpose(0, 1)
        self._known[place] = True
        agree = _same(self.clean[:, where], given.transpose(0, 1))
        if not agree or not _same(self.clean[:, known], before[:, known]):
            raise LipfaultError(
                f'scenario: {self._name!r} has two readings at one instant between '
                f'step {low} and {high}; end_s must be on the clock of one episode, and each '
                'episode needs a FaultScenario of its own'
            )
        self.observed[:, self.done - self.start :] = self.clean[:, self.done - self.start :]

    def require(self, start: int, stop: int, what: str) -> int:
        """Check that the readings of some steps are known.

        Args:
            start: First step; steps before the start of the recording count as known.
            stop: The step after the last one.
            what: What needs them, for the message.

        Returns:
            The first step, or that of the recording if it is later.

        Raises:
            LipfaultError: If a reading was not given.
        """
        if start < self.start <= _LATEST_START:
            start = self.start
        if start < self.start or not bool(
            self._known[start - self.start : stop - self.start].all()
        ):
            raise LipfaultError(
                f'scenario: {what} needs the readings of {self._name!r} from step {start} to '
                f'{stop}, which no window has held; begin with the first window of the episode, '
                'leave none out, or take a longer history (history_s)'
            )
        return start

    def write(self, start: int, observed: Tensor, mask: Tensor) -> None:
        """Write observed readings.

        Args:
            start: Step of the first one.
            observed: (C, steps) float32.
            mask: (C, steps) bool, the changed ones.
        """
        part = slice(start - self.start, start - self.start + observed.shape[1])
        self.observed[:, part], self.mask[:, part] = observed, mask

    def windows(self, clock: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """Gather windows.

        Args:
            clock: (n,) int64 on the CPU, first step of each window.
            length: Steps of a window.

        Returns:
            (n, C, T) each: clean readings, observed readings, and the mask of the changed ones.
        """
        place = (clock[:, None] - self.start + torch.arange(length)).to(self.clean.device)
        clean, observed, mask = (x[:, place] for x in (self.clean, self.observed, self.mask))
        return clean.transpose(0, 1), observed.transpose(0, 1), mask.transpose(0, 1)

    def forget(self, before: int) -> None:
        """Drop the readings before a step.

        Args:
            before: First step to keep.
        """
        count = min(max(0, before - self.start), len(self._known))
        self.start += count
        self._known = self._known[count:]
        for name in ('clean', 'observed', 'mask'):
            # A copy, since a view would keep the memory of the whole tape.
            setattr(self, name, getattr(self, name)[:, count:].clone())

    def _restart(self, given: Tensor, low: int, done: int) -> None:
        """Empty the tape where the windows do not continue it."""
        self.start, self.done = low, done
        self.clean = self.observed = given.new_empty(given.shape[1], 0)
        self.mask = given.new_empty(given.shape[1], 0, dtype=torch.bool)
        self._known = torch.empty(0, dtype=torch.bool)

    def _lengthen(self, stop: int) -> None:
        """Make room for the steps until `stop`."""
        count = max(0, stop - self.stop)
        room = self.clean.new_full((len(self.clean), count), torch.nan)
        self.clean = torch.cat([self.clean, room], dim=1)
        self.observed = torch.cat([self.observed, room], dim=1)
        empty = room.new_zeros(room.shape, dtype=torch.bool)
        self.mask = torch.cat([self.mask, empty], dim=1)
        self._known = torch.cat([self._known, torch.zeros(count, dtype=torch.bool)])
