"""Standardization as part of the model, so that it travels with the weights."""

import torch
from torch import Tensor, nn

from lipfault.modality import Modality


class Standardize(nn.Module):
    """Maps signals of one modality to zero mean and unit variance, and back.

    A series has a mean and a scale for each channel. An image has a mean for each pixel and one
    scale for all, so that the mean squared error of the mean image is 1 in these units.

    Args:
        modality: Decides the shapes.
    """

    mean: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, modality: Modality) -> None:
        """Start as the identity."""
        super().__init__()
        places = (1,) if modality.size is None else modality.size
        self.register_buffer('mean', torch.zeros(len(modality.channels), *places))
        self.register_buffer('scale', torch.ones(len(modality.channels), *(1 for _ in places)))
        self.register_buffer('floor', torch.tensor(modality.noise).view_as(self.scale))
        for end in ('low', 'high'):  # known from the modality, hence not in a checkpoint
            column = torch.tensor(getattr(modality, end)).view_as(self.scale)
            self.register_buffer(end, column, persistent=False)
        self.kind = modality.kind

    def fit(self, signals: Tensor) -> None:
        """Take mean and scale from clean signals.

        A channel that hardly moves is scaled by its sensor noise, not by its own tiny deviation.

        Args:
            signals: (sample, channel, time) or (sample, channel, height, width), float32.
        """
        series = self.kind == 'series'
        mean = signals.mean(dim=(0, 2) if series else 0)
        self.mean.copy_(mean.view_as(self.mean))
        square = (signals - self.mean).square()
        deviation = (square.mean(dim=(0, 2)) if series else square.mean()).sqrt()
        deviation = deviation.view(-1, *self.scale.shape[1:])
        self.scale.copy_(deviation.expand_as(self.scale).clamp_min(self.get_buffer('floor')))

    def forward(self, signals: Tensor) -> Tensor:
        """Signals in physical units to standardized ones, same shape."""
        return (signals - self.mean) / self.scale

    def inverse(self, standardized: Tensor) -> Tensor:
        """Standardized signals back to physical units, same shape."""
        return standardized * self.scale + self.mean
