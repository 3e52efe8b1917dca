"""A window is the same samples whatever the cache, the split, the worker or the batch."""

import pickle

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lipfault.data.episode import Episode
from lipfault.data.geometry import Geometry
from lipfault.data.recording_set import RecordingSet
from lipfault.data.unpack import signal_shapes, unpack
from lipfault.data.window_batch import collate
from lipfault.data.windows import WindowDataset
from lipfault.data.writer import write_recording
from lipfault.errors import LipfaultError
from lipfault.modality import Modality

PER_EPISODE = 15


@pytest.fixture
def recordings(tiny_recording):
    return RecordingSet([tiny_recording])


def dataset(recordings, positions=(1, 4), cache='none', history_s=0.5, **options):
    geometry = Geometry(recordings.modalities, 1.0, 0.1, history_s)
    return WindowDataset(recordings, positions, geometry, cache, **options)


def assert_same(left, right):
    for name in left.blocks:
        torch.testing.assert_close(
            left.blocks[name], right.blocks[name], rtol=0, atol=0, equal_nan=True
        )
        torch.testing.assert_close(left.present[name], right.present[name])
    for key in ('sample_id', 'draw_key', 'episode', 'end_s'):
        torch.testing.assert_close(getattr(left, key), getattr(right, key))


def test_a_window_holds_the_recorded_samples(recordings, tiny_recording):
    windows = dataset(recordings).fetch([PER_EPISODE + 3])
    assert windows.sample_id.item() == 4 * PER_EPISODE + 3
    assert windows.episode.item() == 4
    assert windows.end_s.item() == pytest.approx(1.8)
    with h5py.File(tiny_recording) as file:
        episode = file['episodes/swing-04']
        np.testing.assert_array_equal(windows.blocks['joints'][0], episode['joints'][16:91])
        np.testing.assert_array_equal(windows.blocks['force'][0], episode['force'][31:181])
        np.testing.assert_array_equal(windows.blocks['camera'][0], episode['camera'][13:19])


def test_unpacked_signals_are_channels_first(recordings):
    data = dataset(recordings)
    windows = data.fetch([0, 7])
    signals, history = unpack(windows, data.geometry)
    for name, shape in signal_shapes(data.geometry).items():
        assert signals[name].shape == (2, *shape)
        assert signals[name].dtype == torch.float32
        assert signals[name].is_contiguous()
    joints, camera = windows.blocks['joints'], windows.blocks['camera']
    assert torch.equal(signals['joints'][1, 2], joints[1, 25:, 2])
    assert torch.equal(history['joints'][1, 2], joints[1, :25, 2])
    assert torch.equal(signals['camera'][1, 2], camera[1, 5, :, :, 2] / 255)
    assert torch.equal(history['camera'][1, 4, 2], camera[1, 4, :, :, 2])
    assert history['camera'].shape == (2, 5, 3, 16, 16)
    assert history['camera'].dtype == torch.uint8


def test_without_history_the_past_is_empty(recordings):
    data = dataset(recordings, history_s=0.0)
    _, history = unpack(data.fetch([0, 1]), data.geometry)
    assert history['joints'].shape == (2, 4, 0)
    assert history['camera'].shape == (2, 0, 3, 16, 16)


@pytest.mark.parametrize('cache', ['series', 'all'])
def test_the_cache_changes_nothing(recordings, cache):
    indices = [29, 0, 14, 15, 3]
    assert_same(dataset(recordings, cache=cache).fetch(indices), dataset(recordings).fetch(indices))


def test_a_full_cache_needs_no_file(tmp_path, tiny_recording):
    path = tmp_path / 'a.h5'
    path.write_bytes(tiny_recording.read_bytes())
    data = dataset(RecordingSet([path]), cache='all')
    expected = data.fetch([3])
    path.unlink()
    assert_same(data.fetch([3]), expected)


def test_ids_do_not_depend_on_the_other_episodes(recordings):
    everything = dataset(recordings, positions=range(6))
    some = dataset(recordings, positions=(5, 1))
    assert everything.sample_id.tolist() == list(range(6 * PER_EPISODE))
    for index in (0, 20):
        same = some.fetch([index])
        assert_same(same, everything.fetch([same.sample_id.item()]))


def test_draw_keys_do_not_depend_on_other_files_or_episodes(
    tmp_path, tiny_modalities, tiny_episodes
):
    def write(name, episodes):
        write_recording(tmp_path / name, list(tiny_modalities.values()), episodes)
        return tmp_path / name

    def keys(recordings, unique_id):
        ids = [info.unique_id for info in recordings.episodes]
        found = dataset(recordings, positions=[ids.index(unique_id)]).fetch(range(PER_EPISODE))
        return found.draw_key

    first, second = tiny_episodes[:2]
    alone = RecordingSet([write('b.h5', [second])])
    in_front = RecordingSet([write('a.h5', [first, second]), tmp_path / 'b.h5'])
    assert torch.equal(
        keys(alone, f'b/{second.episode_id}'), keys(in_front, f'b/{second.episode_id}')
    )
    # The same id in two files, and two episodes of one file: all keys differ.
    every = dataset(in_front, positions=range(3)).fetch(range(3 * PER_EPISODE)).draw_key
    assert len(every.unique()) == 3 * PER_EPISODE
    assert every.min() >= 0


def test_draw_keys_belong_to_the_instant_not_to_the_stride(recordings):
    def keys(stride_s):
        geometry = Geometry(recordings.modalities, 1.0, stride_s, 0.5)
        found = WindowDataset(recordings, [2], geometry).fetch(range(4))
        return found.draw_key

    assert torch.equal(keys(0.1)[::2], keys(0.2)[:2])


def test_ends_are_float64(recordings):
    windows = dataset(recordings).fetch([3])
    assert windows.end_s.dtype == torch.float64
    assert windows.end_s.item() == 1.5 + 3 * 0.1


def test_items_joined_are_the_batch(recordings):
    data = dataset(recordings)
    assert_same(collate([data[2], data[-1], data[7]]), data.fetch([2, 29, 7]))
    with pytest.raises(IndexError, match='window 30 of 30'):
        data[30]


@pytest.mark.filterwarnings('ignore:.*multi-threaded.*fork:DeprecationWarning')
@pytest.mark.parametrize('cache', ['none', 'all'])
@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_workers_fetch_the_same_windows(recordings, cache, method):
    data = dataset(recordings, cache=cache)
    data.fetch([0])  # the parent has read already, as in a sanity check
    loader = DataLoader(
        data, batch_size=8, num_workers=2, collate_fn=collate, multiprocessing_context=method
    )
    batches = list(loader)
    assert [len(batch.sample_id) for batch in batches] == [8, 8, 8, 6]
    assert_same(collate(batches), data.fetch(range(30)))


def test_pickled_after_reading(recordings):
    data = dataset(recordings)
    expected = data.fetch([4])
    assert_same(pickle.loads(pickle.dumps(data)).fetch([4]), expected)


def test_missing_samples_are_nan_and_reported(tmp_path):
    gauge = Modality(
        'gauge', 'series', 10.0, ('p', 'q'), ('Pa', 'K'), (0.0, 2.0), (10.0, 4.0), (0.1, 0.1)
    )
    signal = np.full((50, 2), 3.0, dtype=np.float32)
    present = np.ones(50, dtype=bool)
    present[20], signal[20] = False, np.nan
    write_recording(
        tmp_path / 'a.h5', [gauge], [Episode('a', {'gauge': signal}, present={'gauge': present})]
    )
    recordings = RecordingSet([tmp_path / 'a.h5'])
    for cache in ('none', 'all'):
        windows = dataset(recordings, positions=[0], cache=cache).fetch(range(30))
        holds_it = [i for i in range(30) if 20 in range(15 + i - 9, 15 + i + 1)]
        assert [i for i in range(30) if not windows.present['gauge'][i]] == holds_it
        block = windows.blocks['gauge'][holds_it[-1]]
        assert block[5].isnan().all()
        assert (block[6:] == 3.0).all()
        complete = dataset(recordings, positions=[0], cache=cache, complete=True)
        kept = [i for i in range(len(complete) + len(holds_it)) if i not in holds_it]
        assert complete.left_out == len(holds_it)
        assert complete.sample_id.tolist() == kept
        assert_same(complete.fetch(range(len(kept))), dataset(recordings, [0]).fetch(kept))


def test_a_short_episode_is_named(tmp_path, tiny_modalities, tiny_episodes):
    short = {name: s[: len(s) // 3] for name, s in tiny_episodes[1].signals.items()}
    episodes = [tiny_episodes[0], Episode('short', short)]
    write_recording(tmp_path / 'a.h5', list(tiny_modalities.values()), episodes)
    recordings = RecordingSet([tmp_path / 'a.h5'])
    with pytest.raises(LipfaultError, match=r"'short' lasts 1\.000 s, too short for window_s=1"):
        dataset(recordings, positions=[0, 1])
    assert dataset(recordings, positions=[1]).sample_id.tolist() == list(range(PER_EPISODE))


def test_a_cache_beyond_its_limit_is_refused_before_reading(recordings, monkeypatch):
    def read(*_):
        pytest.fail('read before the estimate')

    monkeypatch.setattr(RecordingSet, 'read', read)
    needed = 2 * (30 * 16 * 16 * 3 + 150 * 4 * 4 + 300 * 2 * 4) / 1e9
    with pytest.raises(LipfaultError, match=f"cache='all' needs {needed:.3g} GB, more than"):
        dataset(recordings, cache='all', cache_limit_gb=0.999 * needed)


def test_moving_keeps_the_numbers_on_the_cpu(recordings):
    moved = dataset(recordings).fetch([0]).to('meta')
    assert {block.device.type for block in moved.blocks.values()} == {'meta'}
    assert moved.sample_id.device.type == 'cpu'
