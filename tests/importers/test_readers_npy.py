"""The reader of NumPy files: archives, folders, both orders of an array, and damaged files."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from reading import joined, random_rows

from lipfault.errors import LipfaultError
from lipfault.importers.readers import source_base
from lipfault.importers.readers.npy import NpySource
from lipfault.importers.testing import check_source

RNG = np.random.default_rng(0)
ARM = RNG.normal(size=(50, 3)).astype('f4')
FRAMES = RNG.integers(0, 256, (25, 9, 12), np.uint8)


@pytest.fixture(params=['npz', 'compressed', 'folder', 'folders', 'npz_folder'])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An arm with its own stamps in ms and a camera, each way in which NumPy stores them."""
    arrays = {'arm': ARM, 'arm_time_ms': np.arange(50) * 20, 'eye': FRAMES, 'time': np.arange(25.0)}
    path = tmp_path / 'run'
    if request.param in ('npz', 'compressed'):
        save = np.savez if request.param == 'npz' else np.savez_compressed
        save(tmp_path / 'run.npz', **arrays)
        return tmp_path / 'run.npz'
    if request.param == 'npz_folder':
        path.mkdir()
        np.savez(path / 'run.npz', **arrays)
        return path
    folder = path / 'run' if request.param == 'folders' else path
    folder.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(folder / f'{name}.npy', array)
    return path


def test_reader_fulfils_the_contract(stored: Path) -> None:
    check_source(NpySource(stored))


def test_values_and_times_are_those_of_numpy(stored: Path) -> None:
    source = NpySource(stored)
    assert source.episodes == ('run',)
    assert set(source.fields) == {'arm', 'eye'}
    assert source.notes == []
    times, values = joined(source, 'run', 'arm')
    for row in random_rows(50):
        assert times[row] == row * 0.02
        assert np.array_equal(values[row], ARM[row].astype('f8'))
    times, frames = joined(source, 'run', 'eye')
    assert np.array_equal(times, np.arange(25))
    assert np.array_equal(frames[..., 0], FRAMES)


@settings(max_examples=40, deadline=None)
@given(
    array=arrays_of.arrays(
        st.sampled_from(['<f8', '>f4', 'u1', '<i2', '?', 'f2']),
        st.tuples(st.integers(2, 9), st.integers(1, 4)),
    ),
    fortran=st.booleans(),
    rows=st.integers(1, 9),
)
def test_any_array_is_read_as_numpy_reads_it(
    array: np.ndarray, fortran: bool, rows: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp('any') / 'a.npy'
    np.save(path, np.asfortranarray(array) if fortran else array)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_base, 'CHUNK_BYTES', rows * array.shape[1] * 8)
        times, values = joined(NpySource(path, rate_hz=4), 'a', 'a')
    assert np.array_equal(values, array.astype('f8'), equal_nan=True)
    assert np.array_equal(times, np.arange(len(array)) / 4)


def test_datetimes_are_seconds_since_1970(tmp_path: Path) -> None:
    stamps = np.array(['2026-03-29T00:59:59', '2026-03-29T03:00:00'], 'datetime64[s]')
    np.savez(tmp_path / 'a.npz', arm=np.zeros((2, 1)), time=stamps)
    times, _ = joined(NpySource(tmp_path / 'a.npz'), 'a', 'arm')
    assert np.array_equal(times, stamps.astype('i8'))
    np.savez(tmp_path / 'b.npz', arm=np.zeros((2, 1)), time=np.array(['2026', 'NaT'], 'M8[s]'))
    times, _ = joined(NpySource(tmp_path / 'b.npz'), 'b', 'arm')
    assert np.array_equal(times, [1767225600, np.nan], equal_nan=True)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / 'a.npz', arm=np.zeros((4, 2)), objects=np.array([{}, []], object))
    source = NpySource(tmp_path / 'a.npz', rate_hz=1)
    assert set(source.fields) == {'arm'}
    assert 'object' in source.skipped['objects']
    (tmp_path / 'b.npy').write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(LipfaultError, match=r'b\.npy: no \.npy file'):
        NpySource(tmp_path / 'b.npy')


@pytest.mark.parametrize('name', ['a.npy', 'a.npz'])
@pytest.mark.parametrize('keep', [0, 5, 90, -40])
def test_truncated_files(tmp_path: Path, name: str, keep: int) -> None:
    path = tmp_path / name
    np.savez(path, arm=ARM) if name == 'a.npz' else np.save(path, ARM)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(LipfaultError, match=rf'{name}: '):
        joined(NpySource(path, rate_hz=1), 'a', name[:1] if name == 'a.npy' else 'arm')


def test_damaged_head(tmp_path: Path) -> None:
    np.save(tmp_path / 'a.npy', ARM)
    content = (tmp_path / 'a.npy').read_bytes()
    (tmp_path / 'a.npy').write_bytes(content.replace(b"'shape': (50, 3)", b"'shape': (50, 3 "))
    with pytest.raises(LipfaultError, match=r'a\.npy: no \.npy file, or a damaged one'):
        NpySource(tmp_path / 'a.npy', rate_hz=1)


def test_damaged_archive_is_found_by_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / 'a.npz'
    np.savez(path, arm=np.tile(ARM, (1000, 1)))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(LipfaultError, match=r'a\.npz: arm: rows from 0: damaged.*CRC'):
        joined(NpySource(path, rate_hz=1), 'a', 'arm')


def test_pointers_and_folders_without_arrays(tmp_path: Path) -> None:
    pointer = tmp_path / 'a.npy'
    pointer.write_text('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n')
    with pytest.raises(LipfaultError, match='git lfs pull'):
        NpySource(pointer)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(LipfaultError, match=r'no \.npz or \.npy file'):
        NpySource(tmp_path / 'empty')
    np.savez(tmp_path / 'none.npz')
    with pytest.raises(LipfaultError, match='holds no array'):
        NpySource(tmp_path / 'none.npz')


def test_equal_ids_get_numbers(tmp_path: Path) -> None:
    for name in ('run a', 'run-a', 'run_a', 'Läuf'):
        np.savez(tmp_path / f'{name}.npz', arm=np.zeros((3, 1)))
    source = NpySource(tmp_path, rate_hz=1)
    assert sorted(source.episodes) == ['L_uf', 'run-a', 'run_a', 'run_a-2']
    check_source(source)
