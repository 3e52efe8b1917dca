"""Base class of every fault, and the samples on which a fault acts."""

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Self, TypeVar

import torch
from torch import Tensor

from lipfault.faults.draws import Draws
from lipfault.faults.groups import ChannelGroups
from lipfault.faults.kinematics import Part, ToolChain

if TYPE_CHECKING:
    from lipfault.modality import Kind, Modality

Family = Literal['series', 'image', 'cross']
FAMILIES: tuple[Family, ...] = ('series', 'image', 'cross')

_SECTIONS = {'formula': 'Formula', 'cause': 'Cause', 'level_text': 'Levels', 'source': 'Reference'}
"""Attributes of a fault, and the sections of its docstring from which they are taken."""


def docstring_section(docstring: str | None, title: str) -> str:
    r"""Return one section of a Google style docstring on a single line.

    Args:
        docstring: The docstring; `None` under `python -OO`.
        title: Title of the section, without its colon.

    Returns:
        The text with single spaces; empty if there is no such section.

    Example:
        >>> docstring_section('Add a constant.\n\nFormula:\n    x + A', 'Formula')
        'x + A'
    """
    lines = inspect.cleandoc(docstring or '').splitlines()
    if f'{title}:' not in lines:
        return ''
    body = lines[lines.index(f'{title}:') + 1 :]
    # The next title is the first line that is not indented.
    section = takewhile(lambda line: not line or line.startswith(' '), body)
    return ' '.join(' '.join(section).split())


HUGE = 1e6
"""Level that stands for an infinite one, in the unit of the level (a time held: 10^6 s)."""

FAINT = 1e-4
"""Level at strength 0 as a share of the first anchor, or its inverse where levels fall."""

_STEPS = 64
"""Table entries per unit of strength: geometric interpolation is tabulated, since `exp` rounds
differently on different devices."""

_AS_SEVERITY = torch.empty(0)
"""Default of `Site.strength`: the severity."""


def level_at(levels: Sequence[float], strength: float, log: bool = True) -> float:
    """Interpolate the anchors of a level at one strength.

    Strengths 1 to 5 stand for the anchors. Between them the level is geometric if all anchors are
    positive and `log` is true, linear otherwise; an infinite anchor counts as `HUGE`. Below
    strength 1 the level goes on towards no fault: by the factor `FAINT` at strength 0 (its inverse
    where the levels fall), linearly by the distance of the first two anchors otherwise.

    Args:
        levels: Anchors at strengths 1 to 5, monotone.
        strength: 0 to 5.
        log: Whether to interpolate geometrically.

    Returns:
        The level.

    Example:
        >>> [round(level_at((1, 4, 16, 64, 256), strength), 4) for strength in (0, 1, 1.5, 5)]
        [0.0001, 1.0, 2.0, 256.0]
    """
    anchors = [min(float(level), HUGE) for level in levels]
    first, second = anchors[:2]
    geometric = log and min(anchors) > 0
    if geometric:
        before = first * (FAINT if second >= first else 1 / FAINT)
    else:
        before = first - (second - first)
    points = [before, *anchors]
    below = min(int(strength), len(points) - 2)
    share, low, high = strength - below, points[below], points[below + 1]
    if geometric:
        # Exact at the anchors.
        return low if not share else high if share == 1 else low * (high / low) ** share
    return low + (high - low) * share


@lru_cache(maxsize=512)
def _table(levels: tuple[float, ...], log: bool, device: torch.device) -> Tensor:
    """Return the levels at multiples of 1/64 of strength, float32; kept: a copy to a GPU waits."""
    count = len(levels) * _STEPS
    values = [level_at(levels, index / _STEPS, log) for index in range(count + 1)]
    return torch.tensor(values, dtype=torch.float32, device=device)


@dataclass(frozen=True)
class Sensor:
    """Physical range and noise of one modality's channels, on one device.

    Args:
        kind: `series` or `image`.
        rate_hz: Samples or frames per second.
        low: (channel,) float32, lower end of the physical range in the channel's unit.
        high: (channel,) float32, upper end.
        noise: (channel,) float32, standard deviation of the sensor noise.
        quantum: (channel,), step of the readings; float32 of an image, float64 of a series, so that
            a step such as 0.01 gives the float32 next to each multiple.
        first: (channel,) of the dtype of `quantum`, lowest multiple of the quantum in the range.
        last: (channel,) likewise, the highest one.
        eight_bit: Whether values are stored in 8 bits, so that multiples are rounded to k/255.
        groups: Channels of each physical sensor.
        chain: Kinematics of the derived channels; `None` if there are none.
    """

    kind: 'Kind'
    rate_hz: float
    low: Tensor
    high: Tensor
    noise: Tensor
    quantum: Tensor
    first: Tensor
    last: Tensor
    eight_bit: bool
    groups: ChannelGroups
    chain: ToolChain | None

    @classmethod
    def of(cls, modality: 'Modality', device: torch.device) -> 'Sensor':
        """Copy a modality's ranges, noise and sensors to a device.

        Args:
            modality: Description of the modality.
            device: Device of the signals.

        Returns:
            The sensor.
        """
        low, high, noise = (
            torch.tensor(values, dtype=torch.float32, device=device)
            for values in (modality.low, modality.high, modality.noise)
        )
        is_image = modality.kind == 'image'
        dtype = torch.float32 if is_image else torch.float64
        steps = modality.steps
        # Ends that are multiples of the quantum up to rounding count as such.
        first = [math.ceil(x / step - 1e-6) for x, step in zip(modality.low, steps, strict=True)]
        last = [math.floor(x / step + 1e-6) for x, step in zip(modality.high, steps, strict=True)]
        quantum, lowest, highest = (
            torch.tensor(x, dtype=dtype, device=device) for x in (steps, first, last)
        )
        groups = ChannelGroups.of(modality.sensors, modality.units, device)
        chain = _tool_chain(modality, device)
        grid = (quantum, lowest, highest, modality.eight_bit)
        return cls(modality.kind, modality.rate_hz, low, high, noise, *grid, groups, chain)

    @property
    def span(self) -> Tensor:
        """Return (channel,) the width of the physical range."""
        return self.high - self.low

    @property
    def rest(self) -> Tensor:
        """Return (channel,) the value of the physical range that is nearest to zero."""
        return torch.zeros_like(self.low).clamp(self.low, self.high)


def _tool_chain(modality: 'Modality', device: torch.device) -> ToolChain | None:
    """Return the kinematics of a modality's derived channels, `None` if it describes none."""
    chain = modality.chain
    if chain is None:
        return None
    number = {channel: index for index, channel in enumerate(modality.channels)}
    inputs, outputs = (
        torch.tensor([number[channel] for channel in channels], device=device)
        for channels in (chain.inputs, chain.outputs)
    )
    parts: list[Part] = ['position', 'rotation', 'velocity', 'rate']
    recorded = frozenset(part for part in parts if getattr(chain, part))
    return ToolChain(chain.joints, chain.base, chain.tool, recorded, inputs, outputs)


@dataclass(frozen=True)
class Site:
    """Samples of one modality on which one kind of fault acts; `n` samples, `C` channels.

    Args:
        sensor: Ranges and noise of the modality.
        severity: (n,) int64, 1 to 5.
        draws: Random draws that are constant for as long as the fault lasts.
        signal: Clean signal, float32: series (n, C, T) in physical units, image (n, C, H, W) in
            [0, 1].
        other: (n, ...) float32, signals of the sensor with which a swap exchanges these; `None`
            unless there is a swap.
        strength: (n,) float32 in [0, 5], place between the anchors of a level: 1 to 5 are the
            anchors, 0 is next to no fault. Equal to the severity if not given.
        side: Sign of the faults that have one: 1 or -1, 0 to draw it.
        on_grid: (n, C) bool, whether the clean values of each channel lie on the sensor's grid;
            `None` to take it from the signal, which may be too short to show it.
    """

    sensor: Sensor
    severity: Tensor
    draws: Draws
    signal: Tensor
    other: Tensor | None
    strength: Tensor = field(default=_AS_SEVERITY, kw_only=True)
    side: int = field(default=0, kw_only=True)
    on_grid: Tensor | None = field(default=None, kw_only=True)

    _same_for_all: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """Take the severity as the strength if none is given."""
        if self.strength is _AS_SEVERITY:
            object.__setattr__(self, 'strength', self.severity.float())

    @property
    def mask(self) -> Tensor:
        """Return the largest mask of a fault: series (n, C, T), image (n, 1, H, W) bool."""
        raise NotImplementedError(f'{type(self).__name__} must implement mask')

    @property
    def dither(self) -> Tensor:
        """Return float32 in [-1/2, 1/2) for each entry of the signal, see `grid.delivered`."""
        raise NotImplementedError(f'{type(self).__name__} must implement dither')

    def dither_of(self, sample: Tensor, channel: Tensor) -> Tensor:
        """Return the rows of `dither` of some channels of a series.

        Args:
            sample: (k,) int64, sample of each row.
            channel: (k,) int64, channel of each row.

        Returns:
            (k, T) float32 in [-1/2, 1/2).
        """
        return self.dither[sample, channel]

    def level(self, levels: Sequence[float], log: bool = True) -> Tensor:
        """Look up the level at each sample's strength, see `level_at`.

        Args:
            levels: Anchors at strengths 1 to 5, monotone.
            log: Whether to interpolate geometrically; a kind passes its `log_levels`.

        Returns:
            (n, 1, ...) float32 with the dimensions of the signal.
        """
        table = _table(tuple(levels), log, self.signal.device)
        position = self.strength * _STEPS
        below = position.long().clamp(0, len(table) - 2)
        low, high = table.index_select(0, below), table.index_select(0, below + 1)
        chosen = low + (high - low) * (position - below)
        return chosen.reshape(-1, *[1] * (self.signal.ndim - 1))

    def rows(self, start: int, stop: int) -> Self:
        """Return consecutive samples without a copy.

        Args:
            start: First sample.
            stop: The sample after the last one.

        Returns:
            A site of the same class.
        """
        # Not dataclasses.replace: it would drop what is cached for all samples alike.
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
        """Reshape one value for each channel so that it broadcasts over the signal.

        Args:
            values: (C,) tensor.

        Returns:
            (C, 1) for a series, (C, 1, 1) for an image.
        """
        return values.reshape(-1, *[1] * (self.signal.ndim - 2))


SiteT = TypeVar('SiteT', bound=Site)


class Fault(Generic[SiteT]):
    """One way in which the reading of a sensor differs from the true signal.

    A subclass states its name, group and levels, documents its formula and cause, and implements
    `apply` for one family, or the signal and the mask apart, `_faulty` and `_mask`. It draws from
    `site.draws` only, so that the fault of a sample is a function of the sample's key, and computes
    each sample by itself (no sum over the batch), so that it does not depend on the batch.
    `lipfault.faults.testing.check_fault` tests both.

    The sections `Formula`, `Cause`, `Levels` and `Reference` of the docstring become the attributes
    `formula`, `cause`, `level_text` and `source`, unless the class sets them itself. They document
    the fault and compute nothing: under `python -OO` they are empty.

    Attributes:
        name: Name in configurations, labels and logs.
        family: `series`, `image` or `cross` (either kind of signal).
        group: Group of kinds that can be weighted or held out together.
        formula: Observed signal x' as a function of the clean signal x.
        cause: Physical causes in the sensor or its wiring.
        levels: Five anchors of the fault's parameter, monotone, from weak to strong: its values at
            strengths 1 to 5.
        log_levels: Whether the parameter is interpolated geometrically between the anchors.
        level_text: Meaning of the parameter, with its unit.
        source: Publication of the fault or of its levels; empty where there is none.
        min_channels: Fewest channels that a modality needs.
        all_channels: Whether a series fault always affects all channels.
        missing: Whether values are lost (NaN) rather than wrong.
        gross: Whether the kind keeps its own levels, because no level makes a small damage.
        needs_history: Whether the formula reads samples from before the window. Without them the
            oldest sample of the window is used, which weakens the fault or leaves nothing of it.
        causal: Whether no reading depends on later values of the clean signal. A fault that is not
            causal cannot be scheduled.
    """

    name: ClassVar[str]
    family: ClassVar[Family]
    group: ClassVar[str]
    formula: ClassVar[str] = ''
    cause: ClassVar[str] = ''
    levels: ClassVar[tuple[float, ...]]
    log_levels: ClassVar[bool] = True
    level_text: ClassVar[str] = ''
    source: ClassVar[str] = ''
    min_channels: ClassVar[int] = 1
    all_channels: ClassVar[bool] = False
    missing: ClassVar[bool] = False
    gross: ClassVar[bool] = False
    needs_history: ClassVar[bool] = False
    causal: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        """Take what the class does not set from the sections of its docstring."""
        super().__init_subclass__()
        for attribute, title in _SECTIONS.items():
            text = docstring_section(cls.__doc__, title)
            if text and attribute not in vars(cls):
                setattr(cls, attribute, text)

    def reach(self, severity: int, rate_hz: float) -> int:
        """Return how far before the onset the formula reads.

        A schedule refuses a fault whose earlier samples it has not been given, and hands exactly
        what `reach` asks for to a kind with `needs_history`.

        Args:
            severity: 1 to 5; a bound for all strengths up to it.
            rate_hz: Samples or frames per second.

        Returns:
            Number of samples before the first faulty one; 0 unless a subclass reads earlier ones.
        """
        return 0

    def fits(self, modality: 'Modality') -> bool:
        """Return whether the fault can be injected into a modality.

        Args:
            modality: Description of the modality.

        Returns:
            True if the family matches and there are enough channels.
        """
        kinds = (modality.kind, 'cross')
        return self.family in kinds and len(modality.channels) >= self.min_channels

    def apply(self, site: SiteT) -> tuple[Tensor, Tensor]:
        """Compute the reading of the faulty sensor.

        The engine clamps the result to the physical range and uses it inside the mask only.

        Args:
            site: The affected samples.

        Returns:
            The faulty signal, of the clean signal's shape, and the bool mask of the affected
            entries: series (n, C, T), image (n, 1, H, W).
        """
        return self._faulty(site), self._mask(site)

    def _faulty(self, site: SiteT) -> Tensor:
        """Return the faulty signal, of the clean signal's shape."""
        raise NotImplementedError(f'{type(self).__name__} must implement apply or _faulty')

    def _mask(self, site: SiteT) -> Tensor:
        """Return the affected entries: all of the site, unless a subclass restricts them."""
        return site.mask


AnyFault = Fault[Any]


def with_levels(fault: AnyFault, levels: Sequence[float]) -> AnyFault:
    """Return the same kind with other levels.

    Args:
        fault: The kind.
        levels: Five levels.

    Returns:
        An instance of a subclass.
    """
    kind = type(fault)
    own: type[AnyFault] = type(kind.__name__, (kind,), {'levels': tuple(map(float, levels))})
    return own()


Groups = list[tuple[AnyFault, int, int]]
"""For each kind among samples sorted by kind: the fault, its first sample, and the one after its
last."""
