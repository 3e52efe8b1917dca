"""The reader of HDF5: robomimic data sets, plain files, links, and damaged files."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from reading import joined, random_rows

from lipfault.errors import LipfaultError
from lipfault.importers.readers import source_base
from lipfault.importers.readers.hdf5 import Hdf5Source
from lipfault.importers.testing import check_source

ROWS = 40


@pytest.fixture
def robomimic(tmp_path: Path) -> Path:
    """Three demonstrations with arm, gripper and camera at 20 Hz, in the layout of robomimic."""
    path, rng = tmp_path / 'low_dim.hdf5', np.random.default_rng(0)
    with h5py.File(path, 'w') as file:
        data = file.create_group('data')
        data.attrs['total'] = 3 * ROWS
        data.attrs['env_args'] = json.dumps({'env_kwargs': {'control_freq': 20}})
        for number in (0, 2, 10):
            demo = data.create_group(f'demo_{number}')
            demo.attrs['num_samples'] = ROWS
            demo['actions'] = rng.normal(size=(ROWS, 7)).astype('f4')
            demo['rewards'] = rng.normal(size=ROWS)
            demo['obs/qpos'] = rng.normal(size=(ROWS, 6))
            demo['next_obs/qpos'] = rng.normal(size=(ROWS, 6))
            demo['obs/eye_image'] = rng.integers(0, 256, (ROWS, 12, 16, 3), np.uint8)
            demo['obs/label'] = np.array([b'a'] * ROWS)
        file['mask/valid'] = np.array([b'demo_10', b'demo_2'])
    return path


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Stamps in ns beside an arm, in s beside a camera with channels first, and a depth image."""
    path, rng = tmp_path / 'run 1.h5', np.random.default_rng(1)
    with h5py.File(path, 'w') as file:
        file['arm/data'] = rng.normal(size=(ROWS, 3))
        file['arm/data'].attrs['units'] = ['rad', 'rad', 'm']
        file['arm/data'].attrs['channels'] = ['elbow', 'wrist', 'rail']
        file['arm/timestamp_ns'] = 1_700_000_000_000_000_000 + np.arange(ROWS) * 2_000_001
        file['eye/frames'] = rng.integers(0, 256, (ROWS // 2, 3, 10, 14), np.uint8)
        file['eye/depth'] = rng.integers(0, 2**16, (ROWS // 2, 10, 14)).astype('>u2')
        file['eye/t'] = 5.0 + np.arange(ROWS // 2) * 0.1
    return path


@pytest.mark.parametrize('name', ['robomimic', 'plain'])
def test_readers_fulfil_the_contract(name: str, request: pytest.FixtureRequest) -> None:
    check_source(Hdf5Source(request.getfixturevalue(name)))


def test_robomimic_values_are_those_of_h5py(robomimic: Path) -> None:
    source = Hdf5Source(robomimic)
    assert source.episodes == ('demo_0', 'demo_2', 'demo_10')
    assert set(source.fields) == {'actions', 'rewards', 'obs/qpos', 'obs/eye_image'}
    assert source.fields['obs/eye_image'].size == (12, 16)
    assert source.fields['actions'].rate_hz == 20
    assert 'next_obs/qpos' in source.skipped
    assert 'obs/label' in source.skipped
    with h5py.File(robomimic) as file:
        for field in source.fields:
            times, values = joined(source, 'demo_2', field)
            stored = file['data/demo_2'][field][:]
            for row in random_rows(ROWS):
                assert times[row] == row / 20
                assert np.array_equal(values[row], np.atleast_1d(stored[row]))


def test_stamps_beside_the_field_are_used(plain: Path) -> None:
    source = Hdf5Source(plain)
    assert source.episodes == ('run_1',)
    times, values = joined(source, 'run_1', 'arm/data')
    with h5py.File(plain) as file:
        stamps, frames = file['arm/timestamp_ns'][:], file['eye/frames'][:]
        depth = file['eye/depth'][:]
    for row in random_rows(ROWS):
        seconds, rest = divmod(int(stamps[row]), 10**9)
        assert times[row] == pytest.approx(seconds + rest / 1e9, abs=3e-7)
    assert source.fields['arm/data'].channels == ('elbow', 'wrist', 'rail')
    assert source.fields['arm/data'].units == ('rad', 'rad', 'm')
    times, values = joined(source, 'run_1', 'eye/frames')
    assert times[3] == pytest.approx(5.3)
    assert np.array_equal(values, frames.transpose(0, 2, 3, 1))
    assert source.fields['eye/depth'].dtype == 'uint16'
    assert np.array_equal(joined(source, 'run_1', 'eye/depth')[1][..., 0], depth)


def test_chunks_join_to_the_whole(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = joined(Hdf5Source(plain), 'run_1', 'arm/data')
    monkeypatch.setattr(source_base, 'CHUNK_BYTES', 7 * 3 * 8)
    source = Hdf5Source(plain)
    chunks = list(source.read('run_1', 'arm/data'))
    assert [len(chunk.times_s) for chunk in chunks] == [7] * 5 + [5]
    again = joined(source, 'run_1', 'arm/data')
    assert all(np.array_equal(a, b) for a, b in zip(whole, again, strict=True))


def test_filter_selects_the_demonstrations(robomimic: Path) -> None:
    assert Hdf5Source(robomimic, filter='valid').episodes == ('demo_10', 'demo_2')
    with pytest.raises(LipfaultError, match=r"no filter 'test'.*'valid'"):
        Hdf5Source(robomimic, filter='test')
    with h5py.File(robomimic, 'a') as file:
        file['mask/wrong'] = np.array([b'demo_5'])
    with pytest.raises(LipfaultError, match='demo_5'):
        Hdf5Source(robomimic, filter='wrong')


def test_episodes_of_another_group(robomimic: Path) -> None:
    with h5py.File(robomimic, 'a') as file:
        file.move('data', 'runs')
    assert Hdf5Source(robomimic, episodes='runs').episodes == ('demo_0', 'demo_2', 'demo_10')
    with pytest.raises(LipfaultError, match=r"no group 'there'.*'runs'"):
        Hdf5Source(robomimic, episodes='there')


def test_folder_has_an_episode_for_each_file(tmp_path: Path) -> None:
    for number in (10, 9):
        with h5py.File(tmp_path / f'episode_{number}.hdf5', 'w') as file:
            file['observations/qpos'] = np.full((5, 14), number)
            file['action'] = np.zeros((5, number))  # differs between the episodes
    source = Hdf5Source(tmp_path, rate_hz=50)
    assert source.episodes == ('episode_9', 'episode_10')
    assert set(source.fields) == {'observations/qpos'}
    assert '9 channels in episode episode_9' in source.skipped['action']
    assert joined(source, 'episode_10', 'observations/qpos')[1].min() == 10
    check_source(source)


def test_rates_by_field(tmp_path: Path) -> None:
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['arm'], file['force'] = np.zeros((4, 2)), np.zeros((8, 2))
    source = Hdf5Source(tmp_path / 'a.h5', rate_hz={'arm': 10, 'force': 20})
    assert joined(source, 'a', 'arm')[0][-1] == pytest.approx(0.3)
    assert joined(source, 'a', 'force')[0][-1] == pytest.approx(0.35)


def test_no_stamps_is_an_error_that_names_the_options(tmp_path: Path) -> None:
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['arm'] = np.zeros((4, 2))
    with pytest.raises(LipfaultError, match=r'a\.h5: arm: no time stamps.*rate_hz.*time'):
        list(Hdf5Source(tmp_path / 'a.h5').read('a', 'arm'))


@pytest.mark.parametrize(
    ('stamps', 'message'),
    [
        (np.arange(3.0), r"time 'clock' has shape \(3,\).*\(4,\)"),
        (np.array([b'a'] * 4), 'not numbers'),
    ],
)
def test_stated_stamps_that_do_not_fit(tmp_path: Path, stamps: np.ndarray, message: str) -> None:
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['arm'], file['clock'] = np.zeros((4, 2)), stamps
    with pytest.raises(LipfaultError, match=message):
        list(Hdf5Source(tmp_path / 'a.h5', time='clock').read('a', 'arm'))
    with pytest.raises(LipfaultError, match=r"no array 'tick'.*'clock'"):
        list(Hdf5Source(tmp_path / 'a.h5', time='tick').read('a', 'arm'))


def test_values_beyond_all_sense_are_kept(tmp_path: Path) -> None:
    values = np.array([[0.0, np.nan], [np.inf, -999], [65535, 1]])
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['arm'] = values
    read = joined(Hdf5Source(tmp_path / 'a.h5', rate_hz=1), 'a', 'arm')[1]
    assert np.array_equal(read, values, equal_nan=True)


def test_data_of_other_files_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / 'other.h5'
    with h5py.File(secret, 'w') as file:
        file['x'] = np.zeros((5, 2))
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['arm'] = np.zeros((5, 2))
        file['linked'] = h5py.ExternalLink('other.h5', '/x')
        file['soft'] = h5py.SoftLink('/arm')
        file['loop/back'] = file['/']
        layout = h5py.VirtualLayout((5, 2), 'f8')
        layout[:] = h5py.VirtualSource('other.h5', 'x', (5, 2))
        file.create_virtual_dataset('virtual', layout)
        file.create_dataset('raw', (5, 2), 'f8', external=[('raw.bin', 0, h5py.h5f.UNLIMITED)])
    source = Hdf5Source(tmp_path / 'a.h5', rate_hz=10)
    assert set(source.fields) == {'arm'}
    for name, reason in {
        'linked': 'other.h5',
        'virtual': 'other files',
        'raw': 'raw.bin',
        'soft': '/arm',
    }.items():
        assert reason in source.skipped[name]
        with pytest.raises(LipfaultError, match=f"'{name}' is not read"):
            source.read('a', name)


def test_streams_that_are_no_fields_have_a_reason(tmp_path: Path) -> None:
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['arm'] = np.zeros((5, 2))
        file['once'], file['number'] = np.zeros((1, 9)), 3.0
        file['words'] = np.array([b'text'] * 5)
        file['pairs'] = np.zeros(5, [('x', 'f4'), ('y', 'i4')])
        file['phase'] = np.zeros(5, complex)
        file['frames'] = np.zeros((5, 64, 64, 3), 'f4')
        file['nothing'] = h5py.Empty('f4')
        file['no_columns'] = np.zeros((5, 0))
    source = Hdf5Source(tmp_path / 'a.h5', rate_hz=1)
    assert set(source.fields) == {'arm'}
    assert set(source.skipped) == {
        'once', 'number', 'words', 'pairs', 'phase', 'frames', 'nothing', 'no_columns'
    }  # fmt: skip
    assert 'uint8 or uint16' in source.skipped['frames']


@pytest.mark.parametrize('keep', [0, 7, 500, -300])
def test_truncated_and_foreign_files(robomimic: Path, keep: int) -> None:
    content = robomimic.read_bytes()
    robomimic.write_bytes(content[:keep])
    with pytest.raises(LipfaultError, match=r'low_dim\.hdf5'):
        list(Hdf5Source(robomimic).read('demo_0', 'actions'))


def test_damaged_values_are_named(tmp_path: Path) -> None:
    path = tmp_path / 'a.h5'
    with h5py.File(path, 'w') as file:
        data = np.random.default_rng(0).normal(size=(100, 4))
        file.create_dataset('arm', data=data, chunks=(50, 4), compression='gzip', fletcher32=True)
        chunk = file['arm'].id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + 30] ^= 255
    path.write_bytes(content)
    with pytest.raises(LipfaultError, match=r'a\.h5: arm: rows from 0: damaged'):
        list(Hdf5Source(path, rate_hz=1).read('a', 'arm'))


def test_a_file_without_numbers_and_an_empty_folder(tmp_path: Path) -> None:
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['words'] = np.array([b'text'] * 5)
    with pytest.raises(LipfaultError, match='holds no field'):
        Hdf5Source(tmp_path / 'a.h5')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(LipfaultError, match='no file that ends in'):
        Hdf5Source(tmp_path / 'empty')


def test_recordings_of_lipfault_are_recognized(tmp_path: Path) -> None:
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file.attrs['format'] = 'lipfault-recording'
    with pytest.raises(LipfaultError, match=r'--data\.path'):
        Hdf5Source(tmp_path / 'a.h5')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'rate_hz': 0}, 'rate_hz must be a number above 0'),
        ({'rate_hz': {'arm': 'fast'}}, "rate_hz of 'arm'"),
        ({'time_unit': 'minutes'}, "got 'minutes'"),
        ({'rate_hz': 1.0, 'time': 't'}, 'leave one out'),
    ],
)
def test_options_are_checked(plain: Path, options: dict, message: str) -> None:
    with pytest.raises(LipfaultError, match=message):
        Hdf5Source(plain, **options)
