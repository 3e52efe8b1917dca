"""One fault of a schedule, with its times."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


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
        period_s: Period of an intermittent fault: it is active in the first part of each period,
            a contact; 0 for a permanent fault. Each contact is an onset of its own: a stuck sensor
            holds its reading, a drift grows from zero, and draws other than of the channels differ.
        contact_share: Active share of each period, in (0, 1].
        grows: Whether the strength climbs steadily from 0 to that of `severity` until the end.
        horizon_s: Time in which a slow fault (drift) develops fully; if not given the length of a
            contact, or of a permanent fault, or 10 s where there is no end.
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
        if self.period_s:
            return self.period_s * self.contact_share
        return self.stop_s - self.start_s if self.stop_s < math.inf else 10.0
