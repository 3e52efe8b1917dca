"""Detection delays on a continuous recording, with a perfect detector."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from experiments.delay import experiment
from experiments.runner.data import faults_of
from lipfault.data.datamodule import RecordingDataModule
from lipfault.faults.event import FaultEvent
from lipfault.faults.schedule import FaultSchedule
from lipfault.metrics.delay import detection_delays


@pytest.fixture
def data():
    return RecordingDataModule('data/ur5.h5', 0.64, 0.1, 0.5)


def test_episodes_are_whole_and_in_order(data):
    dataset = data.dataset('test')
    rows = [row for episode in experiment.episodes(dataset) for row in episode]
    assert rows == list(range(len(dataset)))
    for episode in experiment.episodes(dataset):
        assert len(np.unique(dataset.episode[episode.start : episode.stop])) == 1


def test_a_perfect_detector_is_late_by_less_than_a_stride(data, monkeypatch):
    # Hands the batch to the detector below.
    monkeypatch.setattr(experiment, 'observed', lambda _, batch, __: batch)

    def detect(batch):
        return SimpleNamespace(score=batch.labels.faulty.float())

    block = SimpleNamespace(detect=detect)
    task = SimpleNamespace(block=block, autoencoder=None, threshold=torch.tensor(0.5))
    rows = next(experiment.episodes(data.dataset('test')))
    event = FaultEvent('kinematics', 'bias', 5, start_s=5.03, stop_s=7.0)
    schedule = FaultSchedule(data.modalities, [event])
    alarm, end_s = experiment.alarms(task, data, rows, schedule)
    delays = detection_delays(alarm, end_s, schedule.spans(), data.geometry.window_s)
    assert 0 <= float(delays[0]) < 0.1 + 1e-6
    assert not alarm[end_s < 5.0].any()
    assert not alarm[end_s > 7.7].any()


def test_faults_are_those_of_the_configuration():
    faults = faults_of('full', 'ur5', 3)
    assert faults.seed == 3
    assert faults.severities == dict.fromkeys(range(1, 6), 1.0)
    assert 'occlusion' in faults.held_out
