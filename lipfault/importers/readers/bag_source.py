"""A source of recorded messages: topics of one bag, or of several bags with one episode each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lipfault.errors import LipfaultError
from lipfault.importers.readers.ros_images import is_image
from lipfault.importers.readers.ros_messages import (
    Part,
    aligned,
    header_ns,
    parts_of,
    unknown_joints,
)
from lipfault.importers.readers.source_base import (
    ReaderSource,
    guarded,
    merge_fields,
    rows_per_chunk,
    unique_ids,
)
from lipfault.importers.source import Field, Samples

_NS = 10**9
_MOST_STAMPS = 2**16
_FEW = 10
STAMPS = ('auto', 'header', 'log')


def first_count(schema: str, sample: int) -> int:
    """Return the number of messages from which a topic is described.

    Args:
        schema: Type of the messages, from `type_name`.
        sample: Number for joints, of which several publishers may share a topic.
    """
    if is_image(schema):
        return 1
    return sample if schema == 'sensor_msgs/JointState' else min(sample, _FEW)


class Bag(Protocol):
    """A bag, whose messages are decoded one after the other."""

    @property
    def path(self) -> Path:
        """Path of the bag."""

    @property
    def topics(self) -> Mapping[str, str]:
        """Type of the messages of each topic that can be decoded, such as `sensor_msgs/Imu`."""

    @property
    def skipped(self) -> Mapping[str, str]:
        """Reason for each topic that cannot be decoded."""

    def messages(self, topic: str) -> Iterator[tuple[int, Any]]:
        """Yield log time in nanoseconds and decoded message of a topic.

        Args:
            topic: Name of the topic.
        """

    @property
    def first(self) -> Mapping[str, list[tuple[int, Any]]]:
        """First messages of each topic of `topics`, `first_count` at most."""


@dataclass(frozen=True)
class BagOptions:
    """Options of a reader of messages.

    Args:
        stamps: `header` for the stamps of the header, `log` for those of the recorder; `auto`
            takes the header's if all of the first messages of the topic have one.
        sample: Messages of a joint topic from which its fields are described.
        all_members: Whether covariances and layouts, which are not measured, are fields, too.

    Raises:
        LipfaultError: If an option has an impossible value.
    """

    stamps: str = 'auto'
    sample: int = 100
    all_members: bool = False

    def __post_init__(self) -> None:
        """Check the options."""
        if self.stamps not in STAMPS:
            raise LipfaultError(f'stamps must be one of {", ".join(STAMPS)}, got {self.stamps!r}')
        if not isinstance(self.sample, int) or self.sample < 1:
            raise LipfaultError(f'sample must be a number of messages, got {self.sample!r}')


@dataclass(frozen=True)
class _Described:
    """A bag with its fields, and the topics whose stamps are those of the header."""

    bag: Bag
    parts: dict[str, Part]
    by_header: frozenset[str]


class BagSource(ReaderSource):
    """A source of recorded messages.

    Args:
        path: Path of the file or folder.
        bags: The bags by name.
        options: Options of the reader.
    """

    def __init__(self, path: Path, bags: Mapping[str, Bag], options: BagOptions) -> None:
        """Describe the topics of the bags."""
        skipped: dict[str, str] = {}
        described: dict[str, _Described] = {}
        known: dict[str, Field] = {}
        for key, name in unique_ids(bags).items():
            found = _describe(bags[name], options, skipped)
            for field, part in found.parts.items():
                found.parts[field] = aligned(part, known.setdefault(field, part.field))
            described[key] = found
        self._bags = described
        fields = {
            key: {name: part.field for name, part in found.parts.items()}
            for key, found in described.items()
        }
        # What is empty in one bag may be a field of another.
        differing: dict[str, str] = {}
        merged = merge_fields(fields, differing)
        reasons = {name: why for name, why in skipped.items() if name not in merged} | differing
        super().__init__(path, merged, tuple(described), reasons)

    @property
    def stamp_origins(self) -> dict[str, str]:
        """Return `header` or `log` for each topic: where the stamps of the first bag are from."""
        found = next(iter(self._bags.values()))
        topics = {part.topic for part in found.parts.values()}
        return {t: 'header' if t in found.by_header else 'log' for t in sorted(topics)}

    @property
    def notes(self) -> list[str]:
        """Return the streams that are not read, and the topics without stamps of their own."""
        by_log = [topic for topic, origin in self.stamp_origins.items() if origin == 'log']
        return [*super().notes, *(f'{self.path}: {t}: stamps of the recorder' for t in by_log)]

    def stamps(self, episode: str, field: str) -> Iterator[npt.NDArray[np.float64]]:
        """Read the time stamps of one field of one episode in chunks.

        Args:
            episode: An id of `episodes`.
            field: A key of `fields`.

        Yields:
            Stamps (samples,) float64 in seconds.
        """
        self._check(episode, field)
        times: list[float] = []
        for _, _, stamp, _ in self._messages(episode, field):
            times.append(stamp)
            if len(times) == _MOST_STAMPS:
                yield np.array(times)
                times.clear()
        if times:
            yield np.array(times)

    def _read(self, episode: str, field: Field) -> Iterator[Samples]:
        """Yield the samples of an existing episode and field."""
        most = min(_MOST_STAMPS, rows_per_chunk(_row_bytes(field)))
        times: list[float] = []
        rows: list[npt.NDArray[Any]] = []
        for part, place, stamp, message in self._messages(episode, field.name):
            times.append(stamp)
            rows.append(_row(part, message, place))
            if len(times) == most:
                yield Samples(np.array(times), np.stack(rows))
                times, rows = [], []
        if times:
            yield Samples(np.array(times), np.stack(rows))

    def _messages(self, episode: str, field: str) -> Iterator[tuple[Part, str, float, Any]]:
        """Yield part, place, stamp in seconds and message of each message with a field."""
        found = self._bags[episode]
        part = found.parts.get(field)
        if part is None:
            return
        of_topic = [other for other in found.parts.values() if other.topic == part.topic]
        where = f'{found.bag.path}: topic {part.topic}, message '
        read = guarded(found.bag.messages(part.topic), lambda done: f'{where}{done}')
        for number, (log_ns, message) in enumerate(read):
            if not part.has(message):
                if problem := unknown_joints(of_topic, message):
                    raise LipfaultError(
                        f'{where}{number}: {problem}; describe the topic from more messages with '
                        f'the reader option sample, such as sample={10 * (number + 1)}'
                    )
                continue
            by_header = part.topic in found.by_header
            stamp = (header_ns(message) or 0) if by_header else log_ns
            yield part, f'{where}{number}', stamp // _NS + stamp % _NS / _NS, message


def _describe(bag: Bag, options: BagOptions, skipped: dict[str, str]) -> _Described:
    skipped.update(bag.skipped)
    parts: dict[str, Part] = {}
    by_header = set()
    for topic, messages in bag.first.items():
        if not messages:
            skipped[topic] = 'no messages'
            continue
        decoded = [message for _, message in messages]
        schema = bag.topics[topic]
        # A type of a well-known name may be defined otherwise.
        try:
            parts |= parts_of(topic, schema, decoded, skipped, options.all_members)
        except (AttributeError, TypeError, ValueError) as error:
            skipped[topic] = f'messages that are not as {schema!r} should be: {error}'
        if options.stamps != 'log' and _have_stamps(topic, decoded, options, bag.path):
            by_header.add(topic)
    return _Described(bag, parts, frozenset(by_header))


def _have_stamps(topic: str, messages: Sequence[Any], options: BagOptions, path: Path) -> bool:
    """Return whether the header stamps of a topic are set."""
    lacking = [number for number, message in enumerate(messages) if header_ns(message) is None]
    if lacking and options.stamps == 'header':
        raise LipfaultError(
            f'{path}: topic {topic}, message {lacking[0]}: no header stamp; use stamps=auto or '
            'stamps=log'
        )
    return not lacking


def _row(part: Part, message: Any, place: str) -> npt.NDArray[Any]:  # noqa: ANN401
    """Return the values or the frame of a message."""
    field = part.field
    try:
        row = part.row(message)
    except (LipfaultError, TypeError, ValueError, AttributeError) as error:
        raise LipfaultError(f'{place}: {error}') from error
    shape = (*(field.size or ()), len(field.channels))
    if row.shape != shape or (field.size is not None and row.dtype.name != field.dtype):
        raise LipfaultError(
            f'{place}: {row.dtype.name} of shape {row.shape}, before it {field.dtype} of {shape}'
        )
    return row


def _row_bytes(field: Field) -> int:
    pixels = prod(field.size) * np.dtype(field.dtype).itemsize if field.size else 8
    return pixels * len(field.channels)
