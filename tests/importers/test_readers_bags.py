"""Readers of MCAP and of bags: the same messages in every container, and what may be wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bags import (
    JOINTS,
    PLAIN,
    ROS1,
    START,
    STORE,
    UNINDEXED,
    header,
    make,
    robot,
    write_mcap,
    write_rosbag1,
    write_rosbag2,
)
from mcap.opcode import Opcode
from mcap.reader import NonSeekingReader, make_reader
from mcap.writer import CompressionType
from mcap_ros2.decoder import DecoderFactory
from reading import joined, random_rows
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin

from lipfault.errors import LipfaultError
from lipfault.importers.readers import source_base
from lipfault.importers.readers.mcap import McapSource
from lipfault.importers.readers.rosbag import RosbagSource
from lipfault.importers.testing import check_source

CONTAINERS = ['mcap', 'lz4', 'unindexed', 'db3_folder', 'db3', 'mcap_folder', 'bag']
COUNT = 30


@pytest.fixture(scope='module')
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The messages of the robot in each container."""
    folder, records = tmp_path_factory.mktemp('bags'), robot()
    write_mcap(folder / 'mcap.mcap', records, chunk_size=4000)
    write_mcap(folder / 'lz4.mcap', records, chunk_size=4000, compression=CompressionType.LZ4)
    write_mcap(folder / 'unindexed.mcap', records, **UNINDEXED)
    write_rosbag2(folder / 'db3_folder', records, StoragePlugin.SQLITE3)
    write_rosbag2(folder / 'mcap_folder', records, StoragePlugin.MCAP)
    write_rosbag1(folder / 'bag.bag', robot(ROS1))
    paths = {path.stem: path for path in folder.iterdir()}
    (db3,) = paths['db3_folder'].glob('*.db3')
    paths['db3'] = folder / 'db3.db3'
    paths['db3'].write_bytes(db3.read_bytes())
    return paths


def opened(path: Path, **options: Any) -> McapSource | RosbagSource:
    return (McapSource if path.suffix == '.mcap' else RosbagSource)(path, **options)


@pytest.mark.parametrize('name', CONTAINERS)
def test_readers_fulfil_the_contract(stored: dict[str, Path], name: str) -> None:
    check_source(opened(stored[name]))


@pytest.mark.parametrize('name', CONTAINERS)
def test_fields_are_described(stored: dict[str, Path], name: str) -> None:
    source = opened(stored[name])
    assert source.episodes == (name,)
    assert source.fields['/joints.position'].channels in (tuple(JOINTS), tuple(JOINTS[::-1]))
    assert source.fields['/imu.angular_velocity'].units == ('rad/s',) * 3
    assert source.fields['/force.wrench.force'].channels == ('x', 'y', 'z')
    assert source.fields['/force.wrench.torque'].units == ('N m',) * 3
    assert len(source.fields['/tactile.data'].channels) == 5
    for camera in ('/eye', '/small_eye'):
        assert source.fields[camera].size == (8, 10)
        assert source.fields[camera].channels == ('red', 'green', 'blue')
    assert source.skipped['/joints.velocity'] == 'empty'
    assert 'text' in source.skipped['/note.data']
    assert source.stamp_origins == {
        '/eye': 'header', '/force': 'header', '/imu': 'header', '/joints': 'header',
        '/small_eye': 'header', '/tactile': 'log',
    }  # fmt: skip


def by_hand(path: Path, topic: str) -> list[tuple[int, Any]]:
    """Log times and messages of a topic, read by the libraries."""
    if path.suffix == '.mcap':
        with path.open('rb') as stream:
            reader = NonSeekingReader(stream, decoder_factories=[DecoderFactory()])
            found = reader.iter_decoded_messages([topic])
            return [(each.message.log_time, each.decoded_message) for each in found]
    with AnyReader([path]) as reader:
        connections = [each for each in reader.connections if each.topic == topic]
        return [
            (log_ns, reader.deserialize(data, connection.msgtype))
            for connection, log_ns, data in reader.messages(connections)
        ]


@pytest.mark.parametrize('name', CONTAINERS)
def test_values_and_times_are_those_of_the_libraries(stored: dict[str, Path], name: str) -> None:
    source, path = opened(stored[name]), stored[name]
    for field in ('/joints.position', '/imu.linear_acceleration', '/tactile.data', '/eye'):
        topic = field.split('.')[0]
        times, values = joined(source, name, field)
        messages = by_hand(path, topic)
        assert len(times) == len(messages) == (COUNT if topic != '/eye' else COUNT // 3)
        for row in random_rows(len(times)):
            log_ns, message = messages[row]
            if topic == '/tactile':
                stamp, expected = log_ns, message.data
            else:
                stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
                assert stamp == log_ns - 10**6
            if topic == '/joints':
                order = source.fields[field].channels
                expected = [message.position[list(message.name).index(joint)] for joint in order]
            elif topic == '/imu':
                push = message.linear_acceleration
                expected = [push.x, push.y, push.z]
            elif topic == '/eye':
                expected = np.frombuffer(bytes(message.data), np.uint8).reshape(8, 10, 3)[..., ::-1]
            assert times[row] == pytest.approx(stamp / 1e9, abs=3e-7, rel=0)
            assert np.array_equal(values[row], expected)


def test_stamps_of_the_log_can_be_asked_for(stored: dict[str, Path]) -> None:
    times, _ = joined(opened(stored['mcap'], stamps='log'), 'mcap', '/imu.angular_velocity')
    assert times[0] == START / 1e9
    with pytest.raises(LipfaultError, match='topic /tactile, message 0: no header stamp'):
        opened(stored['mcap'], stamps='header')
    with pytest.raises(LipfaultError, match="got 'sim'"):
        opened(stored['mcap'], stamps='sim')


def test_headers_that_are_not_set_are_not_used(tmp_path: Path) -> None:
    kind = 'sensor_msgs/msg/Imu'
    write_mcap(tmp_path / 'a.mcap', [('/imu', kind, START, make(kind))] * 3)
    source = McapSource(tmp_path / 'a.mcap')
    assert joined(source, 'a', '/imu.orientation')[0].tolist() == [START / 1e9] * 3
    assert source.stamp_origins == {'/imu': 'log'}


def test_small_chunks_join_to_the_whole(
    stored: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = joined(opened(stored['mcap']), 'mcap', '/eye')
    monkeypatch.setattr(source_base, 'CHUNK_BYTES', 3 * 240)
    source = opened(stored['mcap'])
    assert [len(chunk.times_s) for chunk in source.read('mcap', '/eye')] == [3, 3, 3, 1]
    assert all(
        np.array_equal(a, b) for a, b in zip(whole, joined(source, 'mcap', '/eye'), strict=True)
    )


@pytest.mark.parametrize('name', ['mcap', 'db3'])
def test_absent_topics_name_those_there_are(stored: dict[str, Path], name: str) -> None:
    with pytest.raises(LipfaultError, match=r"no field '/arm'; there are '/joints\.position'"):
        opened(stored[name]).read(name, '/arm')


def joint(number: int, names: list[str], **members: Any) -> Any:
    kind = 'sensor_msgs/msg/JointState'
    message = make(kind, header=header(START + number), name=names, **members)
    return '/joints', kind, START + number, message


def test_publishers_of_different_joints_are_different_fields(tmp_path: Path) -> None:
    records = []
    for n in range(20):
        records.append(joint(n * 10, ['a', 'b'], position=np.array([n, 2.0 * n])))
        if n % 2:
            records.append(joint(n * 10 + 1, ['grip'], position=np.array([-1.0 * n])))
    write_mcap(tmp_path / 'a.mcap', records)
    source = McapSource(tmp_path / 'a.mcap')
    assert list(source.fields) == ['/joints.position@a', '/joints.position@grip']
    assert joined(source, 'a', '/joints.position@a')[1].tolist() == [[n, 2 * n] for n in range(20)]
    assert joined(source, 'a', '/joints.position@grip')[1].tolist() == [
        [-n] for n in range(1, 20, 2)
    ]
    check_source(source)


def test_joints_that_appear_late_are_an_error_and_no_loss(tmp_path: Path) -> None:
    records = [joint(n, ['a'], position=np.array([1.0])) for n in range(8)]
    records.append(joint(9, ['late'], position=np.array([1.0])))
    write_mcap(tmp_path / 'a.mcap', records)
    with pytest.raises(LipfaultError, match=r"message 8: names the joints 'late'.*sample=90"):
        joined(McapSource(tmp_path / 'a.mcap', sample=5), 'a', '/joints.position')
    assert len(McapSource(tmp_path / 'a.mcap', sample=90).fields) == 2


def test_empty_values_are_missing_and_wrong_lengths_are_named(tmp_path: Path) -> None:
    records = [
        joint(0, ['a', 'b'], position=np.array([1.0, 2.0])),
        joint(1, ['a', 'b']),
        joint(2, ['a', 'b'], position=np.array([1.0])),
    ]
    write_mcap(tmp_path / 'a.mcap', records[:2])
    values = joined(McapSource(tmp_path / 'a.mcap'), 'a', '/joints.position')[1]
    assert np.array_equal(values, [[1, 2], [np.nan, np.nan]], equal_nan=True)
    write_mcap(tmp_path / 'a.mcap', records)
    with pytest.raises(LipfaultError, match='message 2: position has 1 values for 2 joints'):
        joined(McapSource(tmp_path / 'a.mcap'), 'a', '/joints.position')


def test_numbers_beside_each_other_are_one_field(tmp_path: Path) -> None:
    kind = 'sensor_msgs/msg/BatteryState'
    message = make(
        kind, header=header(START), voltage=24.5, cell_voltage=np.array([4.0, 4.1], 'f4')
    )
    write_mcap(tmp_path / 'a.mcap', [('/battery', kind, START, message)])
    source = McapSource(tmp_path / 'a.mcap')
    channels = source.fields['/battery'].channels
    assert joined(source, 'a', '/battery')[1][0, channels.index('voltage')] == 24.5
    cells = joined(source, 'a', '/battery.cell_voltage')[1]
    assert cells.tolist() == [np.array([4.0, 4.1], 'f4').tolist()]


def test_covariances_are_read_only_if_asked_for(stored: dict[str, Path]) -> None:
    name = '/imu.orientation_covariance'
    assert 'all_members' in opened(stored['mcap']).skipped[name]
    source = opened(stored['mcap'], all_members=True)
    assert joined(source, 'mcap', name)[1].shape == (COUNT, 9)
    assert source.fields['/tactile.layout'].channels == ('data_offset',)


def test_what_is_not_read_is_noted(stored: dict[str, Path]) -> None:
    notes = '\n'.join(opened(stored['db3']).notes)
    assert "'/joints.velocity' is not read: empty" in notes
    assert '/tactile: stamps of the recorder' in notes
    assert '/imu: stamps' not in notes


def test_lists_of_messages_and_of_changing_length_have_a_reason(tmp_path: Path) -> None:
    scan, tree = 'sensor_msgs/msg/LaserScan', 'tf2_msgs/msg/TFMessage'
    records = [
        ('/scan', scan, START + n, make(scan, header=header(START), ranges=np.zeros(5 + n, 'f4')))
        for n in range(3)
    ]
    records.append(
        ('/tf', tree, START, make(tree, transforms=[make('geometry_msgs/msg/TransformStamped')]))
    )
    kind = 'std_msgs/msg/UInt8MultiArray'
    records.append(('/cloud', kind, START, make(kind, data=np.zeros(9000, np.uint8))))
    write_mcap(tmp_path / 'a.mcap', records)
    source = McapSource(tmp_path / 'a.mcap')
    assert 'lists of 5 to 7 values' in source.skipped['/scan.ranges']
    assert 'of messages' in source.skipped['/tf.transforms']
    assert '9000 values' in source.skipped['/cloud.data']


def test_folders_have_an_episode_for_each_bag(tmp_path: Path) -> None:
    for number in (2, 10):
        names = ['a', 'b'] if number == 2 else ['b', 'a']
        records = [joint(n, names, position=np.array([1.0, 2.0])) for n in range(3)]
        write_mcap(tmp_path / f'run_{number}.mcap', records)
        write_rosbag2(tmp_path / f'bag_{number}', records, StoragePlugin.SQLITE3)
    for source in (McapSource(tmp_path), RosbagSource(tmp_path)):
        first, second = source.episodes
        assert first.endswith('_2')
        assert source.fields['/joints.position'].channels == ('a', 'b')
        assert joined(source, first, '/joints.position')[1][0].tolist() == [1, 2]
        assert joined(source, second, '/joints.position')[1][0].tolist() == [2, 1]
        check_source(source)
    (tmp_path / 'empty').mkdir()
    for reader in (McapSource, RosbagSource):
        with pytest.raises(LipfaultError, match='empty: '):
            reader(tmp_path / 'empty')


def test_fields_that_are_empty_in_one_bag_only(tmp_path: Path) -> None:
    still = [joint(n, ['a'], position=np.array([1.0])) for n in range(3)]
    moving = [joint(n, ['a'], position=np.ones(1), velocity=np.ones(1)) for n in range(3)]
    write_mcap(tmp_path / 'a.mcap', still)
    write_mcap(tmp_path / 'b.mcap', moving)
    source = McapSource(tmp_path)
    assert list(source.read('a', '/joints.velocity')) == []
    assert joined(source, 'b', '/joints.velocity')[1].tolist() == [[1], [1], [1]]
    assert '/joints.velocity' not in source.skipped
    wide = [joint(n, ['a', 'b'], position=np.ones(2), velocity=np.ones(2)) for n in range(3)]
    write_mcap(tmp_path / 'c.mcap', wide)
    with pytest.raises(LipfaultError, match=r'series with 1 channels in episode a, .* 2 .* c'):
        McapSource(tmp_path).read('a', '/joints.position')


@pytest.mark.parametrize('options', [{'chunk_size': 2000}, PLAIN, UNINDEXED])
def test_half_written_mcap(tmp_path: Path, options: dict) -> None:
    path = tmp_path / 'a.mcap'
    write_mcap(path, robot(count=60), **options)
    whole = joined(McapSource(path), 'a', '/imu.orientation')[0]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(LipfaultError, match=r'a\.mcap: was cut off.*mcap recover.*partial'):
        McapSource(path)
    if options is PLAIN:  # one chunk, which is not whole
        with pytest.raises(LipfaultError, match='holds no field'):
            McapSource(path, partial=True)
        return
    source = McapSource(path, partial=True)
    times = joined(source, 'a', '/imu.orientation')[0]
    assert 5 < len(times) < len(whole)
    assert np.array_equal(times, whole[: len(times)])
    check_source(source)


def test_damage_in_the_middle_of_an_mcap(tmp_path: Path) -> None:
    path = tmp_path / 'a.mcap'
    write_mcap(path, robot(count=60), chunk_size=4000, **PLAIN)
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 255
    path.write_bytes(content)
    with pytest.raises(LipfaultError, match=r'a\.mcap: topic /imu, message \d+: damaged.*crc'):
        joined(McapSource(path, sample=5), 'a', '/imu.orientation')


def test_fewer_messages_than_stated_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / 'a.mcap'
    write_mcap(path, robot(count=20), chunk_size=4000, **PLAIN)
    with path.open('rb') as stream:
        last = make_reader(stream).get_summary().chunk_indexes[-1]
    content = bytearray(path.read_bytes())
    # The index of a chunk becomes a record of an unknown kind, which readers skip.
    place = content.rindex(last.chunk_start_offset.to_bytes(8, 'little')) - 25
    assert content[place] == Opcode.CHUNK_INDEX
    content[place] = 0x7F
    path.write_bytes(content)
    with pytest.raises(LipfaultError, match=r'/imu, message \d+: .* the file states 20'):
        joined(McapSource(path, sample=5), 'a', '/imu.orientation')


@pytest.mark.parametrize('reader', [McapSource, RosbagSource])
@pytest.mark.parametrize(
    'content', [b'', b'no bag', b'version https://git-lfs.github.com/spec/v1\n']
)
def test_files_that_are_no_bags(tmp_path: Path, reader: type, content: bytes) -> None:
    path = tmp_path / ('a.mcap' if reader is McapSource else 'a.db3')
    path.write_bytes(content)
    with pytest.raises(LipfaultError, match=rf'{path.name}: '):
        reader(path)


@pytest.mark.parametrize('name', ['db3', 'bag'])
def test_truncated_bags(stored: dict[str, Path], name: str, tmp_path: Path) -> None:
    content = stored[name].read_bytes()
    path = tmp_path / stored[name].name
    for keep in (30, len(content) // 2):
        path.write_bytes(content[:keep])
        with pytest.raises(LipfaultError, match=rf'{path.name}'):
            joined(RosbagSource(path), name, '/imu.orientation')


def test_metadata_of_bags(stored: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / 'run').mkdir()
    meta = tmp_path / 'run/metadata.yaml'
    for text in ('nothing: here', ':[', (stored['db3_folder'] / 'metadata.yaml').read_text()):
        meta.write_text(text)  # of the last, the .db3 file is missing
        with pytest.raises(LipfaultError, match='run: '):
            RosbagSource(tmp_path / 'run')


def test_unknown_types_and_encodings_are_named(tmp_path: Path) -> None:
    from mcap.writer import Writer

    path = tmp_path / 'a.mcap'
    with path.open('wb') as stream:
        writer = Writer(stream)
        writer.start()
        for topic, encoding, schema in (
            ('/proto', 'protobuf', 'protobuf'),
            ('/idl', 'cdr', 'ros2idl'),
            ('/broken', 'cdr', 'ros2msg'),
            ('/values', 'json', 'jsonschema'),
        ):
            number = writer.register_schema('pkg/msg/Thing', schema, b'not a ] definition')
            channel = writer.register_channel(topic, encoding, number)
            for n in range(3):
                data = b'{"arm": {"x": %d, "y": [1, 2]}, "gap": null}' % n
                writer.add_message(channel, START + n, data, START + n)
        writer.finish()
    source = McapSource(path)
    assert "'protobuf'" in source.skipped['/proto']
    assert "'ros2idl'" in source.skipped['/idl']
    assert 'cannot be parsed' in source.skipped['/broken']
    assert list(source.fields) == ['/values.arm.y', '/values.arm']
    assert joined(source, 'a', '/values.arm')[1].tolist() == [[0], [1], [2]]
    check_source(source)


def test_messages_that_are_no_messages_have_a_reason(tmp_path: Path) -> None:
    from mcap.writer import Writer

    path = tmp_path / 'a.mcap'
    with path.open('wb') as stream:
        writer = Writer(stream)
        writer.start()
        text, _ = STORE.generate_msgdef('sensor_msgs/msg/Temperature', ros_version=2)
        number = writer.register_schema('sensor_msgs/msg/Temperature', 'ros2msg', text.encode())
        channel = writer.register_channel('/heat', 'cdr', number)
        writer.add_message(channel, START, b'\0\1', START)
        writer.finish()
    with pytest.raises(LipfaultError, match=r"'/heat' .message 0 cannot be decoded"):
        McapSource(path)


@pytest.mark.parametrize('kind', ['sensor_msgs/msg/JointState', 'sensor_msgs/msg/Image'])
def test_well_known_names_with_another_definition(tmp_path: Path, kind: str) -> None:
    from mcap.writer import Writer

    path = tmp_path / 'a.mcap'
    with path.open('wb') as stream:
        writer = Writer(stream)
        writer.start()
        for topic, name in (('/odd', kind), ('/value', 'pkg/msg/Value')):
            number = writer.register_schema(name, 'ros2msg', b'float64 value')
            channel = writer.register_channel(topic, 'cdr', number)
            data = b'\0\1\0\0' + np.float64(2.5).tobytes()
            writer.add_message(channel, START, data, START)
        writer.finish()
    source = McapSource(path)
    assert list(source.fields) == ['/value']
    assert joined(source, 'a', '/value')[1].tolist() == [[2.5]]
    assert 'not as' in source.skipped['/odd']


def test_bag_without_definitions(stored: dict[str, Path], tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / 'old.db3'
    path.write_bytes(stored['db3'].read_bytes())
    with sqlite3.connect(path) as base:
        base.execute('DELETE FROM message_definitions')
        base.execute("UPDATE topics SET type = 'own_msgs/msg/Thing' WHERE name = '/tactile'")
        base.execute("UPDATE topics SET type_description_hash = ''")
    base.close()
    source = RosbagSource(path)
    assert "'own_msgs/msg/Thing' is unknown" in source.skipped['/tactile']
    whole = joined(opened(stored['db3']), 'db3', '/imu.angular_velocity')
    read = joined(source, 'old', '/imu.angular_velocity')
    assert all(np.array_equal(a, b) for a, b in zip(whole, read, strict=True))


def test_topics_without_messages_have_a_reason(tmp_path: Path) -> None:
    write_mcap(tmp_path / 'a.mcap', [])
    with pytest.raises(LipfaultError, match='holds no field'):
        McapSource(tmp_path / 'a.mcap')
