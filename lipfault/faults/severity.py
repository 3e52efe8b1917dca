"""Severity scale: the strength at which a fault makes a damage in the interval of its severity."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.faults.apply import apply_faults
from lipfault.faults.collection import NAMES
from lipfault.faults.config import SEVERITIES, FaultConfig
from lipfault.faults.fault import AnyFault, Sensor
from lipfault.faults.planner import Planner
from lipfault.faults.sites import Source, gather
from lipfault.modality import Modality

Array = npt.NDArray[np.float64]

# Strengths at which the damage is measured first: below 1 a level falls by four decades.
_STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 3.0, 4.0, 5.0)

# Largest ratio of the damages of neighbouring strengths, and most strengths added to meet it.
_RATIO, _ADDED = 3.0, 8

# Most samples on which the damage of a kind is measured. Its median is then known to about 10 %
# where samples differ by a factor of 3; an image costs more, and differs less.
_SERIES, _IMAGES = 256, 32

SCALE_WINDOWS = max(_SERIES, _IMAGES)
"""Windows on which a scale is fitted; more are not used."""

# Damage that stands for none, since the table is interpolated geometrically.
_NONE = 1e-6


@dataclass(frozen=True)
class DamageTable:
    """Median damage of one kind on one modality as a function of the strength.

    Args:
        strengths: Increasing strengths from 0 to 5.
        damage: Median damage at these, made monotone by its running maximum.
    """

    strengths: tuple[float, ...]
    damage: tuple[float, ...]

    @classmethod
    def measured(cls, damage_at: Callable[[float], float], edges: Sequence[float]) -> Self:
        """Measure the damage at a few strengths, and between them where it changes fast.

        Args:
            damage_at: Median damage at a strength.
            edges: Edges of the severities; outside of them the damage may change fast.

        Returns:
            The table.
        """
        found = {strength: damage_at(strength) for strength in _STRENGTHS}
        for _ in range(_ADDED):
            strengths = sorted(found)
            damage = np.maximum.accumulate([found[strength] for strength in strengths])
            # Beyond the edges no severity asks for more.
            inside = np.clip(damage, edges[0] / 2, edges[-1])
            ratios = inside[1:] / inside[:-1]
            worst = int(ratios.argmax())
            if ratios[worst] <= _RATIO:
                break
            middle = (strengths[worst] + strengths[worst + 1]) / 2
            found[middle] = damage_at(middle)
        strengths = sorted(found)
        damage = np.maximum.accumulate([found[strength] for strength in strengths])
        return cls(tuple(strengths), tuple(damage.tolist()))

    @property
    def least(self) -> float:
        """Damage of the weakest fault."""
        return self.damage[0]

    @property
    def largest(self) -> float:
        """Damage of the strongest fault."""
        return self.damage[-1]

    def strength(self, damage: Array) -> Array:
        """Invert the table by interpolation, geometric in the damage.

        Args:
            damage: Any shape; values beyond the table get its ends.

        Returns:
            Strengths in [0, 5] of the same shape, the smallest one where several have the damage.
        """
        known, first = np.unique(np.maximum(self.damage, _NONE), return_index=True)
        strengths: Array = np.interp(np.log(damage), np.log(known), np.array(self.strengths)[first])
        return strengths


class SeverityScale:
    """Strength of a fault by kind, modality and severity, fitted on clean windows.

    Severity s stands for a damage between two edges of `FaultConfig.damage`. The scale applies a
    kind at several strengths to clean windows, with onsets and channels drawn as in training, and
    inverts the median damage. A kind is measured at its first use, with draws of seed 0, so that
    the scale depends on the windows and the settings alone.

    A kind keeps its own levels (strength = severity) if it loses values, of which the damage
    is the whole range, if it exchanges two sensors, if it is `gross`, or if `FaultConfig.levels`
    names it.

    Args:
        modalities: The modalities by name.
        signals: Clean windows by modality, as for `FaultEngine`.
        history: Samples directly before the windows; modalities may be absent.
        config: Settings of the engine.

    Raises:
        LipfaultError: If the settings switch the scale off, a modality lacks windows, or a noise is
            not finite.

    Reference:
        Hendrycks & Dietterich 2019, https://arxiv.org/abs/1903.12261 (five severities, tuned by
        eye; here by damage)
    """

    def __init__(
        self,
        modalities: Mapping[str, Modality],
        signals: Mapping[str, Tensor],
        history: Mapping[str, Tensor] | None,
        config: FaultConfig,
    ) -> None:
        """Store the windows; nothing is measured."""
        if config.damage is None:
            raise LipfaultError(
                'faults: a severity scale needs damage, six increasing edges; got none'
            )
        for name, modality in modalities.items():
            if name not in signals or not len(signals[name]):
                raise LipfaultError(f'severity scale: there is no clean window of {name!r}')
            _require_noise(modality)
        self._modalities, self._signals = dict(modalities), dict(signals)
        self._history, self._edges = dict(history or {}), tuple(config.damage)
        self._config = replace(
            config,
            seed=0,
            kinds=None,
            held_out=[],
            clean_share=0.0,
            modality_weights=None,
            max_faulty=1,
            pattern_share=0.0,
            patterns=None,
            cabinets=None,
        )
        self._tables: dict[tuple[str, str], DamageTable] = {}

    def scales(self, modality: str, fault: AnyFault) -> bool:
        """Return whether the severity of a kind on a modality is set by its damage.

        Args:
            modality: Name of the modality.
            fault: The kind.

        Returns:
            False for a kind that keeps its own levels.
        """
        own = fault.missing or fault.gross or fault.name in (self._config.levels or ())
        return not own and fault.fits(self._modalities[modality])

    def table(self, modality: str, fault: AnyFault) -> DamageTable:
        """Return the damage of a kind on a modality, measured at the first call.

        Args:
            modality: Name of the modality.
            fault: A kind that `scales`.

        Returns:
            The table.
        """
        key = (modality, fault.name)
        if key not in self._tables:
            self._tables[key] = self._measured(modality, fault)
        return self._tables[key]

    def strength(self, modality: str, fault: AnyFault, severity: Tensor, chance: Tensor) -> Tensor:
        """Return the strength of each sample, whose damage is log-uniform in the severity's step.

        Args:
            modality: Name of the modality.
            fault: The kind of all samples.
            severity: (n,) int64 on the CPU, 1 to 5.
            chance: (n,) float32 on the CPU, uniform in [0, 1).

        Returns:
            (n,) float32 in [0, 5]. Where a kind reaches only a part of the step, the damage is in
            this part; where it reaches nothing of it, the strength is that of the nearest damage.
        """
        if not self.scales(modality, fault):
            return severity.float()
        table, edges = self.table(modality, fault), np.array(self._edges)
        step = severity.numpy()
        high = np.minimum(edges[step], max(table.largest, _NONE))
        low = np.minimum(edges[step - 1], high)
        damage = low * (high / low) ** chance.double().numpy()
        return torch.from_numpy(table.strength(damage)).float()

    def reaches(self, modality: str, fault: AnyFault) -> dict[int, bool]:
        """Return which severities a kind reaches.

        Args:
            modality: Name of the modality.
            fault: A kind that `scales`.

        Returns:
            For each severity whether some strength makes a damage in its step.
        """
        table = self.table(modality, fault)
        steps = zip(self._edges, self._edges[1:], strict=False)
        return {
            severity: table.largest > low and table.least < high
            for severity, (low, high) in zip(SEVERITIES, steps, strict=True)
        }

    @torch.no_grad()
    def _measured(self, name: str, fault: AnyFault) -> DamageTable:
        """Apply a kind to the clean windows at each strength."""
        modality = self._modalities[name]
        most = _IMAGES if modality.kind == 'image' else _SERIES
        # Spread over the windows given.
        every = max(1, len(self._signals[name]) // most)
        signal = self._signals[name][::every][:most]
        past = self._history.get(name)
        past = None if past is None else past[::every][:most]
        names = NAMES if fault.name in NAMES else (*NAMES, fault.name)
        none = frozenset[str]()
        planner = Planner({name: modality}, self._config, {fault: 1.0}, names, False, none)
        source = Source(name, 0, Sensor.of(modality, signal.device), past)
        plan = planner(torch.arange(len(signal)), 0)
        share = self._config.largest_share
        found = gather(source, {name: signal}, plan, (fault,) * len(names), 0, share)
        if found is None:
            raise LipfaultError(f'severity scale: {fault.name!r} was not drawn for {name!r}')
        site, groups = found.site, found.groups

        def damage_at(strength: float) -> float:
            level = torch.full_like(site.strength, strength)
            return float(apply_faults(replace(site, strength=level), groups).damage.median())

        return DamageTable.measured(damage_at, self._edges)


def _require_noise(modality: Modality) -> None:
    """Reject a noise that is no unit of damage."""
    for channel, noise in zip(modality.channels, modality.noise, strict=True):
        if not 0 < noise < math.inf:
            raise LipfaultError(
                f'severity scale: modality {modality.name!r}, channel {channel!r}: damage is '
                f'measured in units of the noise, which must be above 0 and finite, got {noise}'
            )
