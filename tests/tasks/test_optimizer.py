"""The schedule exists for every number of steps."""

import math
from types import SimpleNamespace

import pytest
from torch import nn

from lipfault.tasks.base import BaseTask, OptimizerConfig


class Task(BaseTask):
    stage = 'pretrain'

    def __init__(self, config):
        super().__init__({'modalities': {}, 'steps': {}}, config)
        self.layer = nn.Linear(2, 2)


@pytest.mark.parametrize('warmup', [0.1, 0.25, 0.5])
@pytest.mark.parametrize('steps', [1, 2, 3, 4, 10, 40])
def test_rate_is_finite_and_reaches_its_highest(steps, warmup):
    task = Task(OptimizerConfig(lr=0.01, warmup=warmup))
    task._trainer = SimpleNamespace(estimated_stepping_batches=steps)
    settings = task.configure_optimizers()
    optimizer, schedule = settings['optimizer'], settings['lr_scheduler']['scheduler']
    rates = [optimizer.param_groups[0]['lr']]
    for _ in range(max(1, steps - 1)):
        optimizer.step()
        schedule.step()
        rates.append(optimizer.param_groups[0]['lr'])
    assert all(math.isfinite(rate) and 0 < rate <= 0.01 * (1 + 1e-9) for rate in rates)
    if steps * warmup > 1:
        assert max(rates) > 0.005
