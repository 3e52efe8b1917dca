"""Episodes: continuous recordings of a robot cell, in memory and behind an interface."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lipfault.modality import Modality


@dataclass
class Episode:
    """Synchronous signals of several modalities, all starting at t = 0.

    Args:
        episode_id: Unique id in its data set, such as `ur5-0003`.
        signals: For each modality its samples at the modality's own rate: an image stream
            (frames, height, width, channel) uint8, a series (steps, channel) float32 in physical
            units. For the writer also a `SignalStream`, which is written block by block.
        parameters: Values drawn for the episode (speed, load, ...), for later analysis; no model
            is trained on them.
        present: For a modality with missing samples (steps,) bool, false where a sample is
            missing; a series may hold NaN there.
    """

    episode_id: str
    signals: dict[str, Any]
    parameters: dict[str, float | str] = field(default_factory=dict)
    present: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)


@dataclass(frozen=True)
class EpisodeInfo:
    """Description of an episode without its signals.

    Args:
        episode_id: Id of the episode.
        lengths: Number of samples of each modality.
        duration_s: Length of the shortest modality in seconds.
        parameters: Values that the writer stored with the episode.
        partial: Names of the modalities that have missing samples.
        unique_id: Id on which random faults depend, `<file stem>/<id>`: it is the same however many
            files are read together. `episode_id` if not given.
        stamped: Names of the modalities whose original time stamps are kept.
    """

    episode_id: str
    lengths: dict[str, int]
    duration_s: float
    parameters: dict[str, float | str]
    partial: frozenset[str]
    unique_id: str = ''
    stamped: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Fill in the unique id."""
        if not self.unique_id:
            object.__setattr__(self, 'unique_id', self.episode_id)


class EpisodeSource(Protocol):
    """Interface from which windows are read: `Recording`, `RecordingSet`, or a user's own class."""

    @property
    def modalities(self) -> Mapping[str, Modality]:
        """Description of each modality by name."""

    @property
    def episodes(self) -> Sequence[EpisodeInfo]:
        """Description of each episode."""

    def read(self, episode: int, modality: str, start: int, stop: int) -> npt.NDArray[Any]:
        """Read samples of one modality.

        Args:
            episode: Index into `episodes`.
            modality: Key of `modalities`.
            start: Index of the first sample.
            stop: End of the range, exclusive.

        Returns:
            Images (frames, height, width, channel) uint8, or a series (steps, channel) float32 in
            physical units.
        """

    def present(
        self, episode: int, modality: str, start: int, stop: int
    ) -> npt.NDArray[np.bool_] | None:
        """Read the presence mask of one modality.

        Args:
            episode: Same index as of `read`.
            modality: Same key as of `read`.
            start: Index of the first entry, one for each sample.
            stop: End of the mask, exclusive.

        Returns:
            (stop - start,) bool, false where a sample is missing; `None` if none is.
        """

    def close(self) -> None:
        """Release the handles of this process; the next read opens them again."""
