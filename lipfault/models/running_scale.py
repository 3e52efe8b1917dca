"""A running scale taken from clean samples only."""

import torch
from torch import Tensor, distributed, nn


def symlog(values: Tensor) -> Tensor:
    """sign(v) log(1 + |v|): linear near zero, logarithmic far out; any shape.

    Example:
        >>> symlog(torch.tensor([0.0, -1.0]))
        tensor([ 0.0000, -0.6931])
    """
    return values.sign() * values.abs().log1p()


class RunningScale(nn.Module):
    """Divides each channel by its running root mean square over clean samples.

    Unlike batch normalization it uses the same running values in training and evaluation, ignores
    faulty samples, and does not center. Under DDP all ranks hold the same values.

    Args:
        channels: Size of dimension 1 of the input.
        momentum: Weight of the newest batch; the first batches are averaged evenly.
    """

    square: Tensor
    updates: Tensor

    def __init__(self, channels: int, momentum: float = 0.02) -> None:
        """Start at one."""
        super().__init__()
        self.momentum = momentum
        self.register_buffer('square', torch.ones(channels))
        self.register_buffer('updates', torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def update(self, values: Tensor, clean: Tensor) -> None:
        """Take the mean square of the clean samples into account.

        Args:
            values: (batch, channel, ...), float32.
            clean: (batch,) bool.
        """
        weight = clean.to(values.dtype)
        square = values.square().flatten(2).mean(dim=2) if values.dim() > 2 else values.square()
        total = torch.cat([weight @ square, weight.sum().view(1)])
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(total)
        mean = total[:-1] / total[-1].clamp_min(1)
        self.updates += 1
        step = torch.clamp(1 / self.updates, min=self.momentum) * (total[-1] > 0)
        self.square.lerp_(mean, step)

    def forward(self, values: Tensor) -> Tensor:
        """Values (batch, channel, ...) with a root mean square of about 1 on clean samples."""
        scale = self.square.clamp_min(1e-12).rsqrt()
        return values * scale.view(-1, *(1 for _ in values.shape[2:]))
