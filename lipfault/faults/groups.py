"""Physical sensors of a series: which channels a fault hits together."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from lipfault.faults.draws import Draws, as_integers

if TYPE_CHECKING:
    from lipfault.modality import Modality


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
    def of(cls, modality: 'Modality', device: torch.device) -> Self:
        """Copy the sensors of a modality to a device.

        Args:
            modality: Description of the modality.
            device: Device of the signals.

        Returns:
            The sensors.
        """
        count, sensors = len(modality.channels), modality.sensors
        member = [[index in sensor for index in range(count)] for sensor in sensors]
        units = [sorted(modality.units[index] for index in sensor) for sensor in sensors]
        alike = [[one == other for other in units] for one in units]
        number = [modality.units.index(unit) for unit in modality.units]
        return cls(*(torch.tensor(each, device=device) for each in (member, alike, number)))

    def draw(self, draws: Draws, largest_share: float, fewest: Tensor | int) -> Tensor:
        """Draw the affected channels: those of one sensor to the largest share of the sensors.

        Where two or more are needed, as for exchanged sensors, the sensors are of the same units,
        if there are such.

        Args:
            draws: Draws of the samples.
            largest_share: Largest share of the sensors.
            fewest: (n,) int64 or one number for all samples, fewest sensors; with the number of
                channels or more all channels are affected, derived ones included.

        Returns:
            (n, C) bool.
        """
        sensors, channels = self.member.shape
        most = max(1, math.ceil(sensors * largest_share))
        chance = draws.uniforms({'channel count': (), 'channels': (sensors,)})
        fewest = torch.as_tensor(fewest, device=self.member.device).expand(len(draws.keys))
        number = as_integers(chance['channel count'], 1, most).maximum(fewest)
        order, several = chance['channels'], ((fewest > 1) & (fewest < channels))[:, None]
        # Sensors without a like one come last, then those unlike the first: 1 is above all draws.
        order = order + several * (self.alike.sum(1) < 2)
        like = self.alike[order.argmin(1)]  # (n, G)
        number = torch.where(several[:, 0], number.minimum(like.sum(1)).maximum(fewest), number)
        order = order + 2 * (several & ~like)
        # argsort of argsort: the rank of each sensor's random number
        chosen = order.argsort(dim=1, stable=True).argsort(1) < number[:, None]
        affected = (chosen[:, :, None] & self.member).any(1)
        return affected | (fewest >= channels)[:, None]

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
