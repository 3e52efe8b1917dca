"""Requirements on every reader, as a check for the tests of a user's own reader."""

import math
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lipfault.errors import LipfaultError
from lipfault.importers.source import Field, Samples, Source, StampedSource

MOST_CHUNK_BYTES = 16 * 2**20
"""Bytes of a chunk, unless one sample alone has more."""
FRAME_TYPES = ('uint8', 'uint16')
_ID = re.compile('[A-Za-z0-9_-]+')
_ABSENT = '~absent~'


def check_source(source: Source, episodes: int = 3) -> None:
    """Raise an error if an open source violates the contract of `Source`; closes the source.

    The requirements: descriptions of fields are consistent; ids of episodes are unique, of
    letters, digits, `_` and `-`; chunks are bounded, their stamps finite float64, their values
    float64 or frames of the stated integer type and size; reading again, reading two fields at the
    same time and abandoning a reading give the same samples, `stamps()` of a `StampedSource` the
    same stamps; unknown names raise `LipfaultError`; closing twice is harmless, and reading
    afterwards gives the samples or `LipfaultError`.

    Args:
        source: The open source, with an episode that has samples.
        episodes: Number of episodes to read, from the first.

    Raises:
        LipfaultError: Names the source, the field and the violated requirement.

    Example:
        >>> import tempfile
        >>> from lipfault.importers.readers.npy import NpySource
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / 'run.npz'
        ...     np.savez(path, arm=np.zeros((5, 2)))
        ...     check_source(NpySource(path, rate_hz=10))
    """
    violation = next(_violations(source, episodes), None)
    if violation is not None:
        raise LipfaultError(f'{type(source).__name__} of {source.path}: {violation}')


def _violations(source: Source, episodes: int) -> Iterator[str]:
    path: object = source.path
    if not isinstance(path, Path):
        yield f'path must be a pathlib.Path, got {path!r}'
    yield from _description(source)
    yield from _ids(source)
    read = False
    for episode in source.episodes[:episodes]:
        for name, field in source.fields.items():
            place = f'episode {episode!r}, field {name!r}: '
            chunks = list(source.read(episode, name))
            read = read or bool(chunks)
            for chunk in chunks:
                yield from (place + violation for violation in _chunk(chunk, field))
            if not _same(chunks, list(source.read(episode, name))):
                yield f'{place}reading twice gives different samples'
            if isinstance(source, StampedSource):
                alone = [*source.stamps(episode, name)]
                if not np.array_equal(_joined(alone), _joined([c.times_s for c in chunks])):
                    yield f'{place}stamps() differ from the times_s of read()'
    if not read:
        yield f'no samples in the first {episodes} episodes'
    yield from _interleaved(source)
    yield from _unknown_names(source)
    yield from _closing(source)


def _description(source: Source) -> Iterator[str]:
    if not source.fields:
        yield 'has no fields'
    for name, field in source.fields.items():
        place = f'field {name!r}: '
        if field.name != name or not name:
            yield f'{place}its key and its name {field.name!r} must be one text, not empty'
        if field.kind not in ('series', 'image'):
            yield f'{place}kind must be series or image, got {field.kind!r}'
        texts = (*field.channels, *field.units)
        if not field.channels or not all(isinstance(text, str) for text in texts):
            yield f'{place}channels and units must be texts, at least one, got {texts}'
        if len(set(field.channels)) < len(field.channels):
            yield f'{place}channels must be unique, got {field.channels}'
        if len(field.units) != len(field.channels):
            yield f'{place}{len(field.channels)} channels, but {len(field.units)} units'
        if field.rate_hz is not None and not (math.isfinite(field.rate_hz) and field.rate_hz > 0):
            yield f'{place}rate_hz must be finite and above 0, or None, got {field.rate_hz}'
        yield from (place + violation for violation in _type(field))


def _type(field: Field) -> Iterator[str]:
    if field.kind == 'image':
        if field.size is None or len(field.size) != 2 or min(field.size) < 1:
            yield f'size must be height and width of a frame, got {field.size}'
        if field.dtype not in FRAME_TYPES:
            yield f'frames must be {" or ".join(FRAME_TYPES)}, got {field.dtype}'
    elif field.size is not None:
        yield f'a series has no size, got {field.size}'
    try:
        np.dtype(field.dtype)
    except TypeError:
        yield f'dtype must be a type of numpy, got {field.dtype!r}'


def _ids(source: Source) -> Iterator[str]:
    if not source.episodes:
        yield 'has no episodes'
    for episode in source.episodes:
        if not isinstance(episode, str) or not _ID.fullmatch(episode):
            yield f'ids of episodes are letters, digits, _ and -, got {episode!r}'
    if len(set(source.episodes)) < len(source.episodes):
        yield f'ids of episodes must be unique, got {list(source.episodes)[:20]}'


def _chunk(chunk: Samples, field: Field) -> Iterator[str]:
    times, values = chunk.times_s, chunk.values
    if times.ndim != 1 or times.dtype != np.float64:
        yield f'times_s must be (samples,) float64, got {times.dtype} of shape {times.shape}'
    elif not np.isfinite(times).all():
        yield f'times_s must be finite, got {times[~np.isfinite(times)][0]}'
    if len(times) == 0:
        yield 'a chunk has no samples'
    size = field.size if field.kind == 'image' and field.size is not None else ()
    shape = (len(times), *size, len(field.channels))
    dtype = field.dtype if field.kind == 'image' else 'float64'
    if values.shape != shape or values.dtype != np.dtype(dtype):
        yield f'values must be {dtype} of shape {shape}, got {values.dtype} of {values.shape}'
    if len(times) > 1 and values.nbytes > MOST_CHUNK_BYTES:
        yield f'a chunk has {values.nbytes} bytes, the most is {MOST_CHUNK_BYTES}'


def _joined(parts: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    return np.concatenate(parts) if parts else np.empty(0)


def _same(first: list[Samples], second: list[Samples]) -> bool:
    return len(first) == len(second) and all(
        np.array_equal(a.times_s, b.times_s)
        and np.array_equal(a.values, b.values, equal_nan=a.values.dtype.kind == 'f')
        for a, b in zip(first, second, strict=True)
    )


def _interleaved(source: Source) -> Iterator[str]:
    """Read two chunks of all fields in turn, and abandon the iterators."""
    episode = source.episodes[0]
    alone = {name: list(islice(source.read(episode, name), 2)) for name in source.fields}
    iterators = {name: iter(source.read(episode, name)) for name in source.fields}
    in_turn: dict[str, list[Samples]] = {name: [] for name in source.fields}
    for _ in range(2):
        for name, iterator in iterators.items():
            in_turn[name] += islice(iterator, 1)
    iterators.clear()
    for name in source.fields:
        if not _same(in_turn[name], alone[name]):
            yield f'field {name!r}: read at the same time as other fields, the samples differ'
        if not _same(list(islice(source.read(episode, name), 2)), alone[name]):
            yield f'field {name!r}: the samples differ after an abandoned reading'


def _unknown_names(source: Source) -> Iterator[str]:
    episode, field = source.episodes[0], next(iter(source.fields))
    for arguments in ((_ABSENT, field), (episode, _ABSENT)):
        try:
            next(iter(source.read(*arguments)), None)
        except LipfaultError as error:
            if _ABSENT not in str(error):
                yield f'the error of the unknown name {_ABSENT!r} does not name it: {error}'
        except Exception as error:
            yield f'the unknown name {_ABSENT!r} raises {error!r}, not LipfaultError'
        else:
            yield f'the unknown name {_ABSENT!r} raises no LipfaultError'


def _closing(source: Source) -> Iterator[str]:
    episode, field = source.episodes[0], next(iter(source.fields))
    source.close()
    try:
        source.close()
        list(source.read(episode, field))
    except LipfaultError:
        return
    except Exception as error:
        yield f'after closing, {error!r} is raised, not LipfaultError'
