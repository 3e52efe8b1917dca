"""Terms of the objective of the posterior block."""

import torch
from torch import Tensor

_INVISIBLE = 0.3
"""Mean squared error, in units of the noise variance, below which a correction need not go."""

_FLOOR = -4.6
"""Logarithm of the least fault variance that is estimated, 1 % of the noise variance."""


def log_energy_left(corrected: Tensor, clean: Tensor, observed: Tensor, noise: Tensor) -> Tensor:
    """Return the mean logarithm of the energy left, with a floor far below the sensor noise.

    Every sample counts alike, however large its fault. Of a sample without a fault it is the
    logarithm of the change by the correction.

    Args:
        corrected: (sample, channel, ...), standardized.
        clean: The true signals.
        observed: The observed signals.
        noise: (channel,) standard deviation of the sensor noise, standardized.

    Returns:
        Scalar.
    """
    floor = _INVISIBLE * noise.square().mean()
    after, before = ((x - clean).square().flatten(1).mean(dim=1) for x in (corrected, observed))
    return ((after + floor).log() - (before + floor).log()).mean()


def log_size_error(log_size: Tensor, fault: Tensor, noise: Tensor) -> Tensor:
    """Return the mean squared error of logarithmic fault sizes.

    Args:
        log_size: (sample, channel, chunk), in units of the noise variance.
        fault: (sample, channel, time), observed minus clean series.
        noise: (channel,) standard deviation of the sensor noise.

    Returns:
        Scalar.
    """
    # (sample, channel, time) to (sample, channel, chunk, step)
    square = fault.square().view(*log_size.shape, -1).mean(dim=3)
    truth = (square / noise.square()[:, None] + torch.tensor(_FLOOR).exp()).log()
    error: Tensor = (log_size.clamp_min(_FLOOR) - truth).square().mean()
    return error
