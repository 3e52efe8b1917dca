"""A running scale, fitted on clean samples only."""

import torch
from torch import Tensor, distributed, nn


def symlog(values: Tensor) -> Tensor:
    """Compute sign(v) log(1 + |v|): linear near zero, logarithmic for large magnitudes.

    Args:
        values: A tensor of any shape.

    Returns:
        A tensor of the same shape.

    Example:
        >>> symlog(torch.tensor([0.0, -1.0]))
        tensor([ 0.0000, -0.6931])

    Reference:
        Webber 2013, *A bi-symmetric log transformation for wide-range data*,
        https://doi.org/10.1088/0957-0233/24/2/027001.
    """
    return values.sign() * values.abs().log1p()


class RunningScale(nn.Module):
    """Divides each channel by its running root mean square over clean samples.

    Unlike batch normalization (https://arxiv.org/abs/1502.03167) it uses the same running values in
    training and evaluation, ignores faulty samples, and centers only if configured. Under DDP all
    ranks hold the same values.

    Args:
        channels: Size of dimension 1 of the input.
        momentum: Weight of the newest batch; the first batches are averaged evenly.
        center: Whether to subtract the running mean first, and divide by the standard deviation.
    """

    square: Tensor
    mean: Tensor
    updates: Tensor

    def __init__(self, channels: int, momentum: float = 0.02, center: bool = False) -> None:
        """Start at a scale of one and a mean of zero."""
        super().__init__()
        self.momentum, self.center = momentum, center
        # Mean square minus squared mean: in float32 nothing would be left where they nearly agree.
        dtype = torch.float64 if center else torch.float32
        self.register_buffer('square', torch.ones(channels, dtype=dtype))
        if center:
            self.register_buffer('mean', torch.zeros(channels, dtype=dtype))
        self.register_buffer('updates', torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def update(self, values: Tensor, is_clean: Tensor) -> None:
        """Update the running mean square, and the running mean, by the clean samples of a batch.

        Args:
            values: (batch, channel, ...), float32.
            is_clean: (batch,) bool.
        """
        values = values.to(self.square.dtype)
        weight = is_clean.to(values.dtype)
        powers = (values, values.square()) if self.center else (values.square(),)
        means = [p.flatten(2).mean(dim=2) if p.dim() > 2 else p for p in powers]
        total = torch.cat([*(weight @ m for m in means), weight.sum().view(1)])
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(total)
        *first, square = (total[:-1] / total[-1].clamp_min(1)).chunk(len(powers))
        self.updates += 1
        # No step for a batch without clean samples.
        step = torch.clamp(1 / self.updates, min=self.momentum) * (total[-1] > 0)
        self.square.lerp_(square, step)
        for mean in first:
            self.mean.lerp_(mean, step)

    def forward(self, values: Tensor) -> Tensor:
        """Scale values.

        Args:
            values: (batch, channel, ...).

        Returns:
            A tensor of the same shape, of unit root mean square on clean samples; with `center` of
            zero mean and unit variance.
        """
        shape = (-1, *(1 for _ in values.shape[2:]))
        if not self.center:
            return values * self.square.clamp_min(1e-12).rsqrt().view(shape)
        variance = (self.square - self.mean.square()).clamp_min(1e-4)
        mean, scale = (x.to(values.dtype).view(shape) for x in (self.mean, variance.rsqrt()))
        return (values - mean) * scale
