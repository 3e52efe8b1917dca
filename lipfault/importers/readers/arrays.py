"""Sources of arrays whose first axis is time: HDF5, NumPy and Zarr."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lipfault.errors import LipfaultError
from lipfault.importers.readers.source_base import (
    CLOCK,
    COLOURS,
    MOST_CHANNELS,
    ReaderSource,
    guarded,
    merge_fields,
    rows_per_chunk,
)
from lipfault.importers.readers.stamps import (
    StampOptions,
    infer_unit,
    is_time_name,
    regular,
    to_seconds,
)
from lipfault.importers.source import Field, Samples

_SMALLEST_FRAME = 8
"""Height and width from which (time, height, width) integers are frames and no matrices."""
_MOST_STAMPS = 2**17
_FRAME_TYPES = ('uint8', 'uint16')


class StoredArray(Protocol):
    """An array of a file, read in blocks."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape, the first axis is time."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What the file states of the array: `units`, `channels`, `rate_hz`."""

    def blocks(self, rows: int) -> Iterator[npt.NDArray[Any]]:
        """Yield consecutive blocks along the first axis.

        Args:
            rows: Rows of a block; the last one may have fewer.
        """


@dataclass(frozen=True)
class EpisodeArrays:
    """Arrays of one episode.

    Args:
        arrays: Array by name; `/` separates groups.
        where: File, and group in it, for messages.
        rate_hz: Rate that the source states, or None.
    """

    arrays: Mapping[str, StoredArray]
    where: str
    rate_hz: float | None = None


class ArraySource(ReaderSource):
    """A source of arrays.

    Args:
        path: Path of the file or folder.
        episodes: Arrays of each episode by its id.
        options: Where the time stamps are.
        skipped: Reason for each stream that is no array, by its name.
    """

    def __init__(
        self,
        path: Path,
        episodes: Mapping[str, EpisodeArrays],
        options: StampOptions,
        skipped: Mapping[str, str],
    ) -> None:
        """Describe the arrays of the episodes."""
        self._arrays = episodes
        self._options = options
        reasons = dict(skipped)
        fields = {name: _fields(episode, options, reasons) for name, episode in episodes.items()}
        merged = merge_fields(fields, reasons)
        for name in merged:
            if _longest(episodes, name) < 2:
                reasons[name] = 'at most one value in each episode, not a sequence'
        kept = {name: field for name, field in merged.items() if name not in reasons}
        super().__init__(path, kept, tuple(episodes), reasons)

    def stamps(self, episode: str, field: str) -> Iterator[npt.NDArray[np.float64]]:
        """Read the time stamps of one field of one episode in chunks.

        Args:
            episode: An id of `episodes`.
            field: A key of `fields`.

        Yields:
            Stamps (samples,) float64 in seconds.
        """
        self._check(episode, field)
        source = self._arrays[episode]
        array = source.arrays.get(field)
        if array is not None and array.shape[0]:
            place = f'{source.where}: {field}'
            yield from self._stamps(source, self.fields[field], place, array.shape[0], _MOST_STAMPS)

    def _read(self, episode: str, field: Field) -> Iterator[Samples]:
        """Yield the samples of an existing episode and field."""
        source = self._arrays[episode]
        array = source.arrays.get(field.name)
        if array is None or array.shape[0] == 0:
            return
        place = f'{source.where}: {field.name}'
        rows = rows_per_chunk(_row_bytes(field))
        stamps = self._stamps(source, field, place, array.shape[0], rows)

        def where(count: int) -> str:
            return f'{place}: rows from {count * rows}'

        for block in guarded(array.blocks(rows), where):
            yield Samples(next(stamps), _values(block, field))

    def _stamps(
        self, source: EpisodeArrays, field: Field, place: str, count: int, rows: int
    ) -> Iterator[npt.NDArray[np.float64]]:
        """Return the stamps of a field, in blocks of `rows`."""
        name = _time_array(source, field.name, count, self._options)
        if name is not None:
            return _stored_stamps(source.arrays[name], name, place, rows, self._options.time_unit)
        rate = self._options.rate(field.name, field.rate_hz)
        if rate is None:
            raise LipfaultError(
                f'{place}: no time stamps; give the reader option rate_hz (samples per second), '
                'or time (name of the array of stamps)'
            )
        return regular(count, rows, rate)


def _longest(episodes: Mapping[str, EpisodeArrays], name: str) -> int:
    lengths = [e.arrays[name].shape[0] for e in episodes.values() if name in e.arrays]
    return max(lengths, default=0)


def _fields(
    episode: EpisodeArrays, options: StampOptions, skipped: dict[str, str]
) -> dict[str, Field]:
    """Return the fields of an episode, and add reasons for its other arrays to `skipped`."""
    fields: dict[str, Field] = {}
    for name, array in episode.arrays.items():
        if len(array.shape) == 1 and _is_clock(name, episode.arrays, options.time):
            skipped[name] = CLOCK
            continue
        found = _describe(name, array, episode.rate_hz)
        if isinstance(found, Field):
            fields[name] = found
        else:
            skipped[name] = found
    return fields


def _describe(name: str, array: StoredArray, rate_hz: float | None) -> Field | str:
    """Return the field of an array, or why it is none."""
    shape, dtype = array.shape, array.dtype
    if dtype.kind not in 'biuf':
        return f'values of type {dtype}, not numbers'
    if len(shape) == 0:
        return 'one value, not a sequence'
    frame = _frame_axes(shape) if dtype.name in _FRAME_TYPES else None
    if frame is not None:
        height, width, colours = frame
        names = _texts(array.attributes.get('channels'), len(COLOURS[colours]))
        return Field(
            name=name,
            kind='image',
            channels=names or COLOURS[colours],
            units=('',) * colours,
            rate_hz=_stated_rate(array, rate_hz),
            size=(height, width),
            dtype=dtype.name,
        )
    if prod(shape[1:]) > MOST_CHANNELS:
        return (
            f'{prod(shape[1:])} values of {dtype} in a sample; frames are (height, width), with 1, '
            f'3 or 4 channels, of {" or ".join(_FRAME_TYPES)}'
        )
    if prod(shape[1:]) == 0:
        return f'shape {shape}: no values'
    return _series(name, array, rate_hz)


def _series(name: str, array: StoredArray, rate_hz: float | None) -> Field:
    leaf = _leaf(name)
    channels = tuple('_'.join([leaf, *map(str, index)]) for index in np.ndindex(*array.shape[1:]))
    count = len(channels)
    return Field(
        name=name,
        kind='series',
        channels=_texts(array.attributes.get('channels'), count) or channels,
        units=_texts(array.attributes.get('units'), count) or ('',) * count,
        rate_hz=_stated_rate(array, rate_hz),
        dtype=array.dtype.name,
    )


def _frame_axes(shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Return height, width and channels of frames, None for other shapes."""
    if len(shape) == 3:
        return (*shape[1:], 1) if min(shape[1:]) >= _SMALLEST_FRAME else None
    if len(shape) != 4:
        return None
    if shape[3] in COLOURS:
        return shape[1], shape[2], shape[3]
    return (shape[2], shape[3], shape[1]) if shape[1] in COLOURS else None


def _values(block: npt.NDArray[Any], field: Field) -> npt.NDArray[Any]:
    """Return a block as values (samples, channels) or frames (samples, height, width, channels)."""
    if field.size is None:
        return np.asarray(block, np.float64).reshape(len(block), -1)
    native = block.astype(block.dtype.newbyteorder('='), copy=False)
    if block.ndim == 3:
        return native[..., None]
    channel_last = block.shape[1:3] == field.size and block.shape[3] in COLOURS
    return native if channel_last else np.moveaxis(native, 1, 3)


def _row_bytes(field: Field) -> int:
    if field.size is None:
        return 8 * len(field.channels)
    return prod(field.size) * len(field.channels) * np.dtype(field.dtype).itemsize


def _time_array(source: EpisodeArrays, field: str, count: int, options: StampOptions) -> str | None:
    """Return the name of the array with the stamps of a field, None for a constant rate."""
    if options.time is not None:
        return _stated_time_array(source, field, count, options.time)
    if options.rate(field) is not None:
        return None
    for group in _groups(field):
        found = [
            name
            for name, array in source.arrays.items()
            if name.startswith(group)
            and '/' not in name.removeprefix(group)
            and array.shape == (count,)
            and array.dtype.kind in 'iufmM'
            and _is_time_of(name, field)
        ]
        if found:
            # `arm_time` is of `arm` alone, `time` of the whole group.
            return max(found, key=len)
    return None


def _stated_time_array(source: EpisodeArrays, field: str, count: int, time: str) -> str:
    for name in (f'{group}{time}' for group in _groups(field)):
        if name in source.arrays:
            shape = source.arrays[name].shape
            if shape != (count,):
                raise LipfaultError(
                    f'{source.where}: time {name!r} has shape {shape}, field {field!r} has {count} '
                    f'samples: expected ({count},)'
                )
            if source.arrays[name].dtype.kind not in 'iufmM':
                raise LipfaultError(
                    f'{source.where}: time {name!r} holds {source.arrays[name].dtype}, not numbers'
                )
            return name
    raise LipfaultError(
        f'{source.where}: no array {time!r} of time stamps beside {field!r}; '
        f'there are {", ".join(map(repr, source.arrays))}'
    )


def _is_clock(name: str, arrays: Mapping[str, StoredArray], stated: str | None) -> bool:
    """Return whether an array holds time stamps of others."""
    return stated in (name, _leaf(name)) or any(_is_time_of(name, other) for other in arrays)


def _is_time_of(name: str, field: str) -> bool:
    """Return whether an array holds the stamps of its group, or by its name of one field."""
    leaf = _leaf(name)
    return is_time_name(leaf) or is_time_name(leaf.removeprefix(f'{_leaf(field)}_'))


def _leaf(name: str) -> str:
    return name.rsplit('/', 1)[-1]


def _groups(name: str) -> list[str]:
    """Return the groups above an array, the nearest first, each with its final `/`."""
    parts = name.split('/')[:-1]
    return [''.join(f'{part}/' for part in parts[:n]) for n in range(len(parts), -1, -1)]


def _stored_stamps(
    array: StoredArray, name: str, place: str, rows: int, unit: str | None
) -> Iterator[npt.NDArray[np.float64]]:
    def where(count: int) -> str:
        return f'{place}: time stamps {name!r}, rows from {count * rows}'

    for block in guarded(array.blocks(rows), where):
        unit = unit or infer_unit(name, block)
        yield to_seconds(block, unit)


def _texts(stated: object, count: int) -> tuple[str, ...]:
    """Return the stated names or units if there is one for each channel, else ()."""
    if isinstance(stated, str | bytes):
        stated = [stated] if count == 1 else []
    if not isinstance(stated, list | tuple | np.ndarray) or len(stated) != count:
        return ()
    texts = [text.decode(errors='replace') if isinstance(text, bytes) else text for text in stated]
    return tuple(texts) if all(isinstance(text, str) for text in texts) else ()


def _stated_rate(array: StoredArray, rate_hz: float | None) -> float | None:
    rate = array.attributes.get('rate_hz', rate_hz)
    if isinstance(rate, int | float | np.number) and np.isfinite(rate) and rate > 0:
        return float(rate)
    return rate_hz
