"""Clean windows in one piece."""

import pytest
import torch

from lipfault.data.datamodule import RecordingDataModule
from lipfault.tasks.baseline import clean_signals


@pytest.mark.parametrize('limit', [1, 7, 70, 1000])
def test_windows_are_spread_evenly_over_a_split(tiny_recording, limit):
    data = RecordingDataModule(str(tiny_recording), history_s=0.5, splits={'pretrain': 1.0})
    dataset = data.dataset('pretrain')
    found = clean_signals(data, 'pretrain', limit)
    count = min(limit, len(dataset))
    places = [int(place * (len(dataset) - 1) / max(1, count - 1)) for place in range(count)]
    wanted = data.clean_batch(dataset.fetch(places)).clean
    for name, signals in found.items():
        assert signals.shape == wanted[name].shape
        assert torch.equal(signals[0], wanted[name][0])
        assert torch.equal(signals[-1], wanted[name][-1])
    if limit >= len(dataset):
        assert all(torch.equal(found[n], wanted[n]) for n in found)
