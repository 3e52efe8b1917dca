"""A streamed signal is stored as one that is written at once."""

import numpy as np
import pytest

from lipfault.data.episode import Episode
from lipfault.data.recording import Recording
from lipfault.data.streaming import Block, SignalStream
from lipfault.data.writer import write_recording
from lipfault.errors import LipfaultError


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


@pytest.mark.parametrize('count', [1, 3])
def test_a_stream_of_another_length_is_refused(tmp_path, tiny_modalities, tiny_episodes, count):
    signals = {
        name: SignalStream(2 * len(signal), [Block(signal)] * count)
        for name, signal in tiny_episodes[0].signals.items()
    }
    with pytest.raises(LipfaultError, match=r'a stream of \d+ samples gave'):
        write_recording(tmp_path / 'a.h5', list(tiny_modalities.values()), [Episode('e', signals)])
    assert list(tmp_path.iterdir()) == []
