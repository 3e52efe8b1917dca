"""What befalls several modalities together."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.faults.draws import Draws
from lipfault.faults.plan import Columns
from lipfault.modality import Modality

CAUSES: dict[str, dict[str, str]] = {
    'power': {'series': 'dropout_zero', 'image': 'blackout'},
    'interference': {'series': 'noise_additive', 'image': 'gaussian_noise'},
    'vibration': {'series': 'oscillation', 'image': 'motion_blur'},
    'congestion': {'series': 'desynchronization', 'image': 'desynchronization'},
}
"""Common causes, and the kind of fault in which each shows on a series and on an image."""


@dataclass(frozen=True)
class Cell:
    """What patterns must know of the modalities and the settings; `M` modalities.

    Args:
        modalities: The modalities in the batch's order.
        names: All kinds that indices stand for.
        weights: (M,) float64, weight of each modality, zero where none fits.
        most: Most modalities that may be faulty at once.
        cabinets: Modalities that share a cabinet.
        forbidden: Kinds held out, which a common cause must not show.
    """

    modalities: Sequence[Modality]
    names: tuple[str, ...]
    weights: Tensor
    most: int
    cabinets: Sequence[Sequence[str]]
    forbidden: frozenset[str]


class Pattern(ABC):
    """A way in which several modalities are hit together."""

    name: ClassVar[str]
    formula: ClassVar[str]
    reading: ClassVar[str]

    @abstractmethod
    def possible(self, cell: Cell) -> bool:
        """Whether it can happen in the cell."""

    @abstractmethod
    def draw(self, cell: Cell, draws: Draws, single: Columns, rank: Tensor) -> Columns:
        """Draw it for every sample.

        Args:
            cell: The cell.
            draws: Draws of the samples.
            single: A kind, a severity and a time for every modality of every sample.
            rank: (batch, M) int64, a random order of the modalities.
        """


class SeveralSensors(Pattern):
    """Independent faults at once."""

    name = 'several'
    formula = 'two or more modalities, each with a fault of its own'
    reading = 'a bad day'

    def possible(self, cell: Cell) -> bool:
        """If two may be faulty at once."""
        return cell.most >= 2

    def draw(self, cell: Cell, draws: Draws, single: Columns, rank: Tensor) -> Columns:
        """Keep the faults of two or more modalities."""
        count = draws.integers('several', 2, cell.most)
        return single.only((rank < count[:, None]) & (cell.weights > 0))


class CommonCause(Pattern):
    """One cause for all sensors of a cabinet: same onset, same severity."""

    name = 'common_cause'
    formula = (
        'one cause, onset and severity for all modalities of a cabinet (all but one of the cell '
        'unless all_faulty): '
        + '; '.join(
            f'{cause}: {shown["series"]}, {shown["image"]}' for cause, shown in CAUSES.items()
        )
    )
    reading = 'sagging supply, interference, vibration, congested network'

    def possible(self, cell: Cell) -> bool:
        """If a cabinet holds two that may be faulty at once, and a cause is left."""
        return cell.most >= 2 and bool(self._members(cell)) and bool(self._causes(cell))

    def draw(self, cell: Cell, draws: Draws, single: Columns, rank: Tensor) -> Columns:
        """Let one cause show in each modality of one cabinet."""
        members = torch.tensor(self._members(cell))
        member = members[draws.integers('cabinet', 0, len(members) - 1)]
        kinds = torch.tensor(self._causes(cell))
        kind = kinds[draws.integers('cause', 0, len(kinds) - 1)]
        order = (rank + len(cell.names) * ~member).argsort(dim=1, stable=True).argsort(1)
        shared = {
            name: getattr(single, name)[:, :1].expand_as(rank)
            for name in ('severity', 'begin', 'end')
        }
        return replace(single, kind=kind, **shared).only(member & (order < cell.most))

    def _members(self, cell: Cell) -> list[list[bool]]:
        """Which modalities are in each cabinet that holds at least two."""
        rows = [[each.name in cabinet for each in cell.modalities] for cabinet in cell.cabinets]
        return [row for row in rows if sum(row) >= 2]

    def _causes(self, cell: Cell) -> list[list[int]]:
        """For each cause the kind in which it shows on each modality."""
        shown = [[cause[each.kind] for each in cell.modalities] for cause in CAUSES.values()]
        return [
            [cell.names.index(kind) for kind in kinds]
            for kinds in shown
            if not cell.forbidden & set(kinds)
        ]


class SwappedSensors(Pattern):
    """Two sensors of one kind, rate and shape are exchanged."""

    name = 'swapped'
    formula = 'the fault sensor_swap on two modalities of one kind, rate, size and channel count'
    reading = 'two cameras plugged in crosswise'

    def possible(self, cell: Cell) -> bool:
        """If there are two such sensors."""
        return bool(self._pairs(cell))

    def draw(self, cell: Cell, draws: Draws, single: Columns, rank: Tensor) -> Columns:
        """Exchange the two sensors of one pair."""
        pairs = torch.tensor(self._pairs(cell))
        pair = pairs[draws.integers('pair', 0, len(pairs) - 1)]
        partner = torch.full_like(rank, -1).scatter(1, pair, pair.flip(1))
        shared = {
            name: getattr(single, name)[:, :1].expand_as(rank)
            for name in ('severity', 'begin', 'end')
        }
        kind = torch.full_like(rank, cell.names.index('sensor_swap'))
        return replace(single, kind=kind, partner=partner, **shared).only(partner >= 0)

    def _pairs(self, cell: Cell) -> list[tuple[int, int]]:
        if 'sensor_swap' in cell.forbidden:
            return []
        shape = [
            (each.kind, each.rate_hz, each.size, len(each.channels)) for each in cell.modalities
        ]
        return [(a, b) for a, b in combinations(range(len(shape)), 2) if shape[a] == shape[b]]


PATTERNS: dict[str, Pattern] = {
    each.name: each for each in (CommonCause(), SeveralSensors(), SwappedSensors())
}
"""All patterns, sorted by name."""


def weighted_patterns(
    asked: dict[str, float] | None, held_out: Sequence[str], want_held_out: bool, cell: Cell
) -> dict[str, float]:
    """The patterns to draw with their weights.

    Args:
        asked: Weights asked for; all patterns alike if `None`.
        held_out: Names held out of training.
        want_held_out: Give those held out instead of the others.
        cell: The cell; patterns impossible in it are left out.

    Raises:
        LipfaultError: If a pattern is unknown.
    """
    for name in asked or {}:
        if name not in PATTERNS:
            known = ', '.join(PATTERNS)
            raise LipfaultError(f'faults: unknown pattern {name!r}, known are {known}')
    weights = dict.fromkeys(PATTERNS, 1.0) if asked is None else asked
    return {
        name: weight
        for name, weight in weights.items()
        if (name in held_out) == want_held_out and weight > 0 and PATTERNS[name].possible(cell)
    }
