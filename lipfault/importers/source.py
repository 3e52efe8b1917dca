"""What a reader of a source format gives: fields, episodes, and stamped samples.

A reader lists what a source holds and reads it as stored. It neither selects, resamples, rescales
nor repairs: a mapping selects and names, and the alignment in time is the same for all sources.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

FieldKind = Literal['series', 'image']


@dataclass(frozen=True)
class Field:
    """Description of one stream of a source, such as a column, a topic or a film.

    Args:
        name: Name of the field in the source, as a mapping refers to it.
        kind: `series` for numbers, `image` for frames.
        channels: Name of each number of a sample, or of each colour of a frame.
        units: Unit of each channel, an empty text where the source does not state it.
        rate_hz: Rate that the source states, in samples per second, or None.
        size: Height and width of a frame in pixels, None for a series.
        dtype: Type of the stored values, such as `float32`, `uint8` or `uint16`.
    """

    name: str
    kind: FieldKind
    channels: tuple[str, ...]
    units: tuple[str, ...]
    rate_hz: float | None = None
    size: tuple[int, int] | None = None
    dtype: str = 'float64'


@dataclass(frozen=True)
class Samples:
    """Consecutive samples of one field of one episode, in the order in which the source holds them.

    Args:
        times_s: Time stamps (samples,) float64 in seconds of the source's clock, as stored:
            repeated and decreasing stamps are not repaired.
        values: Values (samples, channels) float64, or frames (samples, height, width, channels) of
            the stored integer type. NaN marks a value that the source leaves empty.
    """

    times_s: npt.NDArray[np.float64]
    values: npt.NDArray[Any]


class Source(Protocol):
    """An open data set. A reader is a callable that opens a path: `reader(path) -> Source`.

    `lipfault.importers.testing.check_source` tests the whole contract.
    """

    @property
    def path(self) -> Path:
        """Path of the file or folder, for messages."""

    @property
    def fields(self) -> Mapping[str, Field]:
        """Description of each field by its name."""

    @property
    def episodes(self) -> Sequence[str]:
        """Id of each episode: letters, digits, `_` and `-`, unique within the source."""

    def read(self, episode: str, field: str) -> Iterator[Samples]:
        """Read one field of one episode in chunks of bounded size (at most some 16 MiB).

        Args:
            episode: An id of `episodes`.
            field: A key of `fields`.

        Yields:
            The samples in the order of the source; nothing if the episode lacks the field.

        Raises:
            LipfaultError: If the source is damaged; the message names file, episode, field and,
                where there is one, the row.
        """

    def close(self) -> None:
        """Close all files."""


@runtime_checkable
class StampedSource(Source, Protocol):
    """A source that reads time stamps without decoding, such as those of frames. Optional."""

    def stamps(self, episode: str, field: str) -> Iterator[npt.NDArray[np.float64]]:
        """Read the time stamps of one field of one episode in chunks.

        Args:
            episode: An id of `episodes`.
            field: A key of `fields`.

        Yields:
            The same `times_s` as of `read`, in the same order; chunks may be cut differently.
        """


@runtime_checkable
class DescribedSource(Source, Protocol):
    """A source that knows facts of an episode, such as its task. Optional."""

    def parameters(self, episode: str) -> dict[str, float | str]:
        """Return facts of an episode, which the recording stores with it.

        Args:
            episode: An id of `episodes`.

        Returns:
            Numbers and texts by name.
        """
