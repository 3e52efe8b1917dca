"""Messages of a small robot, written as each kind of bag."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from mcap.writer import CompressionType, IndexType, Writer
from PIL import Image
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_HUMBLE)
ROS1 = get_typestore(Stores.ROS1_NOETIC)
START = 1_700_000_000_000_000_000
JOINTS = ['elbow', 'wrist', 'grip']
Record = tuple[str, str, int, Any]


def make(name: str, store: Any = STORE, /, **members: Any) -> Any:
    """Return a message; members that are not given are zero or empty."""
    kind = store.types[name]
    _, fields = store.fielddefs[name]
    return kind(**{key: members.get(key, _zero(what, store)) for key, what in fields})


def _zero(what: Any, store: Any) -> Any:
    node, detail = what
    if node.name == 'NAME':
        return make(detail, store)
    if node.name == 'BASE':
        return '' if detail[0] == 'string' else False if detail[0] == 'bool' else 0
    (inner, name), count = detail
    if inner.name == 'NAME' or name[0] == 'string':
        return []
    return np.zeros(count, {'byte': 'u1', 'octet': 'u1'}.get(name[0], name[0]))


def header(nanoseconds: int, store: Any = STORE) -> Any:
    """Return a header with a stamp."""
    sec, nanosec = divmod(nanoseconds, 10**9)
    stamp = make('builtin_interfaces/msg/Time', store, sec=sec, nanosec=nanosec)
    return make('std_msgs/msg/Header', store, stamp=stamp)


def jpeg(frame: np.ndarray, kind: str = 'JPEG') -> np.ndarray:
    """Return the bytes of a compressed frame."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, kind, quality=95)
    return np.frombuffer(buffer.getvalue(), np.uint8)


def image(frame: np.ndarray, encoding: str, store: Any = STORE, **members: Any) -> Any:
    """Return an `Image` of (height, width, ...) values as they are."""
    height, width = frame.shape[:2]
    values = {
        'height': height,
        'width': width,
        'encoding': encoding,
        'step': frame.nbytes // height,
        'data': np.frombuffer(frame.tobytes(), np.uint8),
        **members,
    }
    return make('sensor_msgs/msg/Image', store, **values)


def robot(store: Any = STORE, count: int = 30) -> list[Record]:
    """Return messages with stamps 1 ms before their log times, in another order of joints."""
    rng, records = np.random.default_rng(0), []

    def add(topic: str, kind: str, number: int, message: Any) -> None:
        records.append((topic, kind, START + number * 10_000_001, message))

    def vector(values: np.ndarray) -> Any:
        return make(
            'geometry_msgs/msg/Vector3', store, **dict(zip('xyz', values.tolist(), strict=True))
        )

    for n in range(count):
        head = header(START + n * 10_000_001 - 10**6, store)
        kind = 'sensor_msgs/msg/JointState'
        order = JOINTS if n % 3 else JOINTS[::-1]
        add(
            '/joints',
            kind,
            n,
            make(kind, store, header=head, name=order, position=rng.normal(size=3)),
        )
        kind = 'sensor_msgs/msg/Imu'
        spin, push = vector(rng.normal(size=3)), vector(rng.normal(size=3))
        add(
            '/imu',
            kind,
            n,
            make(kind, store, header=head, angular_velocity=spin, linear_acceleration=push),
        )
        kind = 'geometry_msgs/msg/WrenchStamped'
        wrench = make('geometry_msgs/msg/Wrench', store, force=vector(rng.normal(size=3)))
        add('/force', kind, n, make(kind, store, header=head, wrench=wrench))
        kind = 'std_msgs/msg/Float64MultiArray'
        add('/tactile', kind, n, make(kind, store, data=rng.normal(size=5)))
        add('/note', 'std_msgs/msg/String', n, make('std_msgs/msg/String', store, data='start'))
        if n % 3 == 0:
            frame = rng.integers(0, 256, (8, 10, 3), np.uint8)
            kind = 'sensor_msgs/msg/Image'
            add('/eye', kind, n, image(frame, 'bgr8', store, header=head))
            kind = 'sensor_msgs/msg/CompressedImage'
            message = make(kind, store, header=head, format='jpeg', data=jpeg(frame))
            add('/small_eye', kind, n, message)
    return records


def write_mcap(path: Path, records: list[Record], **options: Any) -> None:
    """Write records as MCAP."""
    with path.open('wb') as stream:
        writer = Writer(stream, **options)
        writer.start(profile='ros2')
        channels: dict[tuple[str, str], int] = {}
        for topic, kind, log_ns, message in records:
            if (topic, kind) not in channels:
                text, _ = STORE.generate_msgdef(kind, ros_version=2)
                schema = writer.register_schema(kind, 'ros2msg', _standard(text, kind))
                channels[topic, kind] = writer.register_channel(topic, 'cdr', schema)
            data = bytes(STORE.serialize_cdr(message, kind))
            writer.add_message(channels[topic, kind], log_ns, data, log_ns)
        writer.finish()


def _standard(text: str, kind: str) -> bytes:
    """Return a definition as recorders of ROS 2 write it, without a head of the first type."""
    head = f'MSG: {kind.replace("/msg/", "/")}\n'
    return text.split(head, 1)[-1].encode()


def write_rosbag2(path: Path, records: list[Record], storage: StoragePlugin) -> None:
    """Write records as a folder with metadata."""
    with Writer2(path, version=9, storage_plugin=storage) as writer:
        connections = {}
        for topic, kind, log_ns, message in records:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], log_ns, STORE.serialize_cdr(message, kind))


def write_rosbag1(path: Path, records: list[Record]) -> None:
    """Write records as a bag of ROS 1."""
    with Writer1(path) as writer:
        connections = {}
        for topic, kind, log_ns, message in records:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=ROS1)
            writer.write(connections[topic], log_ns, ROS1.serialize_ros1(message, kind))


UNINDEXED = {'index_types': IndexType.NONE, 'use_chunking': False}
PLAIN = {'compression': CompressionType.NONE}
