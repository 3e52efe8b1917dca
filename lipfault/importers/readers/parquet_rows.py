"""Rows of one episode in a Parquet table of a LeRobot data set."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, UnidentifiedImageError

from lipfault.errors import LipfaultError
from lipfault.importers.readers.lerobot_info import Feature
from lipfault.importers.source import Field, Samples

# Rows decoded at once; fewer for embedded images.
_ROWS, _IMAGES = 16384, 64
_MODES = {1: 'L', 3: 'RGB', 4: 'RGBA'}


class TableRows:
    """The rows of an episode.

    Args:
        path: The table.
        episode: Number of the episode.
        first_row: Its first row, None if the table is its own.
        length: Number of its rows as stated.
        rate_hz: Frames per second.
    """

    def __init__(
        self, path: Path, episode: int, first_row: int | None, length: int, rate_hz: float
    ) -> None:
        """Keep the limits."""
        self._path, self._episode, self._rate = path, episode, rate_hz
        self._first, self._length = first_row, length
        self._where = f'{path}, episode {episode}'

    def count(self, column: str) -> int | None:
        """Return how many numbers a row of a column holds, None if it has no fixed number.

        Args:
            column: Name of the column.

        Raises:
            LipfaultError: If there is no such column.
        """
        with self._opened() as file:
            self._require(file, column)
            for batch in file.iter_batches(batch_size=1, columns=[column]):
                value = batch.column(0)[0].as_py()
                return len(_flat(value)) if isinstance(value, list) else 1
        return None

    def stamps(self) -> Iterator[npt.NDArray[np.float64]]:
        """Read the time stamps of the rows.

        Yields:
            (rows,) float64 in seconds of the episode.
        """
        for times, _ in self._batches(None, _ROWS):
            yield times

    def read(self, feature: Feature, field: Field) -> Iterator[Samples]:
        """Read a column with its time stamps.

        Args:
            feature: The column.
            field: Its description.

        Yields:
            Chunks of at most 16384 rows or 64 images.

        Raises:
            LipfaultError: If the column is missing, nested otherwise, or holds text.
        """
        row = 0
        for times, column in self._batches(feature.key, _IMAGES if feature.is_image else _ROWS):
            where = f'{self._where}, column {feature.key!r}'
            if feature.is_image:
                yield Samples(times, _images(column, field, where, row))
            else:
                yield Samples(times, _numbers(column, len(field.channels), where, row))
            row += len(times)

    def _batches(
        self, column: str | None, size: int
    ) -> Iterator[tuple[npt.NDArray[np.float64], pa.Array]]:
        """Yield stamps and values of the episode's rows."""
        columns = ['timestamp'] if column is None else ['timestamp', column]
        with self._opened() as file:
            for name in columns:
                self._require(file, name)
            own = self._first is None
            known = [] if own else ['episode_index']
            start: float | None = None
            for batch in self._iterate(file, [*dict.fromkeys((*columns, *known))], size):
                if not own:
                    batch = batch.filter(pa.compute.equal(batch['episode_index'], self._episode))
                if not len(batch):
                    continue
                stamps = batch['timestamp'].to_numpy(zero_copy_only=False).astype(np.float64)
                if start is None:
                    start = self._start(stamps)
                yield stamps - start, batch[columns[-1]]

    def _iterate(
        self, file: pq.ParquetFile, columns: list[str], size: int
    ) -> Iterator[pa.RecordBatch]:
        """Read the row groups that hold the episode."""
        groups = list(range(file.metadata.num_row_groups))
        if self._first is not None:
            ends = np.cumsum([file.metadata.row_group(group).num_rows for group in groups])
            # One row more at both ends, for metadata that are wrong by one.
            first, last = max(0, self._first - 1), self._first + self._length + 1
            groups = [
                group
                for group, end in enumerate(ends)
                if end > first and end - file.metadata.row_group(group).num_rows < last
            ]
        yield from file.iter_batches(batch_size=size, row_groups=groups, columns=columns)

    def _start(self, stamps: npt.NDArray[np.float64]) -> float:
        """Return the first stamp if the table holds times of day instead of the episode's."""
        length = max(self._length, 1) / self._rate
        return float(stamps[0]) if stamps[0] > length else 0.0

    def _require(self, file: pq.ParquetFile, column: str) -> None:
        names = file.schema_arrow.names
        if column not in names:
            raise LipfaultError(
                f'{self._where}: there is no column {column!r}; there are {", ".join(names)}'
            )

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        """Open the table; name it in errors."""
        try:
            with pq.ParquetFile(self._path) as file:
                yield file
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise LipfaultError(f'{self._where}: the table cannot be read: {reason}') from error


def _flat(value: object) -> list[object]:
    return [each for part in value for each in _flat(part)] if isinstance(value, list) else [value]


def _numbers(column: pa.Array, count: int, where: str, row: int) -> npt.NDArray[np.float64]:
    """Convert a column to (rows, count) float64; empty values become NaN."""
    rows, array = len(column), column
    while pa.types.is_nested(array.type):
        if pa.types.is_struct(array.type) or pa.types.is_map(array.type):
            raise LipfaultError(f'{where}: holds {array.type}, not numbers')
        if array.null_count:
            empty = row + int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
            raise LipfaultError(f'{where}, row {empty}: is empty')
        # `flatten` leaves out what lies outside a slice, `values` does not.
        array = array.flatten()
    if not (pa.types.is_floating(array.type) or pa.types.is_integer(array.type) or
            pa.types.is_boolean(array.type)):  # fmt: skip
        raise LipfaultError(f'{where}: holds {array.type}, not numbers')
    if len(array) != rows * count:
        raise LipfaultError(
            f'{where}: rows {row} to {row + rows - 1} hold {len(array)} numbers, expected '
            f'{rows} x {count}'
        )
    values = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(values.reshape(rows, count))


def _images(column: pa.Array, field: Field, where: str, row: int) -> npt.NDArray[np.uint8]:
    """Decode embedded images to (rows, height, width, channels) uint8."""
    frames = []
    for number, value in enumerate(column.to_pylist(), start=row):
        content = value.get('bytes') if isinstance(value, dict) else value
        if not isinstance(content, bytes):
            raise LipfaultError(f'{where}, row {number}: holds no image')
        try:
            image = Image.open(io.BytesIO(content)).convert(_MODES[len(field.channels)])
        except (UnidentifiedImageError, OSError) as error:
            raise LipfaultError(f'{where}, row {number}: no image: {error}') from error
        frames.append(np.asarray(image, dtype=np.uint8).reshape(image.height, image.width, -1))
        if frames[-1].shape[:2] != field.size:
            raise LipfaultError(
                f'{where}, row {number}: the image has {image.height} x {image.width} pixels, '
                f'stated are {field.size}'
            )
    return np.stack(frames)
