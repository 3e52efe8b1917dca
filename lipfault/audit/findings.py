"""Findings of an audit: what is wrong with which sensor, when, and how surely."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

FaultKind = Literal[
    'dropped', 'frozen', 'stuck', 'saturated', 'clipped', 'desynchronized', 'swapped', 'delayed',
    'drifting',
]  # fmt: skip
KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
"""Kinds, the most specific first: one that explains a stretch of time takes it from the later."""

MEANINGS: dict[FaultKind, str] = {
    'dropped': 'samples are missing',
    'frozen': 'frames repeat while the scene moves',
    'stuck': 'one value repeats exactly while the channel is expected to move',
    'saturated': 'the reading stays at the extreme value of the channel',
    'clipped': 'the peaks are cut at a value inside the range',
    'desynchronized': 'the whole modality is shifted in time',
    'swapped': 'two channels are exchanged',
    'delayed': 'the channel is late',
    'drifting': 'the channel moves slowly away from what is expected',
}
"""Meaning of each kind, as the page prints it."""


@dataclass(frozen=True)
class Candidate:
    """Evidence for one kind of fault in one sensor of one episode.

    Args:
        kind: Kind of the fault.
        episode: Position of the episode.
        modality: Name of the modality.
        channel: Channel number; `None` for the whole modality.
        score: Evidence; larger is stronger. Units differ between kinds.
        start_s: Start of the stretch with the strongest evidence, s.
        stop_s: Its end, s.
        detail: Numbers that describe the fault, such as the delay in seconds or the other channel.
    """

    kind: FaultKind
    episode: int
    modality: str
    channel: int | None
    score: float
    start_s: float
    stop_s: float
    detail: dict[str, Any] = field(default_factory=dict)

    def overlaps(self, other: 'Candidate') -> bool:
        """Return whether two stretches overlap in time, with 0.5 s to spare.

        Args:
            other: Another candidate.
        """
        return self.start_s <= other.stop_s + 0.5 and other.start_s <= self.stop_s + 0.5


@dataclass(frozen=True)
class Finding:
    """A fault found at the stated false-discovery rate.

    Args:
        candidate: The evidence.
        p: p-value of the test.
        q: Smallest false-discovery rate at which the finding is made.
        also: Other kinds that the same stretch of the same sensor was found to have.
    """

    candidate: Candidate
    p: float
    q: float
    also: tuple[FaultKind, ...] = ()


@dataclass(frozen=True)
class Tested:
    """All tests of one kind.

    Args:
        candidates: One for each test.
        p: (tests,) p-values.
    """

    candidates: tuple[Candidate, ...]
    p: npt.NDArray[np.float64]
