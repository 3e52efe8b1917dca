"""Fields of ROS messages: numbers by their path, joints by their names, and frames."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, is_dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lipfault.errors import LipfaultError
from lipfault.importers.readers.ros_images import decode_image, image_field, is_image
from lipfault.importers.readers.source_base import MOST_CHANNELS, listed
from lipfault.importers.source import Field

_NS = 10**9
_JOINTS = ('position', 'velocity', 'effort')
_UNMEASURED = re.compile(r'(\w+_)?covariance|layout')
_UNITS = {
    ('sensor_msgs/Imu', 'angular_velocity'): 'rad/s',
    ('sensor_msgs/Imu', 'linear_acceleration'): 'm/s^2',
    ('sensor_msgs/MagneticField', 'magnetic_field'): 'T',
    ('geometry_msgs/Wrench', 'force'): 'N',
    ('geometry_msgs/Wrench', 'torque'): 'N m',
    ('geometry_msgs/WrenchStamped', 'wrench.force'): 'N',
    ('geometry_msgs/WrenchStamped', 'wrench.torque'): 'N m',
    ('geometry_msgs/Twist', 'linear'): 'm/s',
    ('geometry_msgs/Twist', 'angular'): 'rad/s',
    ('geometry_msgs/TwistStamped', 'twist.linear'): 'm/s',
    ('geometry_msgs/TwistStamped', 'twist.angular'): 'rad/s',
    ('geometry_msgs/PoseStamped', 'pose.position'): 'm',
    ('nav_msgs/Odometry', 'pose.pose.position'): 'm',
    ('nav_msgs/Odometry', 'twist.twist.linear'): 'm/s',
    ('nav_msgs/Odometry', 'twist.twist.angular'): 'rad/s',
}
"""Units that the definition of a type states, by the path of the vector."""


@dataclass(frozen=True)
class Part:
    """A field of the messages of a topic.

    Args:
        topic: Name of the topic.
        field: Description of the field.
        row: Function that takes a message, and returns values (channels,) or a frame.
        joints: Names of the joints of the messages that have the field, None for all messages.
    """

    topic: str
    field: Field
    row: Callable[[Any], npt.NDArray[Any]]
    joints: frozenset[str] | None = None

    def has(self, message: Any) -> bool:  # noqa: ANN401
        """Return whether a message has the field.

        Args:
            message: The decoded message.
        """
        return self.joints is None or self.joints == frozenset(message.name)


def type_name(schema: str) -> str:
    """Return `package/Name` of a type, without the folder `msg`.

    Args:
        schema: Name of the type, such as `sensor_msgs/msg/Imu`.
    """
    return schema.replace('/msg/', '/')


def header_ns(message: Any) -> int | None:  # noqa: ANN401
    """Return the header stamp of a message.

    Args:
        message: The decoded message.

    Returns:
        Nanoseconds, None for a message without a header or with a stamp of 0, which is not set.
    """
    stamp = getattr(getattr(message, 'header', None), 'stamp', None)
    if stamp is None or not hasattr(stamp, 'sec') or not hasattr(stamp, 'nanosec'):
        return None
    return (int(stamp.sec) * _NS + int(stamp.nanosec)) or None


def parts_of(
    topic: str,
    schema: str,
    messages: Sequence[Any],
    skipped: dict[str, str],
    all_members: bool = False,
) -> dict[str, Part]:
    """Return the fields of a topic.

    A vector of a message, such as `angular_velocity`, is a field `topic.angular_velocity`; the
    numbers beside each other in one message are one field, too. Values of joints have a field for
    each set of joints that messages name, with the joints as channels.

    Args:
        topic: Name of the topic.
        schema: Type of its messages, from `type_name`.
        messages: Some of its messages, at least one.
        skipped: Gets the reason for each member that is no field.
        all_members: Whether covariances and layouts, which are not measured, are fields, too.

    Returns:
        The fields by name.
    """
    if is_image(schema):
        try:
            field = image_field(topic, schema, messages[0])
        except LipfaultError as error:
            skipped[topic] = str(error)
            return {}
        return {topic: Part(topic, field, lambda message: decode_image(schema, message))}
    found = _joint_parts(topic, messages, skipped) if schema == 'sensor_msgs/JointState' else {}
    joints = {(member,) for member in ('name', *_JOINTS)} if found else set()
    for path, members in _vectors(messages[0]):
        if path in joints:
            continue
        name = '.'.join((topic, *path))
        if not all_members and path and _UNMEASURED.fullmatch(path[-1]):
            skipped[name] = 'not measured; read with the reader option all_members=true'
            continue
        part = _part(name, path, members, messages)
        if isinstance(part, str):
            skipped[name] = part
            continue
        units = (_UNITS.get((schema, '.'.join(path)), ''),) * len(part[0])
        field = Field(name=name, kind='series', channels=part[0], units=units)
        found[name] = Part(topic, field, part[1])
    return found


def aligned(part: Part, known: Field) -> Part:
    """Return a part of joints in the order of the channels of another bag.

    Args:
        part: The part.
        known: The field of the same name in the bag before.

    Returns:
        The part; unchanged if the fields have other channels.
    """
    member = known.name.rsplit('.', 1)[-1].split('@')[0]
    if part.joints is None or part.joints != frozenset(known.channels):
        return part
    return replace(part, field=known, row=_joint_row(member, known.channels))


def _joint_parts(topic: str, messages: Sequence[Any], skipped: dict[str, str]) -> dict[str, Part]:
    """Return the fields of joints, one for each set of joints and member with values."""
    sets = {frozenset(message.name): tuple(message.name) for message in messages}
    found: dict[str, Part] = {}
    if any(len(set(names)) < len(names) or not names for names in sets.values()):
        return {}
    for joints, names in sets.items():
        suffix = f'@{names[0]}' if len(sets) > 1 else ''
        of_set = [message for message in messages if frozenset(message.name) == joints]
        for member in _JOINTS:
            name = f'{topic}.{member}{suffix}'
            if not any(len(getattr(message, member)) for message in of_set):
                skipped[name] = 'empty'
                continue
            field = Field(name=name, kind='series', channels=names, units=('',) * len(names))
            found[name] = Part(topic, field, _joint_row(member, names), joints)
    return found


def _joint_row(member: str, names: tuple[str, ...]) -> Callable[[Any], npt.NDArray[Any]]:
    def row(message: Any) -> npt.NDArray[Any]:  # noqa: ANN401
        values = np.asarray(getattr(message, member), np.float64)
        if len(values) == 0:
            return np.full(len(names), np.nan)
        if len(values) != len(names):
            raise LipfaultError(f'{member} has {len(values)} values for {len(names)} joints')
        if tuple(message.name) == names:
            return values
        place = {joint: number for number, joint in enumerate(message.name)}
        return values[[place[joint] for joint in names]]

    return row


def _vectors(
    message: Any,  # noqa: ANN401
    path: tuple[str, ...] = (),
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Yield the paths of vectors, and of messages that hold numbers with the names of these."""
    scalars = []
    for name, value in _members(message).items():
        if value is None or (name == 'header' and hasattr(value, 'stamp')):
            continue
        if isinstance(value, bool | int | float | np.number | np.bool_):
            scalars.append(name)
        elif isinstance(value, str | list | tuple | np.ndarray | bytes | bytearray | memoryview):
            yield (*path, name), []
        elif set(_members(value)) != {'sec', 'nanosec'}:
            yield from _vectors(value, (*path, name))
    if scalars:
        yield path, scalars


def _members(message: Any) -> dict[str, Any]:  # noqa: ANN401
    if is_dataclass(message):
        names = [name for name in message.__dataclass_fields__ if not name.startswith('_')]
    else:
        names = list(getattr(message, '__slots__', ()) or vars(message))
    return {name: getattr(message, name) for name in names}


def _part(
    name: str, path: tuple[str, ...], members: list[str], messages: Sequence[Any]
) -> tuple[tuple[str, ...], Callable[[Any], npt.NDArray[Any]]] | str:
    """Return channels and function of a field, or why the values are none."""
    if members:
        return tuple(members), _scalars_row(path, members)
    values = [_array(_follow(message, path)) for message in messages]
    if any(value is None for value in values):
        return 'text, or a list of text or of messages'
    lengths = {value.size for value in values if value is not None} - {0}
    if not lengths:
        return 'empty'
    if len(lengths) > 1:
        return f'lists of {min(lengths)} to {max(lengths)} values, not of a fixed number'
    (count,) = lengths
    if count > MOST_CHANNELS:
        return f'lists of {count} values; a series has at most {MOST_CHANNELS}'
    return tuple(f'{path[-1]}_{n}' for n in range(count)), _vector_row(path, count)


def _scalars_row(path: tuple[str, ...], members: list[str]) -> Callable[[Any], npt.NDArray[Any]]:
    def row(message: Any) -> npt.NDArray[Any]:  # noqa: ANN401
        parent = _follow(message, path)
        values = [getattr(parent, member, None) for member in members]
        return np.array([np.nan if value is None else value for value in values], np.float64)

    return row


def _vector_row(path: tuple[str, ...], count: int) -> Callable[[Any], npt.NDArray[Any]]:
    def row(message: Any) -> npt.NDArray[Any]:  # noqa: ANN401
        values = _array(_follow(message, path))
        if values is None or values.size not in (0, count):
            found = 'no numbers' if values is None else f'{values.size} values'
            raise LipfaultError(f'{".".join(path)} has {found}, expected {count}')
        return values if values.size else np.full(count, np.nan)

    return row


def _follow(message: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401
    for name in path:
        message = getattr(message, name, None)
    return message


def _array(values: Any) -> npt.NDArray[np.float64] | None:  # noqa: ANN401
    """Return a vector as numbers (values,), None if the values are no numbers."""
    if isinstance(values, bytes | bytearray | memoryview):
        return np.frombuffer(values, np.uint8).astype(np.float64)
    try:
        array = np.asarray(() if values is None else values)
    except ValueError:  # lists of different lengths
        return None
    if array.size and array.dtype.kind not in 'biuf':
        return None
    return array.astype(np.float64).reshape(-1)


def unknown_joints(parts: Sequence[Part], message: Any) -> str:  # noqa: ANN401
    """Return an error text if no field has the joints that a message names, else ''.

    Args:
        parts: All fields of the topic.
        message: The decoded message.
    """
    sets = [part.joints for part in parts]
    if None in sets or frozenset(message.name) in sets:
        return ''
    return f'names the joints {listed(message.name)}, which no field has'
