"""Reader of bags of ROS 2 and ROS 1 by rosbags; ROS itself is not needed.

Reference:
    rosbags: https://ternaris.gitlab.io/rosbags/
"""

from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection
from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag2 import Reader as Reader2
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from lipfault.errors import LipfaultError
from lipfault.importers.readers.bag_source import Bag, BagOptions, BagSource, first_count
from lipfault.importers.readers.ros_messages import type_name
from lipfault.importers.readers.source_base import guarded, natural

_SUFFIXES = ('.db3', '.bag')
_METADATA = 'metadata.yaml'


class RosbagSource(BagSource):
    """A bag, or a folder of bags with one episode each.

    A bag is a folder with `metadata.yaml` (SQLite or MCAP storage, also of several files), a single
    `.db3` file, or a `.bag` file of ROS 1. A bag without definitions of its types is read with the
    standard types of ROS.

    Args:
        path: File or folder.
        stamps: `auto`, `header` or `log`, see `BagOptions`.
        sample: Messages of a joint topic from which its fields are described.
        all_members: Whether covariances and layouts, which are not measured, are fields, too.

    Raises:
        LipfaultError: If a path is no bag, or a bag is damaged.
    """

    def __init__(
        self, path: Path, *, stamps: str = 'auto', sample: int = 100, all_members: bool = False
    ) -> None:
        """Open the source."""
        path = Path(path)
        options = BagOptions(stamps, sample, all_members)
        bags: dict[str, Bag] = {}
        for bag in _bags(path):
            name = bag.stem if bag.suffix in _SUFFIXES else bag.name
            bags[bag.name if name in bags else name] = _RosBag(bag, sample)
        super().__init__(path, bags, options)


class _RosBag:
    """A bag, which is open while it is read."""

    def __init__(self, path: Path, sample: int) -> None:
        """List the topics, and read their first messages."""
        self.path = path
        self.topics: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self.first: dict[str, list[tuple[int, Any]]] = {}
        self._is_ros1 = path.suffix == '.bag'
        self._store = get_typestore(Stores.EMPTY)
        self._open(sample)

    def messages(self, topic: str) -> Iterator[tuple[int, Any]]:
        """Yield log time and decoded message of a topic, in the order of log times."""
        # Not shared: a reader has one place in its file. `AnyReader` would parse all types again.
        with Reader1(self.path) if self._is_ros1 else Reader2(self.path) as reader:
            yield from self._decoded(reader, topic)

    def _decoded(self, reader: Any, topic: str) -> Iterator[tuple[int, Any]]:  # noqa: ANN401
        connections = [each for each in reader.connections if each.topic == topic]
        decode = self._store.deserialize_ros1 if self._is_ros1 else self._store.deserialize_cdr
        for connection, log_ns, data in reader.messages(connections):
            yield log_ns, decode(data, connection.msgtype)

    def _open(self, sample: int) -> None:
        """Read the definitions of the types, the topics, and their first messages."""
        for reader in guarded(self._opened(), lambda _: str(self.path)):
            for topic, name, reason in _listed(reader):
                if reason:
                    self.skipped[topic] = reason
                    continue
                self.topics[topic] = name
                first = islice(self._decoded(reader, topic), first_count(name, sample))
                # Damage of one topic does not hide the others.
                try:
                    self.first[topic] = list(first)
                except Exception as error:
                    self.skipped[topic] = f'cannot be decoded: {error}'

    def _opened(self) -> Iterator[AnyReader]:
        """Yield the open bag, once."""
        with AnyReader([self.path], default_typestore=_standard_types(self._is_ros1)) as reader:
            self._store = reader.typestore
            yield reader


def _listed(reader: AnyReader) -> Iterator[tuple[str, str, str]]:
    """Yield topic, type, and why it is skipped or ''."""
    by_topic: dict[str, list[Connection]] = {}
    for connection in reader.connections:
        by_topic.setdefault(connection.topic, []).append(connection)
    for topic, connections in by_topic.items():
        names = sorted({connection.msgtype for connection in connections})
        yield topic, type_name(names[0]), _reason(names, reader.typestore)


def _reason(names: list[str], store: Typestore) -> str:
    """Return why messages are not read, '' if they are."""
    if len(names) > 1:
        return f'messages of several types, {", ".join(names)}'
    if names[0] not in store.fielddefs:
        return f'the type {names[0]!r} is unknown, and the bag does not define it'
    return ''


@cache
def _standard_types(is_ros1: bool) -> Typestore:
    """Return the types for a bag without definitions."""
    return get_typestore(Stores.ROS1_NOETIC if is_ros1 else Stores.LATEST)


def _bags(path: Path) -> list[Path]:
    if not path.is_dir() or (path / _METADATA).exists():
        return [path]
    found = [
        child
        for child in path.iterdir()
        if (child / _METADATA).exists() or (child.suffix in _SUFFIXES and child.is_file())
    ]
    if not found:
        raise LipfaultError(
            f'{path}: no bag: it holds no {_METADATA}, no folder with one, and no file that ends '
            f'in {" or ".join(_SUFFIXES)}'
        )
    return sorted(found, key=lambda child: natural(child.name))
