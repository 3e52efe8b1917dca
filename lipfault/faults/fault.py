"""The base of every fault, and the places where faults act."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Self, TypeVar

import torch
from torch import Tensor

from lipfault.faults.draws import Draws

if TYPE_CHECKING:
    from lipfault.modality import Kind, Modality

Family = Literal['series', 'image', 'cross']
FAMILIES: tuple[Family, ...] = ('series', 'image', 'cross')


@lru_cache(maxsize=512)
def _table(levels: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor((levels[0], *levels), dtype=torch.float32, device=device)


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

    kind: 'Kind'
    rate_hz: float
    low: Tensor
    high: Tensor
    noise: Tensor

    @classmethod
    def of(cls, modality: 'Modality', device: torch.device) -> 'Sensor':
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


@dataclass(frozen=True)
class Site:
    """Samples of one modality on which one kind of fault acts; `n` samples, `C` channels.

    Args:
        sensor: Ranges and noise of the modality.
        severity: (n,) int64, 1 to 5.
        draws: Draws that stay the same for as long as the fault lasts.
        signal: Clean signal, float32: series (n, C, T) in physical units, image (n, C, H, W) in
            [0, 1].
        other: (n, ...) float32, signals of the sensor that a swap exchanges these with; `None`
            unless there is a swap.
    """

    sensor: Sensor
    severity: Tensor
    draws: Draws
    signal: Tensor
    other: Tensor | None

    _same_for_all: ClassVar[tuple[str, ...]] = ()

    def level(self, levels: Sequence[float]) -> Tensor:
        """(n, 1, ...) float32, the entry of a five-entry table at each severity (0 as 1)."""
        table = _table(tuple(levels), self.signal.device)
        chosen = table.index_select(0, self.severity)
        return chosen.reshape(-1, *[1] * (self.signal.ndim - 1))

    def rows(self, start: int, stop: int) -> Self:
        """The samples `start` to `stop`, without a copy."""
        cut = object.__new__(type(self))
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, Tensor):
                value = value[start:stop]
            elif hasattr(value, 'rows'):
                value = value.rows(start, stop)
            cut.__dict__[name] = value
        for name in self._same_for_all:
            cut.__dict__[name] = getattr(self, name)
        return cut

    def channelwise(self, values: Tensor) -> Tensor:
        """Shape a (C,) tensor so that it broadcasts over the signal."""
        return values.reshape(-1, *[1] * (self.signal.ndim - 2))


SiteT = TypeVar('SiteT', bound=Site)


class Fault(ABC, Generic[SiteT]):
    """One way in which a sensor lies.

    A subclass names itself, says what it does in a formula, and implements `apply` for one family.
    It draws from `site.draws` only, so that a sample's fault depends on nothing but its key, and
    computes each sample by itself (no sum over the batch), so that it does not depend on the batch.

    Attributes:
        name: Name in configurations, labels and logs.
        family: `series`, `image` or `cross` (either kind of signal).
        group: Kinds of a group can be weighted or held out together.
        formula: What is read instead of the clean signal x.
        reading: What happened to the sensor.
        levels: The parameter at severities 1 to 5.
        level_text: What the parameter is, with its unit.
        source: Where the fault or its severities come from; empty where they are ours.
        min_channels: Fewest channels that a modality needs.
        all_channels: Whether a series fault always concerns all channels.
        missing: Whether values are lost (NaN) rather than wrong.
    """

    name: ClassVar[str]
    family: ClassVar[Family]
    group: ClassVar[str]
    formula: ClassVar[str]
    reading: ClassVar[str]
    levels: ClassVar[tuple[float, ...]]
    level_text: ClassVar[str]
    source: ClassVar[str] = ''
    min_channels: ClassVar[int] = 1
    all_channels: ClassVar[bool] = False
    missing: ClassVar[bool] = False

    def fits(self, modality: 'Modality') -> bool:
        """Whether the fault can befall a modality."""
        kinds = (modality.kind, 'cross')
        return self.family in kinds and len(modality.channels) >= self.min_channels

    @abstractmethod
    def apply(self, site: SiteT) -> tuple[Tensor, Tensor]:
        """Read the signal through the faulty sensor.

        The engine clamps the result to the physical range and takes it inside the mask only.

        Args:
            site: The samples concerned.

        Returns:
            The faulty signal, of the clean signal's shape, and the bool mask of the places touched:
            series (n, C, T), image (n, 1, H, W).
        """


AnyFault = Fault[Any]
Groups = list[tuple[AnyFault, int, int]]
"""For each kind of fault among samples sorted by kind: its first sample, and the one after its
last."""
