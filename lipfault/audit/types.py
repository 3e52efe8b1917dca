"""What the parts of an audit hand to each other."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipfault.audit.findings import FaultKind, Finding
from lipfault.modality import Modality

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Track:
    """Samples of one modality in one episode.

    Args:
        values: Series (samples, channel); of an image the thumbnail (frames, blocks), the mean grey
            level of each block, 0 to 255. NaN where missing.
        present: (samples,) bool, false where a sample is missing.
        change: Of an image (frames,), mean absolute difference to the frame before in grey levels,
            NaN for the first and after a missing frame; empty for a series.
    """

    values: Array
    present: npt.NDArray[np.bool_]
    change: Array


@dataclass(frozen=True)
class Tracks:
    """Tracks of all modalities and episodes.

    Args:
        modalities: Description of each modality by name.
        episodes: Id of each episode.
        tracks: For each episode its tracks by modality.
    """

    modalities: Mapping[str, Modality]
    episodes: tuple[str, ...]
    tracks: tuple[Mapping[str, Track], ...]

    def of_kind(self, kind: str) -> list[str]:
        """Return the names of the modalities of a kind.

        Args:
            kind: `series` or `image`.
        """
        return [name for name, modality in self.modalities.items() if modality.kind == kind]


@dataclass(frozen=True)
class Table:
    """All series channels of each episode on one time grid.

    Args:
        rate_hz: Samples per second of the grid.
        keys: (modality, channel number) of each column.
        values: For each episode (steps, column), gaps interpolated.
        missing: For each episode (steps, column) bool, true where interpolated over a gap.
        names: Name of the channel of each key.
    """

    rate_hz: float
    keys: tuple[tuple[str, int], ...]
    values: tuple[Array, ...]
    missing: tuple[npt.NDArray[np.bool_], ...]
    names: Mapping[tuple[str, int], str]

    def steps(self, seconds: float) -> int:
        """Return a duration as a number of steps, at least 1.

        Args:
            seconds: Duration, s.
        """
        return max(1, round(seconds * self.rate_hz))


@dataclass(frozen=True)
class Link:
    """A channel and its expectation in one episode, on the common grid.

    Args:
        series: (steps,) values of the channel.
        expected: (steps,) cross-fitted prediction.
        sigma: (steps,) robust standard deviation of the residual at such a speed.
        hidden: (steps,) bool, true where the channel or its partner is missing.
    """

    series: Array
    expected: Array
    sigma: Array
    hidden: npt.NDArray[np.bool_]

    @property
    def residual(self) -> Array:
        """Return series minus expectation, 0 where hidden."""
        return np.where(self.hidden, 0.0, self.series - self.expected)


@dataclass(frozen=True)
class Relation:
    """A channel and the partner from which it is predicted.

    Args:
        channel: Column of the channel.
        partner: Column of the partner.
        lag: Steps by which the channel follows the partner; negative if it leads.
        correlation: Correlation of the two motions at this lag.
        links: The link of each episode.
    """

    channel: int
    partner: int
    lag: int
    correlation: float
    links: tuple[Link, ...]


@dataclass(frozen=True)
class Examination:
    """Result of an audit.

    Args:
        tracks: The data set.
        table: The series on a common grid, `None` without a series.
        relations: What each channel is expected to be.
        findings: Findings at the false-discovery rate, smallest p-value first.
        tests: Number of tests of each kind.
        rate: The false-discovery rate.
        p: (tests,) p-values of all tests.
    """

    tracks: Tracks
    table: Table | None
    relations: tuple[Relation, ...]
    findings: tuple[Finding, ...]
    tests: dict[FaultKind, int]
    rate: float
    p: tuple[float, ...]
