"""Modes and targets of modulated layers: fixed, scheduled or learned."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from lipfault.errors import LipfaultError

Mode = Literal['cap', 'pin', 'floor', 'isometry', 'penalty']

SCALING: tuple[Mode, ...] = ('cap', 'pin', 'floor')
"""Modes that multiply the weight by a scalar factor."""


@dataclass(frozen=True)
class ScheduledTarget:
    """Target that moves geometrically from start to end over the training.

    Args:
        start: Target until `begin`.
        end: Target from `finish` on.
        begin: Fraction of the training at which the target starts to move, in [0, 1].
        finish: Fraction of the training at which it reaches `end`, above `begin`.

    Raises:
        LipfaultError: If a target is not positive or the fractions are out of order.
    """

    start: float
    end: float
    begin: float = 0.0
    finish: float = 1.0

    def __post_init__(self) -> None:
        """Validate the fields.

        Raises:
            LipfaultError: If a target is not positive or the fractions are out of order.
        """
        _require_positive('start', self.start)
        _require_positive('end', self.end)
        if not 0 <= self.begin < self.finish <= 1:
            raise LipfaultError(
                'target: needs 0 <= begin < finish <= 1, '
                f'got begin {self.begin} and finish {self.finish}'
            )

    def at(self, progress: float) -> float:
        """Return the target at a given progress of the training.

        Args:
            progress: Fraction of the training that is done, in [0, 1].

        Returns:
            Target κ, an upper or lower limit of the norm.

        Example:
            >>> ScheduledTarget(start=8.0, end=2.0).at(0.5)
            4.0
        """
        fraction = min(1.0, max(0.0, (progress - self.begin) / (self.finish - self.begin)))
        # Norms multiply along a network, so equal steps are equal ratios.
        return float(self.start * (self.end / self.start) ** fraction)


@dataclass(frozen=True)
class LearnedTarget:
    """Target that is trained between two limits, by a sigmoid of a free parameter.

    Args:
        low: Lower limit.
        high: Upper limit.
        start: Initial value; the geometric mean of the limits if not given.

    Raises:
        LipfaultError: If the range is empty or does not contain the start.
    """

    low: float
    high: float
    start: float | None = None

    def __post_init__(self) -> None:
        """Validate the fields.

        Raises:
            LipfaultError: If the range is empty or does not contain the start.
        """
        _require_positive('low', self.low)
        if not self.low < self.high < math.inf:
            raise LipfaultError(f'target: low must be below high, got [{self.low}, {self.high}]')
        if self.start is not None and not self.low < self.start < self.high:
            raise LipfaultError(
                f'target: start must lie inside ({self.low}, {self.high}), got {self.start}'
            )

    @property
    def first(self) -> float:
        """Initial value of the target."""
        return math.sqrt(self.low * self.high) if self.start is None else self.start


Target = float | ScheduledTarget | LearnedTarget
T = TypeVar('T')


@dataclass(frozen=True)
class ModulationRule:
    """Modulation of the layers that a pattern selects (docs/theory.md, section 8).

    Args:
        mode: `cap` (norm at most κ), `pin` (norm κ), `floor` (norm at least κ), `isometry` (every
            direction amplified by κ) or `penalty` (a loss term, weights unchanged).
        target: κ: a positive number, `ScheduledTarget` or `LearnedTarget`.
        weight: Weight of the loss term; `penalty` only.
        side: `above` penalizes norms above κ, `below` norms below κ; `penalty` only.
        size: Spatial input size at which a convolution's norm is computed; without it the size of
            the first forward pass.

    Raises:
        LipfaultError: If a mode or side is unknown, or a number is not positive.

    Reference:
        `pin`: Miyato et al. 2018, https://arxiv.org/abs/1802.05957;
        `cap`: Gouk et al. 2021, https://arxiv.org/abs/1804.04368;
        orthonormal weights, as for `isometry`: Anil et al. 2019,
        https://arxiv.org/abs/1811.05381;
        `penalty`: Yoshida & Miyato 2017, https://arxiv.org/abs/1705.10941

    Example:
        >>> ModulationRule.parse({'mode': 'cap', 'target': {'start': 8, 'end': 2}}).target
        ScheduledTarget(start=8, end=2, begin=0.0, finish=1.0)
    """

    mode: Mode
    target: Target
    weight: float = 1.0
    side: Literal['above', 'below'] = 'above'
    size: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Validate the fields.

        Raises:
            LipfaultError: If a mode or side is unknown, or a number is not positive.
        """
        if self.mode not in get_args(Mode):
            raise LipfaultError(f'mode: must be one of {get_args(Mode)}, got {self.mode!r}')
        if self.side not in ('above', 'below'):
            raise LipfaultError(f'side: must be "above" or "below", got {self.side!r}')
        if not isinstance(self.target, ScheduledTarget | LearnedTarget):
            _require_positive('target', self.target)
        _require_positive('weight', self.weight)

    @staticmethod
    def parse(fields: 'ModulationRule | Mapping[str, Any]') -> 'ModulationRule':
        """Build a rule from plain types, as configurations and checkpoints hold them.

        Args:
            fields: Fields by name, or a rule, which is returned unchanged.

        Returns:
            Rule.

        Raises:
            LipfaultError: If a key is unknown or missing, or a value is invalid.
        """
        if isinstance(fields, ModulationRule):
            return fields
        given = dict(fields)
        if isinstance(given.get('target'), Mapping):
            given['target'] = _parse_target(given['target'])
        if given.get('size') is not None:
            given['size'] = tuple(int(n) for n in given['size'])
        return _build(ModulationRule, given)


def _parse_target(fields: Mapping[str, Any]) -> Target:
    """Build a learned target from limits, a scheduled one from anything else."""
    if 'low' in fields or 'high' in fields:
        return _build(LearnedTarget, dict(fields))
    return _build(ScheduledTarget, dict(fields))


def _build(cls: type[T], fields: dict[str, Any]) -> T:
    try:
        return cls(**fields)
    except TypeError as error:
        known = ', '.join(cls.__dataclass_fields__)  # type: ignore[attr-defined]
        raise LipfaultError(
            f'{cls.__name__} {fields}: keys must be among {known} ({error})'
        ) from error


def _require_positive(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise LipfaultError(f'{name}: must be a number, got {value!r}')
    if not 0 < value < math.inf:
        raise LipfaultError(f'{name}: must be positive and finite, got {value}')
