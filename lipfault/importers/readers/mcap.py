"""Reader of MCAP files with ROS 2 messages (`cdr` with `ros2msg`) or JSON messages.

Reference:
    MCAP: https://mcap.dev/spec
"""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

from mcap.exceptions import McapError
from mcap.reader import NonSeekingReader, SeekingReader
from mcap.records import Channel, Message, Schema
from mcap.summary import Summary
from mcap_ros2.decoder import DecoderFactory

from lipfault.errors import LipfaultError
from lipfault.importers.readers.bag_source import Bag, BagOptions, BagSource, first_count
from lipfault.importers.readers.lfs import require_no_pointer
from lipfault.importers.readers.ros_messages import type_name
from lipfault.importers.readers.source_base import guarded, natural

_MAGIC = b'\x89MCAP0\r\n'
_Record = tuple[Schema | None, Channel, Message]


class McapSource(BagSource):
    """An MCAP file, or a folder of MCAP files with one episode each.

    Args:
        path: File or folder.
        stamps: `auto`, `header` or `log`, see `BagOptions`.
        sample: Messages of a joint topic from which its fields are described.
        all_members: Whether covariances and layouts, which are not measured, are fields, too.
        partial: Read a file that was cut off up to its last whole record, instead of refusing it.

    Raises:
        LipfaultError: If a file is no MCAP, was cut off or is damaged.
    """

    def __init__(
        self,
        path: Path,
        *,
        stamps: str = 'auto',
        sample: int = 100,
        all_members: bool = False,
        partial: bool = False,
    ) -> None:
        """Open the source."""
        path = Path(path)
        options = BagOptions(stamps, sample, all_members)
        bags: dict[str, Bag] = {file.stem: _McapBag(file, sample, partial) for file in _files(path)}
        super().__init__(path, bags, options)


class _McapBag:
    """A file, which is open while it is read."""

    def __init__(self, path: Path, sample: int, partial: bool) -> None:
        """List the topics, and read their first messages."""
        self.path = path
        self.topics: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self.first: dict[str, list[tuple[int, Any]]] = {}
        self._is_cut = _is_cut(path, partial)
        self._decoders: dict[int, Callable[[bytes], Any]] = {}
        summary = None if self._is_cut else _summary(path)
        self._counts = {} if summary is None else _counts(summary)
        self._is_indexed = summary is not None
        if summary is None:
            self._scan(sample)
        else:
            for channel in summary.channels.values():
                self._add(summary.schemas.get(channel.schema_id), channel)
            for topic, schema in list(self.topics.items()):
                records = islice(self._records([topic]), first_count(schema, sample))
                for _, channel, message in guarded(records, lambda _: str(self.path)):
                    self._keep(topic, channel, message)

    def messages(self, topic: str) -> Iterator[tuple[int, Any]]:
        """Yield log time and decoded message, in the order of log times if there is an index."""
        count = 0
        for _, channel, message in self._records([topic]):
            yield message.log_time, self._decoders[channel.id](message.data)
            count += 1
        stated = self._counts.get(topic, count)
        if count != stated:
            # The place is added where the messages are read.
            raise McapError(f'{count} messages were found, the file states {stated}')

    def _records(self, topics: list[str] | None) -> Iterator[_Record]:
        """Yield the messages of topics as stored; checksums are compared."""
        with self.path.open('rb') as stream:
            if self._is_indexed:
                yield from SeekingReader(stream, validate_crcs=True).iter_messages(topics)
            else:
                yield from self._in_file_order(stream, topics)

    def _in_file_order(self, stream: IO[bytes], topics: list[str] | None) -> Iterator[_Record]:
        reader = NonSeekingReader(stream, validate_crcs=True)
        records = reader.iter_messages(topics, log_time_order=False)
        if not self._is_cut:
            yield from records
            return
        # The last record is not whole: the library raises errors of several kinds.
        with suppress(Exception):
            yield from records

    def _scan(self, sample: int) -> None:
        """List the topics of a file without an index from all its messages."""
        seen: set[int] = set()
        for schema, channel, message in guarded(self._records(None), lambda _: str(self.path)):
            if channel.id not in seen:
                seen.add(channel.id)
                self._add(schema, channel)
            name = self.topics.get(channel.topic)
            kept = len(self.first.get(channel.topic, ()))
            if name is not None and kept < first_count(name, sample):
                self._keep(channel.topic, channel, message)

    def _add(self, schema: Schema | None, channel: Channel) -> None:
        """Add a channel to the topics, or to those that are skipped."""
        topic, name = channel.topic, _type_of(schema, channel)
        try:
            decoder = _decoder(schema, channel)
        # A damaged definition raises any error of the parser.
        except Exception as error:
            self._skip(topic, f'the definition of {name!r} cannot be parsed: {error}')
            return
        if decoder is None:
            encoding = 'none' if schema is None else schema.encoding
            self._skip(
                topic,
                f'messages {channel.message_encoding!r} with schema {name!r} in {encoding!r} are '
                "not read; 'cdr' with 'ros2msg', and 'json' are",
            )
        elif self.topics.get(topic, name) != name:
            self._skip(topic, f'messages of two types, {self.topics[topic]!r} and {name!r}')
        elif topic not in self.skipped:
            self.topics[topic], self._decoders[channel.id] = name, decoder
            self.first.setdefault(topic, [])

    def _keep(self, topic: str, channel: Channel, message: Message) -> None:
        """Keep one of the first messages of a topic."""
        if topic not in self.topics:
            return
        try:
            decoded = self._decoders[channel.id](message.data)
        # Damaged messages raise any error of the decoder.
        except Exception as error:
            number = len(self.first[topic])
            self._skip(topic, f'message {number} cannot be decoded: {error or type(error)}')
        else:
            self.first[topic].append((message.log_time, decoded))

    def _skip(self, topic: str, reason: str) -> None:
        self.skipped[topic] = reason
        self.topics.pop(topic, None)
        self.first.pop(topic, None)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob('*.mcap'), key=lambda file: natural(file.name))
    if not files:
        raise LipfaultError(f'{path}: holds no file that ends in .mcap')
    return files


def _is_cut(path: Path, partial: bool) -> bool:
    """Return whether the end of a file is missing; raise an error unless `partial`."""
    require_no_pointer(path)
    with path.open('rb') as stream:
        start = stream.read(len(_MAGIC))
        size = stream.seek(0, 2)
        stream.seek(max(0, size - len(_MAGIC)))
        end = stream.read()
    if not start.startswith(_MAGIC):
        found = f'begins with {start[:8]!r}' if start else 'is empty'
        raise LipfaultError(f'{path}: no MCAP file: it {found}')
    is_cut = end != _MAGIC or size < 2 * len(_MAGIC)
    if is_cut and not partial:
        raise LipfaultError(
            f'{path}: was cut off: its end is missing. `mcap recover` repairs it, or the reader '
            'option partial=true reads up to the last whole record'
        )
    return is_cut


def _summary(path: Path) -> Summary | None:
    """Return the summary of a file, None without an index that finds every message."""
    with path.open('rb') as stream:
        try:
            summary = SeekingReader(stream, validate_crcs=True).get_summary()
        except (McapError, ValueError, KeyError, OSError) as error:
            raise LipfaultError(f'{path}: the summary is damaged: {error}') from error
    if summary is None or not summary.chunk_indexes:
        return None
    channels = {number for index in summary.chunk_indexes for number in index.message_index_offsets}
    schemas = {channel.schema_id for channel in summary.channels.values()} - {0}
    whole = channels and channels <= set(summary.channels) and schemas <= set(summary.schemas)
    return summary if whole else None


def _counts(summary: Summary) -> dict[str, int]:
    """Return the number of messages of each topic, as stated, nothing if it is not stated."""
    counts: dict[str, int] = {}
    if summary.statistics is not None:
        for number, count in summary.statistics.channel_message_counts.items():
            if number in summary.channels:
                topic = summary.channels[number].topic
                counts[topic] = counts.get(topic, 0) + count
    return counts


def _type_of(schema: Schema | None, channel: Channel) -> str:
    name = type_name(schema.name) if schema is not None else ''
    return f'json {name}' if channel.message_encoding == 'json' else name


def _decoder(schema: Schema | None, channel: Channel) -> Callable[[bytes], Any] | None:
    """Return the function that decodes the messages of a channel, None if there is none."""
    if channel.message_encoding == 'json':
        return lambda data: json.loads(data, object_hook=lambda items: SimpleNamespace(**items))
    decoder: Callable[[bytes], Any] | None = DecoderFactory().decoder_for(
        channel.message_encoding, schema
    )
    return decoder
