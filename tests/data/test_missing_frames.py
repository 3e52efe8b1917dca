"""A frame before the window that is missing is NaN in a batch, never arbitrary pixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lipfault.data.batch_builder import BatchBuilder
from lipfault.data.episode import Episode
from lipfault.data.geometry import Geometry
from lipfault.data.recording_set import RecordingSet
from lipfault.data.window_batch import collate
from lipfault.data.windows import WindowDataset
from lipfault.data.writer import write_recording
from lipfault.faults.config import FaultConfig
from lipfault.faults.engine import FaultEngine

GAP = 20
"""The missing frame; windows end at the frames 10, 11, ... 29."""


@pytest.fixture
def made(tmp_path, tiny_modalities, tiny_episodes):
    """A builder, and a function that makes the windows of one episode."""
    episode = tiny_episodes[0]
    present = np.ones(len(episode.signals['camera']), bool)
    present[GAP] = False
    path = tmp_path / 'a.h5'
    lacking = replace(episode, present={'camera': present})
    write_recording(path, list(tiny_modalities.values()), [lacking, Episode('z', episode.signals)])
    recordings = RecordingSet([path])
    geometry = Geometry(recordings.modalities, 0.64, 0.1, 0.3)
    engine = FaultEngine(recordings.modalities, FaultConfig(kinds={'image': 1.0}, clean_share=0.0))

    def windows(positions, **options):
        return WindowDataset(recordings, positions, geometry, **options)

    return BatchBuilder(geometry, engine), windows


@pytest.mark.parametrize('complete', [False, True])
def test_the_frame_before_is_nan_where_it_is_missing(made, complete):
    builder, dataset = made
    data = dataset([0, 1], complete=complete)
    # The last frame of each window by its time at 10 Hz.
    frame = torch.from_numpy(np.floor(data.end_s * 10 + 1e-6).astype(int))
    after_gap = (frame == GAP + 1) & (torch.from_numpy(data.episode) == 0)
    assert after_gap.sum() == 1
    windows = collate([data.fetch(range(5)), data.fetch(range(5, len(data)))])
    for batch in (builder.clean_batch(windows), builder.faulty_batch(windows)):
        for before in (batch.previous, batch.clean_previous):
            assert before['camera'].isnan().flatten(1).all(dim=1).tolist() == after_gap.tolist()
            assert before['camera'][~after_gap].isfinite().all()
        assert batch.stillness['camera'][after_gap].tolist() == [0.0]
        assert batch.clean_stillness['camera'][after_gap].tolist() == [0.0]


def test_a_recording_without_gaps_keeps_no_mask(made):
    _, dataset = made
    assert dataset([1]).fetch([0]).present_before == {}
