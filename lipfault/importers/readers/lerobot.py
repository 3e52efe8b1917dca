"""Read LeRobot data sets of the versions 2.0, 2.1 and 3.0.

Tables are read by pyarrow and films by PyAV; the package `lerobot` is not needed.

Reference:
    LeRobotDataset v3.0, https://huggingface.co/docs/lerobot/lerobot-dataset-v3
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lipfault.importers.readers.film import FilmPart, film_size
from lipfault.importers.readers.lerobot_files import EpisodeFiles, LeRobotFiles
from lipfault.importers.readers.lerobot_info import Feature, LeRobotInfo
from lipfault.importers.readers.parquet_rows import TableRows
from lipfault.importers.source import Field, Samples


class LeRobotSource:
    """A LeRobot data set in a folder.

    Each feature is a field: numbers of a column, or the frames of a film or of a column of images.
    Time stamps are those of the tables and of the films, in seconds of the episode.

    Args:
        path: The folder, which holds `meta/info.json`.

    Attributes:
        path: The folder.
        fields: Description of each feature with values, by its key.
        episodes: `episode_<number>` of each episode of the metadata.
        notes: What the metadata state otherwise than the files, one sentence each.

    Raises:
        LipfaultError: If the version is not supported or the metadata are damaged or empty.
    """

    def __init__(self, path: str | Path) -> None:
        """Read the metadata."""
        self.path = Path(path)
        self._info = LeRobotInfo.read(self.path)
        self._files = LeRobotFiles(self.path, self._info)
        self._episodes = {f'episode_{number:06d}': number for number in self._files.numbers}
        self.notes: list[str] = []
        self.fields: Mapping[str, Field] = {
            feature.key: self._field(feature) for feature in self._info.features
        }

    @property
    def episodes(self) -> Sequence[str]:
        """Return the id of each episode."""
        return list(self._episodes)

    def read(self, episode: str, field: str) -> Iterator[Samples]:
        """Read one feature of one episode, see `lipfault.importers.source.Source.read`.

        Args:
            episode: An id of `episodes`.
            field: A key of `fields`.

        Yields:
            The samples in the order of the table or of the film.

        Raises:
            LipfaultError: If a file is missing, damaged or holds other values than the metadata
                state.
        """
        feature, files = self._of(episode, field)
        if feature.is_film:
            yield from self._film(files, feature).read(self.fields[field])
        else:
            yield from self._rows(files).read(feature, self.fields[field])

    def stamps(self, episode: str, field: str) -> Iterator[npt.NDArray[np.float64]]:
        """Read the time stamps of one feature of one episode; no frame is decoded.

        Args:
            episode: An id of `episodes`.
            field: A key of `fields`.

        Yields:
            The stamps as of `read`.
        """
        feature, files = self._of(episode, field)
        if feature.is_film:
            yield self._film(files, feature).stamps()
        else:
            yield from self._rows(files).stamps()

    def parameters(self, episode: str) -> dict[str, float | str]:
        """Return number and tasks of an episode.

        Args:
            episode: An id of `episodes`.

        Returns:
            Numbers and texts by name.
        """
        files = self._files.episode(self._episodes[episode])
        return {'episode_index': files.number, 'task': '; '.join(files.tasks)}

    def close(self) -> None:
        """Do nothing: each read closes its files."""

    def _of(self, episode: str, field: str) -> tuple[Feature, EpisodeFiles]:
        """Return the feature and the files of an episode."""
        feature = next(each for each in self._info.features if each.key == field)
        return feature, self._files.episode(self._episodes[episode])

    def _film(self, files: EpisodeFiles, feature: Feature) -> FilmPart:
        """Return the part of a film that shows an episode."""
        path, start, stop = self._files.film(files, feature.key)
        where = f'{path}, episode {files.number}, {feature.key}'
        return FilmPart(path, start, stop, self._info.rate_hz, where)

    def _rows(self, files: EpisodeFiles) -> TableRows:
        """Return the rows of an episode in its table."""
        return TableRows(
            self._files.table(files),
            files.number,
            files.first_row,
            files.length,
            self._info.rate_hz,
        )

    def _field(self, feature: Feature) -> Field:
        """Describe a feature; the files are right where the metadata differ."""
        if not feature.is_image:
            return self._series_field(feature)
        size, channels, dtype = feature.size, feature.colours, 'uint8'
        found = self._first_film(feature) if feature.is_film else None
        if found is not None:
            if size != found[0]:
                self.notes.append(
                    f'{feature.key}: frames have {found[0]} pixels, metadata state {size}'
                )
            size, channels, dtype = found
        return Field(
            name=feature.key, kind='image', channels=channels, units=('1',) * len(channels),
            rate_hz=self._info.rate_hz, size=size, dtype=dtype,
        )  # fmt: skip

    def _series_field(self, feature: Feature) -> Field:
        """Describe a column of numbers."""
        count = feature.count
        stored = self._stored_count(feature)
        if stored is not None and stored != count:
            self.notes.append(f'{feature.key}: rows have {stored} numbers, metadata state {count}')
            count = stored
        names = feature.channel_names(count)
        if feature.names and names != feature.names:
            self.notes.append(
                f'{feature.key}: metadata name {len(feature.names)} numbers of {count}; the '
                'numbers are counted instead'
            )
        return Field(
            name=feature.key, kind='series', channels=names, units=('',) * count,
            rate_hz=self._info.rate_hz, dtype=feature.dtype,
        )  # fmt: skip

    @cached_property
    def _first_table(self) -> TableRows | None:
        """Return the rows of the first episode with a table, None if there is none."""
        for number in self._files.numbers:
            files = self._files.episode(number)
            if self._files.has_table(files):
                return self._rows(files)
        return None

    def _stored_count(self, feature: Feature) -> int | None:
        """Return how many numbers a row of a column holds, None if no table is there."""
        return None if self._first_table is None else self._first_table.count(feature.key)

    def _first_film(self, feature: Feature) -> tuple[tuple[int, int], tuple[str, ...], str] | None:
        """Return size, channels and dtype of the frames of the first film that is there."""
        for number in self._files.numbers:
            files = self._files.episode(number)
            if self._files.has_film(files, feature.key):
                path, _, _ = self._files.film(files, feature.key)
                return film_size(path)
        return None
