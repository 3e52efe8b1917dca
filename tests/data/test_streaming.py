"""A streamed signal is stored as one that is written at once, checksums included."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipfault.data.episode import Episode
from lipfault.data.recording import Recording
from lipfault.data.stored_array import ChunkChecksums, chunk_checksums
from lipfault.data.streaming import Block, SignalStream
from lipfault.data.writer import write_recording
from lipfault.errors import LipfaultError
from lipfault.modality import Modality


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(1, 7))
def test_checksums_do_not_depend_on_the_parts(sizes, steps):
    samples = np.random.default_rng(0).integers(0, 255, (sum(sizes), 3), np.uint8)
    checksums, start = ChunkChecksums(steps), 0
    for size in sizes:
        checksums.add(samples[start : start + size])
        start += size
    np.testing.assert_array_equal(checksums.done(), chunk_checksums(samples, steps))


def test_a_stream_is_read_back_with_mask_and_stamps(tmp_path, tiny_modalities, tiny_episodes):
    episode = tiny_episodes[0]

    def blocks(signal, name):
        for start in range(0, len(signal), 11):
            part = signal[start : start + 11]
            present = np.ones(len(part), bool)
            present[0] = start != 11
            yield Block(part, present, np.arange(start, start + len(part)) / 3 + 7)

    signals = {
        name: SignalStream(len(signal), blocks(signal, name))
        for name, signal in episode.signals.items()
    }
    path = tmp_path / 'a.h5'
    write_recording(path, list(tiny_modalities.values()), [Episode('e', signals)])
    recording = Recording(path)
    for name, signal in episode.signals.items():
        length = len(signal)
        np.testing.assert_array_equal(recording.read(0, name, 0, length), signal)
        present = recording.present(0, name, 0, length)
        assert np.flatnonzero(~present).tolist() == [11]
        stamps = recording.stamps(0, name, 2, 5)
        np.testing.assert_array_equal(stamps, np.arange(2, 5) / 3 + 7)


@pytest.mark.parametrize('gap', [0, 5000, 9999])
def test_a_gap_in_one_chunk_of_a_long_stream_leaves_the_others_readable(tmp_path, gap):
    sensor = Modality('s', 'series', 100.0, ('a',), ('m',), (-1.0,), (1.0,), (0.01,))
    length, values = 10000, np.zeros((10000, 1), np.float32)
    values[gap] = np.nan
    stamps = np.arange(length) / 100

    def blocks():
        for start in range(0, length, 1000):
            part = values[start : start + 1000]
            stamp_s = stamps[start : start + 1000] if start // 1000 == gap // 1000 else None
            yield Block(part, ~np.isnan(part[:, 0]), stamp_s)

    path = tmp_path / 'a.h5'
    write_recording(path, [sensor], [Episode('e', {'s': SignalStream(length, blocks())})])
    recording = Recording(path)
    present = recording.present(0, 's', 0, length)
    assert np.flatnonzero(~present).tolist() == [gap]
    np.testing.assert_array_equal(recording.read(0, 's', 0, length), values)
    found, first = recording.stamps(0, 's', 0, length), gap // 1000 * 1000
    expected = np.full(length, np.nan)
    expected[first : first + 1000] = stamps[first : first + 1000]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('count', [1, 3])
def test_a_stream_of_another_length_is_refused(tmp_path, tiny_modalities, tiny_episodes, count):
    signals = {
        name: SignalStream(2 * len(signal), [Block(signal)] * count)
        for name, signal in tiny_episodes[0].signals.items()
    }
    with pytest.raises(LipfaultError, match=r'a stream of \d+ samples gave'):
        write_recording(tmp_path / 'a.h5', list(tiny_modalities.values()), [Episode('e', signals)])
    assert list(tmp_path.iterdir()) == []
