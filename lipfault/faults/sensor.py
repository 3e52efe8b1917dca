"""What a fault needs to know of a sensor, as tensors."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.modality import Kind, Modality


@dataclass(frozen=True)
class Sensor:
    """One modality's channels on one device.

    Args:
        kind: `series` or `image`.
        rate_hz: Samples or frames per second.
        low: (channel,) float32, lower end of the physical range in the channel's unit.
        high: (channel,) float32, upper end.
        noise: (channel,) float32, standard deviation of the sensor noise.
    """

    kind: Kind
    rate_hz: float
    low: Tensor
    high: Tensor
    noise: Tensor

    @classmethod
    def of(cls, modality: Modality, device: torch.device) -> 'Sensor':
        """Put a modality's ranges and noise on a device."""
        low, high, noise = (
            torch.tensor(values, dtype=torch.float32, device=device)
            for values in (modality.low, modality.high, modality.noise)
        )
        return cls(modality.kind, modality.rate_hz, low, high, noise)

    @property
    def span(self) -> Tensor:
        """(channel,) width of the physical range."""
        return self.high - self.low

    @property
    def rest(self) -> Tensor:
        """(channel,) the value nearest to zero inside the physical range."""
        return torch.zeros_like(self.low).clamp(self.low, self.high)
