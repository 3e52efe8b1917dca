"""Physical sensors of a series: which channels a fault hits together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class ChannelGroups:
    """Channels of each physical sensor of a modality: `G` sensors, `C` channels.

    Args:
        member: (G, C) bool, the channels of each sensor; a derived channel is of none.
        alike: (G, G) bool, sensors of the same units, which can be exchanged.
        unit: (C,) int64, the same number for channels of one unit.
    """

    member: Tensor
    alike: Tensor
    unit: Tensor

    @classmethod
    def of(
        cls, sensors: Sequence[Sequence[int]], units: Sequence[str], device: torch.device
    ) -> Self:
        """Copy the sensors of a modality to a device.

        Args:
            sensors: Channel numbers of each sensor, see `Modality.sensors`.
            units: Unit of each channel.
            device: Device of the signals.

        Returns:
            The sensors.
        """
        member = [[index in sensor for index in range(len(units))] for sensor in sensors]
        kinds = [sorted(units[index] for index in sensor) for sensor in sensors]
        alike = [[one == other for other in kinds] for one in kinds]
        number = [units.index(unit) for unit in units]
        return cls(*(torch.tensor(each, device=device) for each in (member, alike, number)))

    def next_alike(self, affected: Tensor) -> Tensor:
        """Return the next affected channel of the same unit, cyclically.

        Args:
            affected: (n, C) bool, the affected channels.

        Returns:
            (n, C) int64; the next affected channel of any unit where none is of the same.
        """
        count = affected.shape[1]
        index = torch.arange(count, device=affected.device)
        # (C, C): steps from a channel to each other one; C to itself, so that it comes last.
        ahead = (index - index[:, None] - 1) % count + 1
        unlike = (self.unit[:, None] != self.unit) & (ahead < count)
        cost = ahead + count * unlike + 2 * count * (ahead == count)
        # (n, C, C): channels that are not affected are never chosen.
        return (cost + 4 * count * ~affected[:, None]).argmin(2)
