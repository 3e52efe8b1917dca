"""Clean windows in one piece."""

import pytest
import torch

from lipfault.data.datamodule import RecordingDataModule
from lipfault.tasks.clean_windows import clean_signals, warn_of_training_episodes, with_places


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


def test_places_are_those_of_the_windows(tiny_recording):
    data = RecordingDataModule(str(tiny_recording), history_s=0.5, splits={'a': 0.5, 'test': 0.5})
    dataset = data.dataset('test')
    rows = list(range(0, len(dataset), 3))
    windows = dataset.fetch(rows)
    found = with_places({'sample_id': windows.sample_id}, dataset)
    assert torch.equal(found['episode'], windows.episode)
    assert torch.equal(found['end_s'], windows.end_s)
    assert len(found['episode'].unique()) > 1


def test_episodes_of_stage_one_are_told_where_they_should_not_be(tiny_recording, recwarn):
    def data(seed):
        splits = {'pretrain': 0.5, 'calibration': 0.2, 'test': 0.3}
        path = str(tiny_recording)
        options = {'history_s': 0.5, 'splits': splits, 'split_seed': seed}
        return RecordingDataModule(path, train_split='calibration', **options)

    trained = data(0).split_ids['pretrain']
    for stage in ('fit', 'validate', 'test', 'predict'):
        warn_of_training_episodes(trained, data(0), stage)
    assert not recwarn.list
    other = next(d for d in map(data, range(9)) if set(d.split_ids['test']) & set(trained))
    with pytest.warns(UserWarning, match=r"episodes of split 'test' \('swing-0.*data.split_seed"):
        warn_of_training_episodes(trained, other, 'test')
