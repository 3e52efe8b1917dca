"""LeRobot data sets of both versions are imported as pyarrow and PyAV read them, traps included."""

import io
import json

import lerobot_sets as sets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lipfault.data.recording import Recording
from lipfault.errors import LipfaultError
from lipfault.importers.dataset import opened, prepare, write
from lipfault.importers.readers.lerobot import LeRobotSource

LENGTHS = {1: 25, 4: 31}  # the numbers have gaps


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    return sets.write_v2(tmp_path_factory.mktemp('v2'), LENGTHS)


@pytest.fixture
def v2(tmp_path):
    return sets.write_v2(tmp_path / 'set', {1: 12})


def imported(folder, tmp_path, **options):
    with opened([folder]) as source:
        prepared = prepare(source)
        write(prepared, tmp_path / 'out.h5', **options)
    return Recording(tmp_path / 'out.h5')


def read_all(source, episode, field):
    chunks = list(source.read(episode, field))
    return (
        np.concatenate([chunk.times_s for chunk in chunks]),
        np.concatenate([chunk.values for chunk in chunks]),
    )


def change_info(folder, change):
    path = folder / 'meta/info.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_recording_equals_the_tables_and_the_films(published, tmp_path):
    recording = imported(published, tmp_path)
    assert [each.episode_id for each in recording.episodes] == ['episode_000001', 'episode_000004']
    for position, (number, length) in enumerate(LENGTHS.items()):
        rows = pq.read_table(sets.table_path(published, number))
        state = np.array(rows['observation.state'].to_pylist(), dtype=np.float32)
        np.testing.assert_array_equal(recording.read(position, 'state', 0, length), state)
        action = np.array(rows['action'].to_pylist(), dtype=np.float32)
        np.testing.assert_array_equal(recording.read(position, 'action', 0, length), action)
        times, images = sets.decoded(sets.film_path(published, number))
        np.testing.assert_allclose(times, np.arange(length) / sets.FPS, atol=1e-9)
        np.testing.assert_array_equal(recording.read(position, 'top', 0, length), images)
        assert recording.episodes[position].lengths == dict.fromkeys(
            ('state', 'action', 'top'), length
        )
        assert recording.present(position, 'top', 0, length) is None
    assert recording.episodes[0].parameters['task'] == 'lift'
    assert recording.modalities['state'].channels == tuple(sets.NAMES)
    assert recording.modalities['action'].channels == tuple(sets.NAMES)
    assert recording.modalities['top'].size == sets.SIZE
    # Stamps on the grid say nothing new.
    assert recording.stamps(0, 'state', 0, 5) is None


def test_version_3_cuts_episodes_out_of_one_table_and_one_film(tmp_path, published):
    folder = sets.write_v3(tmp_path / 'v3', LENGTHS)
    recording = imported(folder, tmp_path)
    _, film = sets.decoded(folder / f'videos/{sets.CAMERA}/chunk-000/file-000.mp4')
    rows = pq.read_table(folder / 'data/chunk-000/file-000.parquet')
    start = 0
    for position, (number, length) in enumerate(LENGTHS.items()):
        own = rows.slice(start, length)
        assert set(own['episode_index'].to_pylist()) == {number}
        state = np.array(own['observation.state'].to_pylist(), dtype=np.float32)
        np.testing.assert_array_equal(recording.read(position, 'state', 0, length), state)
        np.testing.assert_array_equal(
            recording.read(position, 'top', 0, length), film[start : start + length]
        )
        start += length
    assert recording.episodes[1].parameters['task'] == 'lift; put down'


def test_stamps_without_decoding_are_those_of_the_frames(published, tmp_path):
    for folder in (published, sets.write_v3(tmp_path / 'v3', LENGTHS)):
        source = LeRobotSource(folder)
        for episode in source.episodes:
            for field in source.fields:
                times, _ = read_all(source, episode, field)
                stamps = np.concatenate(list(source.stamps(episode, field)))
                np.testing.assert_array_equal(times, stamps)


def test_times_of_day_in_a_table_count_from_its_first_row(v2):
    path = sets.table_path(v2, 1)
    rows = pq.read_table(path)
    stamps = pa.array(np.arange(12) / sets.FPS + 5000.0)
    pq.write_table(rows.set_column(rows.column_names.index('timestamp'), 'timestamp', stamps), path)
    times, _ = read_all(LeRobotSource(v2), 'episode_000001', 'action')
    np.testing.assert_allclose(times, np.arange(12) / sets.FPS, atol=1e-9)


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (sets.NAMES, tuple(sets.NAMES)),
        ([sets.NAMES], tuple(sets.NAMES)),
        ({'motors': sets.NAMES}, tuple(sets.NAMES)),
        ({'a': 0, 'b': 2, 'c': 1}, ('a', 'c', 'b')),
        (None, ('state_0', 'state_1', 'state_2')),
        ([*sets.NAMES, 'more'], ('state_0', 'state_1', 'state_2')),
        (['x', 'x', 'y'], ('state_0', 'state_1', 'state_2')),
    ],
)
def test_names_in_all_their_forms(v2, names, expected):
    change_info(v2, lambda info: info['features']['observation.state'].update(names=names))
    source = LeRobotSource(v2)
    assert source.fields['observation.state'].channels == expected
    assert bool(source.notes) == (names is not None and expected[0] == 'state_0')


def test_keys_without_prefix_and_the_other_folder_of_films(v2):
    film = sets.film_path(v2, 1)
    other = v2 / 'video/chunk-000/top' / film.name
    other.parent.mkdir(parents=True)
    film.rename(other)
    _, images = read_all(LeRobotSource(v2), 'episode_000001', sets.CAMERA)
    assert images.shape == (12, *sets.SIZE, 3)


def test_the_film_is_right_where_metadata_state_another_size_or_codec(v2):
    def wrong(info):
        info['features'][sets.CAMERA]['shape'] = [3, 480, 640]
        info['features'][sets.CAMERA]['names'] = ['channels', 'height', 'width']
        info['features'][sets.CAMERA]['info'] = {'video.codec': 'av1'}

    change_info(v2, wrong)
    source = LeRobotSource(v2)
    assert source.fields[sets.CAMERA].size == sets.SIZE
    assert '(32, 48)' in source.notes[0]
    assert '(480, 640)' in source.notes[0]


def test_films_of_av1(v2):
    images = sets.frames(1, 12)
    path = sets.film_path(v2, 1)
    path.unlink()
    sets.write_film(path, images, codec='libsvtav1')
    _, found = read_all(LeRobotSource(v2), 'episode_000001', sets.CAMERA)
    np.testing.assert_array_equal(found, sets.decoded(path)[1])
    assert np.abs(found.astype(float) - images).mean() < 4  # grey levels


def test_depth_films_keep_16_bits_until_they_are_scaled(v2, tmp_path):
    depth = (np.arange(12 * 32 * 48).reshape(12, 32, 48) % 4096 * 16).astype(np.uint16)
    path = sets.film_path(v2, 1)
    path.unlink()
    sets.write_film(path, depth, 'ffv1', sets.FPS, 'gray16le', 'gray16le')
    source = LeRobotSource(v2)
    field = source.fields[sets.CAMERA]
    assert (field.dtype, field.channels) == ('uint16', ('depth',))
    _, images = read_all(source, 'episode_000001', sets.CAMERA)
    np.testing.assert_array_equal(images[..., 0], depth)
    recording = imported(v2, tmp_path)
    stored = recording.read(0, 'top', 0, 12)
    np.testing.assert_allclose(stored[..., 0] / 255, depth / depth.max(), atol=0.5 / 255 + 1e-6)


def test_embedded_images(v2):
    images = sets.frames(0, 12)
    cells = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, 'png')
        cells.append({'bytes': buffer.getvalue(), 'path': None})
    path = sets.table_path(v2, 1)
    pq.write_table(pq.read_table(path).append_column('eye', pa.array(cells)), path)
    change_info(
        v2, lambda info: info['features'].update(eye=sets.feature('image', [3, *sets.SIZE], None))
    )
    _, found = read_all(LeRobotSource(v2), 'episode_000001', 'eye')
    np.testing.assert_array_equal(found, images)


def test_an_episode_with_a_short_film_is_refused_and_the_rest_imported(tmp_path):
    folder = sets.write_v2(tmp_path / 'set', {0: 20, 1: 20, 2: 20, 3: 20})
    sets.write_film(sets.film_path(folder, 1), sets.frames(1, 8))
    sets.table_path(folder, 2).unlink()
    sets.film_path(folder, 3).write_text(sets.LFS)
    with opened([folder]) as source:
        prepared = prepare(source)
        reasons = {key: str(value) for key, value in prepared.scan.broken.items()}
        assert 'only 0.800 s in common' in reasons['episode_000001']
        assert 'is missing: the table of episode 2' in reasons['episode_000002']
        assert 'pointer of Git LFS' in reasons['episode_000003']
        with pytest.raises(LipfaultError, match='3 of 4 episodes cannot be imported'):
            write(prepared, tmp_path / 'out.h5')
        assert not list(tmp_path.glob('*.h5*'))
        assert write(prepared, tmp_path / 'out.h5', skip_broken=True) == 1


def test_a_film_slightly_shorter_than_the_table_cuts_the_table(tmp_path):
    folder = sets.write_v2(tmp_path / 'set', {0: 20})
    sets.write_film(sets.film_path(folder, 0), sets.frames(0, 19))
    recording = imported(folder, tmp_path)
    assert recording.episodes[0].lengths == {'state': 19, 'action': 19, 'top': 19}


def damage(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


def drop_column(folder):
    path = sets.table_path(folder, 1)
    pq.write_table(pq.read_table(path).drop_columns(['action']), path)


def text_column(folder):
    path = sets.table_path(folder, 1)
    rows = pq.read_table(path)
    texts = pa.array([['a', 'b', 'c']] * len(rows))
    pq.write_table(rows.set_column(rows.column_names.index('action'), 'action', texts), path)


def uneven_column(folder):
    path = sets.table_path(folder, 1)
    rows = pq.read_table(path)
    lists = rows['action'].to_pylist()
    lists[5] = [1.0, 2.0]
    pq.write_table(
        rows.set_column(rows.column_names.index('action'), 'action', pa.array(lists)), path
    )


BAD = {
    'no metadata': (lambda f: (f / 'meta/info.json').unlink(), 'info.json is missing'),
    'no JSON': (lambda f: (f / 'meta/info.json').write_text('{'), 'info.json: cannot be read'),
    'deep JSON': (
        lambda f: (f / 'meta/info.json').write_text(100_000 * '['),
        'info.json: cannot be read',
    ),
    'old version': (
        lambda f: change_info(f, lambda i: i.update(codebase_version='v1.6')),
        "codebase_version 'v1.6' is not supported",
    ),
    'Lance': (
        lambda f: change_info(f, lambda i: i.update(storage_format='lance')),
        "storage_format 'lance' is not supported",
    ),
    'no rate': (lambda f: change_info(f, lambda i: i.pop('fps')), "KeyError\\('fps'\\)"),
    'no features': (
        lambda f: change_info(f, lambda i: i.update(features={})), 'no feature holds numbers',
    ),
    'bad template': (
        lambda f: change_info(f, lambda i: i.update(data_path='{chunk}/x')), 'may refer to',
    ),
    'no episodes': (
        lambda f: (f / 'meta/episodes.jsonl').write_text('\n'), 'metadata state no episode',
    ),
    'bad line': (
        lambda f: (f / 'meta/episodes.jsonl').write_text('{"length": 1}'), 'episodes.jsonl, line 1',
    ),
    'pointer': (lambda f: sets.table_path(f, 1).write_text(sets.LFS), 'pointer of Git LFS'),
    'cut table': (lambda f: damage(sets.table_path(f, 1), 900), 'table cannot be read'),
    'empty film': (lambda f: damage(sets.film_path(f, 1), 0), 'is empty: the film'),
    'cut film': (lambda f: damage(sets.film_path(f, 1), 300), 'damaged or truncated'),
    'no column': (drop_column, "no column 'action'; there are observation.state"),
    'text': (text_column, "column 'action': holds string, not numbers"),
    'uneven': (uneven_column, "column 'action': rows 0 to 11 hold 35 numbers, expected 12 x 3"),
}  # fmt: skip


@pytest.mark.parametrize('name', BAD)
def test_damaged_sets_are_named(v2, tmp_path, name):
    break_it, message = BAD[name]
    break_it(v2)
    with pytest.raises(LipfaultError, match=message):
        imported(v2, tmp_path)
    assert not list(tmp_path.glob('*.h5*'))
