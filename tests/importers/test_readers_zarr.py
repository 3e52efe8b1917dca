"""The reader of Zarr: both formats, folders and zip files, ends of episodes, damaged stores."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from reading import joined, put, random_rows
from zarr.storage import ZipStore

from lipfault.errors import LipfaultError
from lipfault.importers.readers.zarr import ZarrSource
from lipfault.importers.testing import check_source

RNG = np.random.default_rng(0)
STATE = RNG.normal(size=(60, 4)).astype('f4')
EYE = RNG.integers(0, 256, (60, 10, 8, 3), np.uint8)
ENDS = [20, 21, 60]


def write(root: zarr.Group, ends: list[int] | None = None) -> None:
    """Write state and camera, with the ends of the episodes if there are any."""
    for name, array in {'state': STATE, 'img': EYE}.items():
        put(root, f'data/{name}', array, chunks=(7, *array.shape[1:]))
    if ends is None:
        put(root, 'data/timestamp', np.arange(60) / 30)
    else:
        put(root, 'meta/episode_ends', np.array(ends))


@pytest.fixture(params=[2, 3, 'zip'])
def replay(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A replay buffer of three episodes."""
    if request.param == 'zip':
        path = tmp_path / 'replay.zarr.zip'
        with ZipStore(path, mode='w') as store:
            write(zarr.open_group(store, mode='w'), ENDS)
        return path
    path = tmp_path / 'replay.zarr'
    write(zarr.open_group(str(path), mode='w', zarr_format=request.param), ENDS)
    return path


def test_values_are_those_of_zarr(replay: Path) -> None:
    source = ZarrSource(replay, rate_hz=10)
    assert source.episodes == ('episode_000', 'episode_001', 'episode_002')
    assert set(source.fields) == {'state', 'img'}
    times, states = joined(source, 'episode_002', 'state')
    _, frames = joined(source, 'episode_002', 'img')
    for row in random_rows(39):
        assert times[row] == row / 10
        assert np.array_equal(states[row], STATE[21 + row].astype('f8'))
        assert np.array_equal(frames[row], EYE[21 + row])
    check_source(source)


def test_store_without_ends_is_one_episode(tmp_path: Path) -> None:
    write(zarr.open_group(str(tmp_path / 'run.zarr'), mode='w'))
    source = ZarrSource(tmp_path / 'run.zarr')
    assert source.episodes == ('run',)
    times, values = joined(source, 'run', 'data/state')
    assert np.array_equal(times, np.arange(60) / 30)
    assert np.array_equal(values, STATE.astype('f8'))
    check_source(source)


def test_units_and_channels_are_read_from_the_attributes(tmp_path: Path) -> None:
    root = zarr.open_group(str(tmp_path / 'run.zarr'), mode='w')
    arm = put(root, 'arm', np.zeros((5, 2)))
    arm.attrs.update({'units': ['rad', 'rad'], 'channels': ['elbow', 'wrist'], 'rate_hz': 50})
    source = ZarrSource(tmp_path / 'run.zarr')
    assert source.fields['arm'].channels == ('elbow', 'wrist')
    assert source.fields['arm'].units == ('rad', 'rad')
    assert joined(source, 'run', 'arm')[0][1] == 0.02


@pytest.mark.parametrize(
    ('ends', 'message'),
    [
        ([20, 20, 60], r'must increase.*\[20, 20, 60\]'),
        ([0, 60], 'must increase'),
        ([20, 70], r'data/img has shape \(60, 10, 8, 3\).* is 70'),
    ],
)
def test_ends_that_contradict_the_data(tmp_path: Path, ends: list[int], message: str) -> None:
    write(zarr.open_group(str(tmp_path / 'a.zarr'), mode='w'), ends)
    with pytest.raises(LipfaultError, match=message):
        ZarrSource(tmp_path / 'a.zarr')


def test_unknown_codec_leaves_the_other_arrays(tmp_path: Path) -> None:
    path = tmp_path / 'a.zarr'
    write(zarr.open_group(str(path), mode='w', zarr_format=2))
    meta = path / 'data/img/.zarray'
    meta.write_text(json.dumps({**json.loads(meta.read_text()), 'compressor': {'id': 'jpegxl'}}))
    source = ZarrSource(path)
    assert set(source.fields) == {'data/state'}
    with pytest.raises(LipfaultError, match='jpegxl'):
        source.read('a', 'data/img')


def test_damaged_chunk_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'a.zarr'
    write(zarr.open_group(str(path), mode='w', zarr_format=2))
    (path / 'data/state/3.0').write_bytes(b'no chunk')
    with pytest.raises(LipfaultError, match=r'a\.zarr: data/state: rows from 0: damaged'):
        joined(ZarrSource(path), 'a', 'data/state')


def test_what_is_no_store(tmp_path: Path) -> None:
    (tmp_path / 'sub').mkdir()
    with pytest.raises(LipfaultError, match='no Zarr store'):
        ZarrSource(tmp_path)
    for content in (b'', b'PK\x03\x04 cut off'):
        (tmp_path / 'a.zip').write_bytes(content)
        with pytest.raises(LipfaultError, match=r'a\.zip: no Zarr store'):
            ZarrSource(tmp_path / 'a.zip')
    (tmp_path / 'sub/zarr.json').write_text('{"node_type": ')
    with pytest.raises(LipfaultError, match='no Zarr store, or a damaged one'):
        ZarrSource(tmp_path / 'sub')


def test_zip_with_a_size_beyond_its_end(tmp_path: Path) -> None:
    path = tmp_path / 'a.zip'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('zarr.json', '{"node_type": "group"}')
    content = bytearray(path.read_bytes())
    directory = content.rindex(b'PK\x01\x02')
    content[directory + 20 : directory + 28] = b'\xff\xff\0\0' * 2
    path.write_bytes(content)
    with pytest.raises(LipfaultError, match=r'a\.zip: no Zarr store, or a damaged one'):
        ZarrSource(path)
