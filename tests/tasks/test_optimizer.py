import torch
from torch import nn

from lipfault.tasks.base import BaseTask, OptimizerConfig


class Task(BaseTask):
    """One convolution, stored channels last as those of the networks are."""

    stage = 'test'

    def __init__(self):
        super().__init__({'modalities': {}, 'steps': {}}, OptimizerConfig(lr=0.1, weight_decay=0.0))
        self.layer = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)


class Trainer:
    estimated_stepping_batches = 10


def moved(gradient, layout):
    """Where one step takes the kernel; Adam's first step has the size of the rate."""
    torch.manual_seed(0)
    task = Task()
    task._trainer = Trainer()
    optimizer = task.configure_optimizers()['optimizer']
    before = task.layer.weight.detach().clone()
    task.layer.weight.grad = gradient.clone(memory_format=layout)
    optimizer.step()
    return task.layer.weight.detach() - before


def test_a_step_goes_against_the_gradient_however_either_lies_in_memory():
    # Torch's fused optimizer pairs numbers by their place in memory: right only if both lie alike.
    gradient = torch.randn(4, 3, 3, 3)
    for layout in (torch.channels_last, torch.contiguous_format):
        assert torch.equal(moved(gradient, layout).sign(), -gradient.sign())
