"""Settings of the fault engine: which faults, how often and how severe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from lipfault.domains import (
    Count,
    Finite,
    NonNegative,
    Positive,
    PositiveShare,
    Seed,
    Share,
    validated,
)
from lipfault.errors import LipfaultError

# Five, as in ImageNet-C (https://arxiv.org/abs/1903.12261).
SEVERITIES = (1, 2, 3, 4, 5)

DAMAGE = (1.0, 2.0, 5.0, 15.0, 50.0, 200.0)
"""Edges of the damage of severities 1 to 5, in units of the sensor noise: from what the noise hides
to a gross fault, by factors of 2 to 4."""

Sign = Literal['both', 'positive', 'negative']

SIDES: dict[str, int] = {'both': 0, 'positive': 1, 'negative': -1}
"""Values of `Site.side`."""


@validated
@dataclass
class FaultConfig:
    """Settings of the fault engine, of plain types as they stand in a YAML file.

    A name is a kind (`bias`), a group (`drift`: its weight is shared among its kinds), a family
    (`series`), or the class path of a user's own fault (`package.module.ClassName`).

    Args:
        seed: Seed of all draws.
        kinds: Weight of each kind to draw; equal weights if not given. A kind is drawn among those
            that fit the modality.
        held_out: Names kept out of training; `FaultEngine.only_held_out` draws these alone.
        severities: Weight of each severity from 1 to 5.
        clean_share: Share of the samples left clean, in [0, 1].
        train_clean_share: The share in training; `clean_share` if not given.
        modality_weights: Weight of each modality; equal weights if not given.
        max_faulty: Most modalities faulty at once.
        all_faulty: Whether all modalities may be faulty at once, where there are several.
        largest_share: Largest share of a series' sensors affected, in (0, 1]; at least one is. See
            `Modality.groups`.
        whole_share: Share of the series faults that last for the whole window, in [0, 1]; the
            others begin in it, and half of those end in it.
        missing: Whether values may be missing (NaN in the observed signals).
        pattern_share: Share of the faulty samples in which several modalities are hit together.
        patterns: Weight of each pattern in `lipfault.faults.patterns`; equal weights of all
            possible ones if not given. Names of patterns may be held out too.
        cabinets: Modalities that share a cabinet, by its name, for the common cause; all in one if
            not given.
        damage: Edges of the damage of severities 1 to 5, six increasing numbers in units of the
            sensor noise, for a `SeverityScale`; `None` to take the kinds' levels as they are.
        levels: For a kind five levels of one's own, monotone from weak to strong; severity s takes
            entry s as it is, without a scale.
        sign: Sign of bias, drifts, gain (positive: above 1) and spikes.

    Raises:
        LipfaultError: If a value is out of its range; names the setting.
    """

    seed: Seed = 0
    kinds: dict[str, NonNegative] | None = None
    held_out: list[str] = field(default_factory=list)
    severities: dict[int, NonNegative] = field(
        default_factory=lambda: dict.fromkeys(SEVERITIES, 1.0)
    )
    clean_share: Share = 0.5
    train_clean_share: Share | None = None
    modality_weights: dict[str, NonNegative] | None = None
    max_faulty: Count = 1
    all_faulty: bool = False
    largest_share: PositiveShare = 1 / 3
    whole_share: Share = 0.5
    missing: bool = False
    pattern_share: Share = 0.0
    patterns: dict[str, NonNegative] | None = None
    cabinets: dict[str, list[str]] | None = None
    damage: list[Positive] | None = field(default_factory=lambda: list(DAMAGE))
    levels: dict[str, list[Finite]] | None = None
    sign: Sign = 'both'

    def __post_init__(self) -> None:
        """Reject settings out of their range."""
        odd = [severity for severity in self.severities if severity not in SEVERITIES]
        if odd:
            raise LipfaultError(f'faults: severities must be 1 to 5, got {odd[0]!r}')
        check_weights('severities', self.severities)
        for name in ('kinds', 'modality_weights', 'patterns'):
            if getattr(self, name) is not None:
                check_weights(name, getattr(self, name))
        if self.sign not in SIDES:
            raise LipfaultError(
                f'faults: sign must be both, positive or negative, got {self.sign!r}'
            )
        self._check_damage()
        for kind, levels in (self.levels or {}).items():
            check_levels(f'faults: levels: {kind!r}', levels)

    def _check_damage(self) -> None:
        """Reject edges of the damage that are not increasing."""
        edges = self.damage
        if edges is None:
            return
        rising = all(low < high for low, high in pairwise([0.0, *edges, float('inf')]))
        if len(edges) != len(SEVERITIES) + 1 or not rising:
            raise LipfaultError(
                f'faults: damage must be {len(SEVERITIES) + 1} increasing numbers above 0, the '
                f'edges of severities 1 to 5, got {edges}'
            )


def check_levels(where: str, levels: Sequence[float]) -> None:
    """Reject levels that are not five, or neither rise nor fall.

    Args:
        where: Setting that holds the levels, for the message.
        levels: Levels of severities 1 to 5.

    Raises:
        LipfaultError: Names the setting and the levels.
    """
    if len(levels) != len(SEVERITIES):
        raise LipfaultError(
            f'{where} must have {len(SEVERITIES)} levels, one for each severity, got {list(levels)}'
        )
    rising = all(low < high for low, high in pairwise(levels))
    if not rising and not all(low > high for low, high in pairwise(levels)):
        raise LipfaultError(f'{where} must rise or fall from weak to strong, got {list(levels)}')


def check_weights(key: str, weights: Mapping[str, float] | Mapping[int, float]) -> None:
    """Reject weights of which one is negative or not finite, or all are zero.

    Args:
        key: Setting that holds the weights, for the message.
        weights: Weight of each name or severity.

    Raises:
        LipfaultError: Names the setting and the weight.
    """
    for name, weight in weights.items():
        if not 0 <= weight < float('inf'):  # NaN fails both comparisons
            raise LipfaultError(
                f'faults: {key}: the weight of {name!r} must be 0 or more, got {weight}'
            )
    if not sum(weights.values()) > 0:
        raise LipfaultError(f'faults: {key}: the weights must not sum to zero, got {dict(weights)}')
