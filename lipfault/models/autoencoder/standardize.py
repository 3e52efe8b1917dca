"""Standardization as part of the model, saved with its weights."""

import torch
from torch import Tensor, nn

from lipfault.modality import Modality


class Standardize(nn.Module):
    """Maps signals of one modality to zero mean and unit variance, and back.

    A series has a mean and a scale for each channel. An image has a mean for each pixel and one
    scale for all, so that the mean squared error of the mean image is 1 in these units.

    Args:
        modality: Description of the modality.
    """

    mean: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, modality: Modality) -> None:
        """Start as the identity."""
        super().__init__()
        positions = (1,) if modality.size is None else modality.size
        self.register_buffer('mean', torch.zeros(len(modality.channels), *positions))
        self.register_buffer('scale', torch.ones(len(modality.channels), *(1 for _ in positions)))
        self.register_buffer('floor', torch.tensor(modality.noise).view_as(self.scale))
        for end in ('low', 'high'):  # given by the modality, hence not saved in a checkpoint
            column = torch.tensor(getattr(modality, end)).view_as(self.scale)
            self.register_buffer(end, column, persistent=False)
        self.kind = modality.kind

    def fit(self, signals: Tensor) -> None:
        """Fit mean and scale on clean signals.

        A channel whose standard deviation is below its sensor noise is scaled by the noise.

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
        """Standardize signals.

        Args:
            signals: Signals in physical units, (batch, channel, ...).

        Returns:
            Standardized signals of the same shape.
        """
        return (signals - self.mean) / self.scale

    def inverse(self, standardized: Tensor) -> Tensor:
        """Return standardized signals to physical units.

        Args:
            standardized: (batch, channel, ...).

        Returns:
            Signals in physical units, of the same shape.
        """
        return standardized * self.scale + self.mean
