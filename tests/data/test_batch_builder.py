"""The batch builder gives the batches of the DataModule without one."""

import pytest
import torch

from lipfault.data.batch_builder import BatchBuilder
from lipfault.data.datamodule import RecordingDataModule
from lipfault.errors import LipfaultError
from lipfault.faults.config import FaultConfig
from lipfault.faults.engine import FaultEngine

CONFIG = FaultConfig(seed=1, held_out=['drift'])


@pytest.fixture
def data(tiny_recording):
    splits = {'pretrain': 0.5, 'test': 0.5}
    return RecordingDataModule(str(tiny_recording), history_s=0.5, splits=splits, faults=CONFIG)


@pytest.mark.parametrize('held_out', [False, True])
def test_batches_are_those_of_the_datamodule(data, held_out):
    engine = FaultEngine(data.modalities, CONFIG, scale=data.severity_scale)
    builder = BatchBuilder(data.geometry, engine)
    windows = data.dataset('pretrain').fetch(range(20))
    own = builder.faulty_batch(windows, epoch=3, held_out=held_out)
    other = data.faulty_batch(windows, epoch=3, held_out=held_out)
    assert torch.equal(own.labels.kind, other.labels.kind)
    for name in own.observed:
        assert torch.equal(own.observed[name], other.observed[name])
        assert torch.equal(own.clean[name], builder.clean_batch(windows).clean[name])


def test_without_an_injector_only_clean_batches_are_built(data):
    builder = BatchBuilder(data.geometry)
    windows = data.dataset('pretrain').fetch([0])
    assert builder.clean_batch(windows).labels is None
    with pytest.raises(LipfaultError, match='no faults are configured'):
        builder.faulty_batch(windows)
