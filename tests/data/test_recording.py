"""What is written is read back, lazily and from any process."""

import multiprocessing
import os
import pickle
import subprocess
import sys

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lipfault.data.episode import Episode
from lipfault.data.open_files import OpenFiles
from lipfault.data.recording import Recording
from lipfault.data.recording_set import RecordingSet
from lipfault.data.writer import quantum_of, write_recording
from lipfault.errors import LipfaultError
from lipfault.modality import Modality


@pytest.mark.parametrize('compression', ['none', 'lzf', 'gzip'])
def test_round_trip(tmp_path, tiny_modalities, tiny_episodes, compression):
    path = tmp_path / 'new' / 'folder' / 'a.h5'
    count = write_recording(
        path, list(tiny_modalities.values()), tiny_episodes, {'seed': 3}, compression=compression
    )
    recording = Recording(path)
    assert count == len(recording.episodes) == len(tiny_episodes)
    assert recording.modalities == tiny_modalities
    assert recording.attributes == {'seed': 3}
    for number, (info, episode) in enumerate(zip(recording.episodes, tiny_episodes, strict=True)):
        assert info.episode_id == episode.episode_id
        assert info.parameters == episode.parameters
        assert info.duration_s == pytest.approx(3.0)
        for name, modality in tiny_modalities.items():
            read = recording.read(number, name, 0, info.lengths[name])
            assert read.dtype == episode.signals[name].dtype
            if modality.kind == 'image':
                np.testing.assert_array_equal(read, episode.signals[name])
            else:
                error = np.abs(read - episode.signals[name]).max(axis=0)
                assert (error <= np.asarray(modality.noise) / 16).all()


def test_rounding_hardly_adds_to_the_noise(tiny_modalities):
    series = [each for each in tiny_modalities.values() if each.kind == 'series']
    for modality in series:
        added = quantum_of(modality) ** 2 / 12
        assert (added <= 0.0014 * np.square(modality.noise)).all()


@pytest.mark.parametrize(('compression', 'frames'), [('none', 1), ('lzf', 1), ('gzip', 10)])
def test_chunks_fit_shuffled_reads(tmp_path, tiny_modalities, tiny_episodes, compression, frames):
    path = tmp_path / 'a.h5'
    write_recording(path, list(tiny_modalities.values()), tiny_episodes, compression=compression)
    with h5py.File(path) as file:
        episode = file['episodes/swing-00']
        assert episode['camera'].chunks == (frames, 16, 16, 3)
        assert episode['joints'].chunks == (128, 4)
        assert episode['camera'].compression == (None if compression == 'none' else compression)


def test_chunks_of_large_frames_stay_small(tmp_path):
    camera = Modality('eye', 'image', 50.0, ('grey',), ('1',), (0.0,), (1.0,), (0.1,), (256, 256))
    frames = np.zeros((60, 256, 256, 1), dtype=np.uint8)
    write_recording(
        tmp_path / 'a.h5', [camera], [Episode('a', {'eye': frames})], compression='gzip'
    )
    with h5py.File(tmp_path / 'a.h5') as file:
        assert file['episodes/a/eye'].chunks == (2, 256, 256, 1)


def test_text_of_fixed_length_is_read(tmp_path, tiny_recording):
    """Writers in other languages store text of fixed length."""
    path = tmp_path / 'a.h5'
    path.write_bytes(tiny_recording.read_bytes())
    with h5py.File(path, 'r+') as file:
        file.attrs['format'] = np.bytes_('lipfault-recording')
        file['modalities/force'].attrs['kind'] = np.bytes_('series')
        file['modalities/force'].attrs['channels'] = np.array(['fx', 'fy'], dtype='S4')
    assert Recording(path).modalities == Recording(tiny_recording).modalities


@given(
    rate_hz=st.floats(0.5, 2000),
    noise=st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=5),
    steps=st.integers(1, 400),
    seed=st.integers(0, 99),
)
@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_series_is_read_back_to_a_sixteenth_of_its_noise(tmp_path, rate_hz, noise, steps, seed):
    names = tuple(f'c{number}' for number in range(len(noise)))
    wide = np.array(noise) * 1000
    modality = Modality(
        'any', 'series', rate_hz, names, names, tuple(-wide), tuple(wide), tuple(noise)
    )
    signal = (np.random.default_rng(seed).uniform(-1, 1, (steps, len(noise))) * wide).astype('f4')
    path = tmp_path / 'any.h5'
    write_recording(path, [modality], [Episode('e', {'any': signal})], overwrite=True)
    recording = Recording(path)
    assert recording.modalities['any'].to_dict() == modality.to_dict()
    error = np.abs(recording.read(0, 'any', 0, steps) - signal.astype(float))
    assert (error <= np.array(noise) / 16).all()


def test_parts_equal_the_whole(tiny_recording):
    recording = Recording(tiny_recording)
    whole = recording.read(2, 'force', 0, 300)
    np.testing.assert_array_equal(recording.read(2, 'force', 117, 263), whole[117:263])


def test_nothing_is_open_until_samples_are_read(tmp_path, tiny_recording):
    path = tmp_path / 'lonely.h5'
    path.write_bytes(tiny_recording.read_bytes())

    def descriptors():
        return [
            link
            for name in os.listdir('/proc/self/fd')
            if (link := _target(name)).endswith('lonely.h5')
        ]

    recording = Recording(path)
    assert descriptors() == []
    recording.read(0, 'camera', 0, 1)
    assert len(descriptors()) == 1
    recording.close()
    assert descriptors() == []


def _target(name):
    try:
        return os.readlink(f'/proc/self/fd/{name}')
    except OSError:
        return ''


def test_pickling_leaves_the_handle_behind(tiny_recording):
    recording = Recording(tiny_recording)
    expected = recording.read(1, 'joints', 3, 9)
    copy = pickle.loads(pickle.dumps(recording))
    np.testing.assert_array_equal(copy.read(1, 'joints', 3, 9), expected)


def _send(recording, queue):
    queue.put(recording.read(1, 'joints', 3, 9))


@pytest.mark.filterwarnings('ignore:.*multi-threaded.*fork:DeprecationWarning')
@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_a_child_reads_through_its_own_handle(tiny_recording, method):
    recording = Recording(tiny_recording)
    expected = recording.read(1, 'joints', 3, 9)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_send, args=(recording, queue))
    child.start()
    np.testing.assert_array_equal(queue.get(timeout=30), expected)
    child.join()
    np.testing.assert_array_equal(recording.read(1, 'joints', 3, 9), expected)


def test_read_only_file_in_read_only_folder(tmp_path, tiny_recording):
    folder = tmp_path / 'sealed'
    folder.mkdir()
    copy = folder / 'a.h5'
    copy.write_bytes(tiny_recording.read_bytes())
    copy.chmod(0o444)
    folder.chmod(0o555)
    try:
        assert Recording(copy).read(0, 'force', 0, 5).shape == (5, 2)
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize(('start', 'stop'), [(-1, 5), (5, 5), (0, 301), (300, 301)])
def test_samples_outside_the_episode_are_refused(tiny_recording, start, stop):
    with pytest.raises(LipfaultError, match=f'samples {start} to {stop} are not in 0 to 300'):
        Recording(tiny_recording).read(0, 'force', start, stop)


def test_missing_samples_are_marked(tmp_path):
    gauge = Modality('gauge', 'series', 10.0, ('p',), ('Pa',), (0.0,), (9.0,), (0.1,))
    signal = np.ones((20, 1), dtype=np.float32)
    signal[4:7] = np.nan
    present = np.ones(20, dtype=bool)
    present[4:7] = False
    episode = Episode('only', {'gauge': signal}, present={'gauge': present})
    write_recording(tmp_path / 'a.h5', [gauge], [episode])
    recording = Recording(tmp_path / 'a.h5')
    np.testing.assert_array_equal(recording.present(0, 'gauge', 2, 9), present[2:9])
    assert np.isnan(recording.read(0, 'gauge', 2, 9)[2:5]).all()


def test_several_files_read_as_one(tmp_path, tiny_recording):
    other = tmp_path / 'other.h5'
    other.write_bytes(tiny_recording.read_bytes())
    both = RecordingSet([tiny_recording, other])
    assert [info.episode_id for info in both.episodes][5:7] == ['tiny/swing-05', 'other/swing-00']
    np.testing.assert_array_equal(both.read(7, 'force', 0, 9), both.read(1, 'force', 0, 9))


def test_few_arrays_stay_open_and_those_read_last(tiny_recording):
    files = OpenFiles(cache_bytes=1 << 16)
    recording, whole = Recording(tiny_recording, files), Recording(tiny_recording)
    for episode in (0, 1, 0, 2, 0, 1):
        for name in recording.modalities:
            read = recording.read(episode, name, 0, 5)
            np.testing.assert_array_equal(read, whole.read(episode, name, 0, 5))
            assert len(files._arrays) <= 3
    last = recording.episodes[1].episode_id
    assert [key[1] for key in files._arrays][-2:] == [
        f'episodes/{last}/force',
        f'episodes/{last}/joints',
    ]


def test_few_files_stay_open(tmp_path, tiny_recording):
    paths = [tmp_path / f'{number}.h5' for number in range(9)]
    for path in paths:
        path.write_bytes(tiny_recording.read_bytes())
    files = OpenFiles(most_files=2)
    recordings = [Recording(path, files) for path in paths]
    expected = Recording(tiny_recording).read(0, 'force', 3, 9)
    for recording in (*recordings, *reversed(recordings)):
        np.testing.assert_array_equal(recording.read(0, 'force', 3, 9), expected)
        still_open = {_target(name) for name in os.listdir('/proc/self/fd')} & set(map(str, paths))
        assert len(still_open) <= 2
        assert str(recording.path) in still_open


MANY_FILES = """
import resource, shutil, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from lipfault.data.recording_set import RecordingSet
source, folder = sys.argv[1:]
paths = [shutil.copy(source, f'{folder}/{number}.h5') for number in range(300)]
recordings = RecordingSet(paths)
total = sum(len(recordings.read(e, 'force', 0, 1)) for e in range(len(recordings.episodes)))
print(total, len(recordings.episodes))
"""


def test_more_files_than_descriptors_are_read(tmp_path, tiny_modalities, tiny_episodes):
    source = tmp_path / 'one.h5'
    write_recording(source, list(tiny_modalities.values()), tiny_episodes[:1])
    command = [sys.executable, '-c', MANY_FILES, str(source), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ('300 300\n', '')
