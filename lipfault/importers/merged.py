"""Several sources as one, on a common clock."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lipfault.errors import LipfaultError
from lipfault.importers.propose import unique
from lipfault.importers.scan import stamps
from lipfault.importers.source import DescribedSource, Field, Samples, Source


class MergedSource:
    """Sources whose stamps are of one clock.

    Episodes are those that all sources have. Sources with one episode each are merged into one,
    whatever their ids. A field whose name is taken by an earlier source gets a number.

    Args:
        sources: The open sources, at least one.

    Raises:
        LipfaultError: If the sources have no episode in common.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        """Find common episodes and names."""
        self.path: Path = sources[0].path
        self._sources = list(sources)
        self._owner: dict[str, tuple[Source, str]] = {}
        self.fields: dict[str, Field] = {}
        for source in sources:
            for name, field in source.fields.items():
                own = unique(name, self.fields)
                self._owner[own] = (source, name)
                self.fields[own] = Field(
                    own, field.kind, field.channels, field.units, field.rate_hz, field.size,
                    field.dtype,
                )  # fmt: skip
        self._ids = self._common()
        self.notes = [note for source in sources for note in getattr(source, 'notes', ())]

    def _common(self) -> dict[str, dict[int, str]]:
        """Return the id of each common episode in each source."""
        listed = [list(source.episodes) for source in self._sources]
        if all(len(each) == 1 for each in listed):
            return {listed[0][0]: {number: each[0] for number, each in enumerate(listed)}}
        common = [each for each in listed[0] if all(each in others for others in listed)]
        if not common:
            paths = ', '.join(str(source.path) for source in self._sources)
            raise LipfaultError(
                f'{paths}: no episode is in all of these sources; the first of each: '
                f'{", ".join(str(next(iter(each), None)) for each in listed)}'
            )
        return {each: dict.fromkeys(range(len(listed)), each) for each in common}

    @property
    def episodes(self) -> Sequence[str]:
        """Return the ids of the common episodes."""
        return list(self._ids)

    def read(self, episode: str, field: str) -> Iterator[Samples]:
        """Read a field from its source, see `lipfault.importers.source.Source.read`.

        Args:
            episode: An id of `episodes`.
            field: A key of `fields`.

        Yields:
            The samples.
        """
        source, name = self._owner[field]
        yield from source.read(self._id(episode, source), name)

    def stamps(self, episode: str, field: str) -> Iterator[npt.NDArray[np.float64]]:
        """Read the stamps of a field from its source.

        Args:
            episode: An id of `episodes`.
            field: A key of `fields`.

        Yields:
            The stamps as of `read`.
        """
        source, name = self._owner[field]
        yield from stamps(source, self._id(episode, source), name)

    def parameters(self, episode: str) -> dict[str, float | str]:
        """Return the facts of an episode from all sources; those of the first count.

        Args:
            episode: An id of `episodes`.
        """
        found: dict[str, float | str] = {}
        for source in reversed(self._sources):
            if isinstance(source, DescribedSource):
                found |= source.parameters(self._id(episode, source))
        return found

    def close(self) -> None:
        """Close all sources."""
        for source in self._sources:
            source.close()

    def _id(self, episode: str, source: Source) -> str:
        return self._ids[episode][self._sources.index(source)]
