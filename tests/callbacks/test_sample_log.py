"""Lines of faults and predictions name the modality, in the order of the batch."""

import json
from types import SimpleNamespace

import torch

from lipfault.batch import Batch
from lipfault.callbacks.sample_log import PREDICTIONS, SampleLog


def test_predictions_name_the_modality_in_the_order_of_the_batch(tmp_path, monkeypatch):
    monkeypatch.setattr('lipfault.callbacks.sample_log.gather_lists', list)
    # Neither sorted nor in the order of the indices.
    signals = {name: torch.zeros(4, 1, 2) for name in ('wrench', 'camera', 'arm')}
    batch = Batch(signals, signals, {}, torch.tensor([9, 2, 5, 7]))
    outputs = {
        'modality': torch.tensor([2, 0, 1, 0]),
        'score': torch.tensor([0.25, 0.5, 0.75, 1.0]),
        'maps': torch.zeros(4, 3),  # not one number for each window
    }
    trainer = SimpleNamespace(is_global_zero=True, datamodule=None)
    log = SampleLog(tmp_path)
    log.on_predict_batch_end(trainer, None, outputs, batch)
    log.on_predict_end(trainer, None)
    lines = [json.loads(line) for line in (tmp_path / PREDICTIONS).read_text().splitlines()]
    assert lines == [
        {'sample_id': 2, 'modality': 'wrench', 'score': 0.5},
        {'sample_id': 5, 'modality': 'camera', 'score': 0.75},
        {'sample_id': 7, 'modality': 'wrench', 'score': 1.0},
        {'sample_id': 9, 'modality': 'arm', 'score': 0.25},
    ]
    assert [path.name for path in tmp_path.iterdir()] == [PREDICTIONS]
