"""Patterns: faults that affect several modalities together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

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
"""Common causes, and the kind of fault that each makes on a series and on an image."""


@dataclass(frozen=True)
class PatternContext:
    """Modalities and settings on which patterns depend; `M` modalities.

    Args:
        modalities: The modalities in the batch's order.
        names: All kinds that indices stand for.
        weights: (M,) float64, weight of each modality, zero where no kind fits.
        max_faulty: Most modalities that may be faulty at once.
        cabinets: Modalities that share a cabinet.
        forbidden: Kinds held out, which a common cause must not use.
    """

    modalities: Sequence[Modality]
    names: tuple[str, ...]
    weights: Tensor
    max_faulty: int
    cabinets: Sequence[Sequence[str]]
    forbidden: frozenset[str]


@dataclass(frozen=True)
class Pattern:
    """A way in which several modalities become faulty together.

    Args:
        name: Name in configurations and logs.
        formula: What is drawn.
        cause: Physical causes.
        possible: Whether the modalities and the settings allow the pattern.
        draw: Draws the pattern for every sample from the context, the draws of the samples, a
            single fault for every modality of every sample, and a random order of the modalities,
            (batch, M) int64.
    """

    name: str
    formula: str
    cause: str
    possible: Callable[[PatternContext], bool]
    draw: Callable[[PatternContext, Draws, Columns, Tensor], Columns]


def _several(context: PatternContext, draws: Draws, single: Columns, rank: Tensor) -> Columns:
    """Keep the single faults of two or more modalities."""
    count = draws.integers('several', 2, context.max_faulty)
    return single.only((rank < count[:, None]) & (context.weights > 0))


def _several_possible(context: PatternContext) -> bool:
    """Return whether two modalities may be faulty at once."""
    return context.max_faulty >= 2


def _common_cause(context: PatternContext, draws: Draws, single: Columns, rank: Tensor) -> Columns:
    """Use the kinds of one cause for the modalities of one cabinet."""
    members = torch.tensor(_cabinet_members(context))
    member = members[draws.integers('cabinet', 0, len(members) - 1)]
    kinds = torch.tensor(_cause_kinds(context))
    kind = kinds[draws.integers('cause', 0, len(kinds) - 1)]
    # The members first, in their random order: the limit on faulty modalities cuts the rest.
    order = (rank + len(context.names) * ~member).argsort(dim=1, stable=True).argsort(1)
    shared = _first_time_and_severity(single)
    return replace(single, kind=kind, **shared).only(member & (order < context.max_faulty))


def _common_cause_possible(context: PatternContext) -> bool:
    """Return whether a cabinet holds two modalities that may be faulty, and a cause is left."""
    members, causes = _cabinet_members(context), _cause_kinds(context)
    return context.max_faulty >= 2 and bool(members) and bool(causes)


def _swapped(context: PatternContext, draws: Draws, single: Columns, rank: Tensor) -> Columns:
    """Exchange the two sensors of one pair."""
    pairs = torch.tensor(_swappable_pairs(context))
    pair = pairs[draws.integers('pair', 0, len(pairs) - 1)]
    # (batch, M): each of the two points at the other one, all others at none
    partner = torch.full_like(rank, -1).scatter(1, pair, pair.flip(1))
    kind = torch.full_like(rank, context.names.index('sensor_swap'))
    shared = _first_time_and_severity(single)
    return replace(single, kind=kind, partner=partner, **shared).only(partner >= 0)


def _swapped_possible(context: PatternContext) -> bool:
    """Return whether two sensors can be exchanged."""
    return bool(_swappable_pairs(context))


def _first_time_and_severity(single: Columns) -> dict[str, Tensor]:
    """Return severity, begin and end of the first modality for all modalities, (batch, M)."""
    names = ('severity', 'begin', 'end')
    return {name: getattr(single, name)[:, :1].expand_as(single.kind) for name in names}


def _cabinet_members(context: PatternContext) -> list[list[bool]]:
    """Return which modalities are in each cabinet that holds at least two."""
    rows = [[each.name in cabinet for each in context.modalities] for cabinet in context.cabinets]
    return [row for row in rows if sum(row) >= 2]


def _cause_kinds(context: PatternContext) -> list[list[int]]:
    """Return for each cause the kind on each modality, causes with a forbidden kind left out."""
    by_cause = [[cause[each.kind] for each in context.modalities] for cause in CAUSES.values()]
    return [
        [context.names.index(kind) for kind in kinds]
        for kinds in by_cause
        if not context.forbidden & set(kinds)
    ]


def _swappable_pairs(context: PatternContext) -> list[tuple[int, int]]:
    """Return the pairs of modalities of one kind, rate, size and channel count."""
    if 'sensor_swap' in context.forbidden:
        return []
    shape = [
        (each.kind, each.rate_hz, each.size, len(each.channels)) for each in context.modalities
    ]
    return [(a, b) for a, b in combinations(range(len(shape)), 2) if shape[a] == shape[b]]


_KINDS_BY_CAUSE = '; '.join(
    f'{cause}: {kinds["series"]}, {kinds["image"]}' for cause, kinds in CAUSES.items()
)
PATTERNS: dict[str, Pattern] = {
    pattern.name: pattern
    for pattern in (
        Pattern(
            'common_cause',
            'one cause, onset and severity for all modalities of a cabinet (all but one of the '
            f'cell unless all_faulty): {_KINDS_BY_CAUSE}',
            'sagging supply, interference, vibration, congested network',
            _common_cause_possible,
            _common_cause,
        ),
        Pattern(
            'several',
            'two or more modalities, each with a fault of its own',
            'coincidence',
            _several_possible,
            _several,
        ),
        Pattern(
            'swapped',
            'the fault sensor_swap on two modalities of one kind, rate, size and channel count',
            'cables of two cameras crossed',
            _swapped_possible,
            _swapped,
        ),
    )
}
"""All patterns by name, sorted; the pattern in a label is an index into these."""


def weighted_patterns(
    requested: dict[str, float] | None,
    held_out: Sequence[str],
    only_held_out: bool,
    context: PatternContext,
) -> dict[str, float]:
    """Return the patterns to draw with their weights.

    Args:
        requested: Weights requested; equal weights if `None`.
        held_out: Names held out of training.
        only_held_out: Whether to draw those held out instead of the others.
        context: Modalities and settings; patterns that they do not allow are left out.

    Returns:
        Weight of each pattern, not normalized.

    Raises:
        LipfaultError: If a pattern is unknown.
    """
    for name in requested or {}:
        if name not in PATTERNS:
            known = ', '.join(PATTERNS)
            raise LipfaultError(f'faults: unknown pattern {name!r}, known are {known}')
    weights = dict.fromkeys(PATTERNS, 1.0) if requested is None else requested
    return {
        name: weight
        for name, weight in weights.items()
        if (name in held_out) == only_held_out and weight > 0 and PATTERNS[name].possible(context)
    }
