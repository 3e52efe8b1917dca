"""A warm start takes what was learned, and keeps the constants of its own data."""

import torch
from torch import nn

from lipfault.models.layers.running_scale import RunningScale
from lipfault.runs.checkpoints import CARD
from lipfault.tasks.warm_start import load_warm


def make(value):
    """Build a task of a corrector, whose tensors all hold one value."""
    task, block, corrector = nn.Module(), nn.Module(), nn.Module()
    corrector.net = nn.Linear(2, 2)
    corrector.scale = RunningScale(2)
    corrector.register_buffer('noise', torch.zeros(2))
    block.series_correctors = nn.ModuleDict({'arm': corrector})
    block.register_buffer('noise_arm', torch.zeros(2))
    task.block = block
    for tensor in task.state_dict().values():
        tensor.fill_(value)
    return task


def test_the_sensor_noise_is_that_of_the_own_data(tmp_path):
    card = {'stage': 'finetune', 'description': {'modalities': {}, 'steps': {}}}
    file = tmp_path / 'last.ckpt'
    torch.save({'state_dict': make(2.0).state_dict(), CARD: card}, file)
    task = make(1.0)
    found = load_warm(task, str(file), 'finetune')
    assert found.parts == {'block.series_correctors.arm'}
    assert 'noise_arm' not in found.message.split('; not loaded')[0]
    values = {name: float(x.flatten()[0]) for name, x in task.state_dict().items()}
    place = 'block.series_correctors.arm'
    assert values.pop('block.noise_arm') == values.pop(f'{place}.noise') == 1.0
    assert f'{place}.scale.square' in values
    assert set(values.values()) == {2.0}
