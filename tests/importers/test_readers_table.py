"""The reader of each format is recognized, and the contract finds what a reader does wrong."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from bags import ROS1, robot, write_mcap, write_rosbag1, write_rosbag2
from lerobot_sets import write_v2
from reading import put
from rosbags.rosbag2 import StoragePlugin

from lipfault.errors import LipfaultError
from lipfault.importers.readers.registry import READERS, open_source, recognize
from lipfault.importers.source import Field, Samples
from lipfault.importers.testing import check_source


def write_h5(path: Path) -> None:
    with h5py.File(path, 'w') as file:
        file['arm'] = np.zeros((4, 2))


def write_zarr(path: Path) -> None:
    put(zarr.open_group(str(path), mode='w'), 'arm', np.zeros((4, 2)))


SOURCES: dict[str, tuple[str, Callable[[Path], object]]] = {
    'run.mcap': ('mcap', lambda path: write_mcap(path, robot(count=3))),
    'run': ('rosbag', lambda path: write_rosbag2(path, robot(count=3), StoragePlugin.MCAP)),
    'run.bag': ('rosbag', lambda path: write_rosbag1(path, robot(ROS1, count=3))),
    'run.hdf5': ('hdf5', write_h5),
    'run.zarr': ('zarr', write_zarr),
    'run.npz': ('npy', lambda path: np.savez(path, arm=np.zeros((4, 2)))),
    'run.npy': ('npy', lambda path: np.save(path, np.zeros((4, 2)))),
    'run.parquet': ('parquet', lambda path: pq.write_table(pa.table({'x': [1.0, 2.0]}), path)),
    'lerobot_set': ('lerobot', lambda path: write_v2(path, {0: 5, 3: 7})),
    'run.csv': ('csv', lambda path: path.write_text('time,x\n0,1\n1,2\n')),
}


@pytest.mark.parametrize('name', SOURCES)
def test_formats_are_recognized(name: str, tmp_path: Path) -> None:
    reader, write = SOURCES[name]
    path = tmp_path / name
    write(path)
    assert recognize(path) == reader
    rated = reader not in ('mcap', 'rosbag', 'csv', 'lerobot')
    source = open_source(path, **({'rate_hz': 10} if rated else {}))
    check_source(source)
    if path.is_file() and READERS[reader].magic and path.suffix != '.npz':
        assert recognize(path.rename(tmp_path / 'without_suffix')) == reader
    with pytest.raises(LipfaultError, match='speed'):
        open_source(path if path.exists() else tmp_path / 'without_suffix', speed=3)


def test_folders_are_recognized(tmp_path: Path) -> None:
    for name, (reader, write) in SOURCES.items():
        if name not in ('run.zarr', 'lerobot_set'):
            folder = tmp_path / name.replace('.', '_')
            folder.mkdir()
            write(folder / name)
            assert recognize(folder) == reader


class Sound:
    """A reader of one's own: two fields of two episodes."""

    path = Path('own')
    fields: Mapping[str, Field] = MappingProxyType(
        {
            'arm': Field('arm', 'series', ('elbow', 'wrist'), ('rad', 'rad'), 10.0),
            'eye': Field('eye', 'image', ('grey',), ('',), None, (4, 5), 'uint8'),
        }
    )
    episodes: Sequence[str] = ('run-1', 'run_2')

    def read(self, episode: str, field: str) -> Iterator[Samples]:
        if episode not in self.episodes or field not in self.fields:
            raise LipfaultError(f'{self.path}: there is no {episode} {field}')
        return self.chunks(field)

    def chunks(self, field: str) -> Iterator[Samples]:
        for start in (0, 3):
            yield Samples(self.times(start), self.values(field, start))

    def times(self, start: int) -> Any:
        return np.arange(start, start + 3) / 10

    def values(self, field: str, start: int) -> Any:
        return np.full((3, 2), start / 7) if field == 'arm' else np.zeros((3, 4, 5, 1), np.uint8)

    def close(self) -> None:
        pass


def changed(**attributes: Any) -> Sound:
    return type('Changed', (Sound,), attributes)()


def with_field(key: str, /, **values: Any) -> Sound:
    return changed(fields={**Sound.fields, key: replace(Sound.fields[key], **values)})


def noisy(self: Sound, field: str, start: int) -> Any:
    return (
        np.random.default_rng().normal(size=(3, 2))
        if field == 'arm'
        else Sound.values(self, field, start)
    )


def silent(self: Sound, episode: str, field: str) -> Iterator[Samples]:
    return iter(())


class SharedPlace(Sound):
    """A reader whose iterators share one place in a file."""

    def chunks(self, field: str) -> Iterator[Samples]:
        self.place = 0
        yield Samples(self.times(self.place), self.values(field, self.place))
        while self.place < 6:
            self.place += 3
            yield Samples(self.times(self.place), self.values(field, self.place))


class AnyName(Sound):
    """A reader that knows every name."""

    def read(self, episode: str, field: str) -> Iterator[Samples]:
        return self.chunks('arm' if field not in self.fields else field)


class RawError(Sound):
    """A reader that leaks the error of a dictionary."""

    def read(self, episode: str, field: str) -> Iterator[Samples]:
        return super().read(episode, self.fields[field].name)


class Closing(Sound):
    closed = False

    def read(self, episode: str, field: str) -> Iterator[Samples]:
        if self.closed:
            raise ValueError('read of closed file')
        return super().read(episode, field)

    def close(self) -> None:
        self.closed = True


def test_a_sound_reader_passes() -> None:
    check_source(Sound())
    check_source(changed(stamps=lambda self, *names: iter([self.times(0), self.times(3)])))


@pytest.mark.parametrize(
    ('source', 'message'),
    [
        (changed(path='own'), 'path must be'),
        (changed(fields={}), 'has no fields'),
        (with_field('arm', name='leg'), "field 'arm': its key"),
        (with_field('arm', kind='text'), 'kind must be'),
        (with_field('arm', channels=('a', 'a')), 'unique'),
        (with_field('arm', channels=()), 'at least one'),
        (with_field('arm', units=('rad',)), '2 channels, but 1 units'),
        (with_field('arm', rate_hz=0.0), 'rate_hz must be'),
        (with_field('arm', size=(1, 2)), 'a series has no size'),
        (with_field('arm', dtype='number'), 'type of numpy'),
        (with_field('eye', size=None), 'height and width'),
        (with_field('eye', dtype='float32'), 'uint8 or uint16'),
        (with_field('eye', size=(5, 4)), 'of shape'),
        (changed(episodes=()), 'has no episodes'),
        (changed(episodes=('a b',)), 'letters, digits'),
        (changed(episodes=('a', 'a')), 'unique'),
        (changed(times=lambda self, start: np.arange(3)), 'float64, got int64'),
        (changed(times=lambda self, start: np.array([0, np.nan, 1])), 'finite, got nan'),
        (changed(times=lambda self, start: np.arange(2.0)), r'of shape \(2, 2\)'),
        (changed(values=lambda self, field, start: np.zeros((3, 2), 'f4')), 'got float32'),
        (changed(values=noisy), 'reading twice'),
        (changed(read=silent), 'no samples'),
        (changed(stamps=lambda self, *names: iter([self.times(1)])), 'differ from the times_s'),
        (AnyName(), "unknown name '~absent~' raises no"),
        (RawError(), "raises KeyError\\('~absent~'\\), not LipfaultError"),
        (SharedPlace(), 'read at the same time'),
        (Closing(), 'after closing'),
    ],
)  # fmt: skip
def test_violations_are_found(source: Any, message: str) -> None:
    with pytest.raises(LipfaultError, match=message):
        check_source(source)


def test_large_chunks_are_found() -> None:
    big = Field('eye', 'image', ('grey',), ('',), None, (3000, 3000), 'uint8')

    def values(self: Sound, field: str, start: int) -> Any:
        return np.zeros((3, 3000, 3000, 1), np.uint8)

    with pytest.raises(LipfaultError, match='27000000 bytes'):
        check_source(changed(fields={'eye': big}, values=values))
