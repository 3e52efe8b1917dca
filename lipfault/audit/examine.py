"""Test every sensor of every episode for every kind of fault."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lipfault.audit.attribution import Attribution
from lipfault.audit.findings import KINDS, Candidate, Finding, Tested
from lipfault.audit.gaps import gap_candidates
from lipfault.audit.grid import common_table
from lipfault.audit.images import ALL_SERIES, film_candidates
from lipfault.audit.pvalues import p_values, q_values, robust_z
from lipfault.audit.relations import find_relations, followers
from lipfault.audit.repeats import frame_candidates, repeat_candidates
from lipfault.audit.shifts import (
    delay_candidates,
    drift_candidates,
    shift_candidates,
    swap_candidates,
)
from lipfault.audit.types import Examination, Relation, Table, Tracks

# p-value from which a stretch counts as explained and is not tested for less specific kinds.
_EXPLAINED = 1e-4

# p-value from which the faulty one of two partners is settled.
_SETTLED = 1e-3

# p-value from which a late series is the reason of a film that is shifted against all series.
_SUSPECT = 0.05

# Power by which a p-value must be smaller for a fault to explain what is found in channels that are
# predicted from it, among others.
_SMEARED = 2.5

# Relations of two series modalities from which their shift in time is tested.
_FEWEST_LINKS = 3

# Rounds in which faults found are taken out of the pools.
_ROUNDS = 3

# Places at which a run of repeats can begin in an episode of half a minute, and shifts of a
# modality that differ by more than their residuals are alike.
_PLACES, _SHIFTS = 1000, 20

# Least spread of logarithms of deviations, and of evidence in nats: where most scores are 0, one of
# a few nats is no finding.
_SPREAD, _SPREAD_NATS = 0.25, 0.5


def examine(tracks: Tracks, rate: float = 0.05) -> Examination:
    """Audit a data set by statistics that need no training.

    Kinds are tested from the most specific to the least. A sensor of an episode that an earlier
    kind explains is not tested for the later ones, and does not belong to the pools by which others
    are judged: one fault neither makes several findings nor hides the others.

    Args:
        tracks: The data set.
        rate: Rate at which false discoveries are controlled over all tests.

    Returns:
        The findings and what they rest on.
    """
    table = common_table(tracks)
    relations = find_relations(table) if table else []
    families = _families(tracks, table, relations)
    gaps, gap_p = gap_candidates(tracks)
    tested = [Tested(tuple(gaps), gap_p)]
    explained: list[Candidate] = []
    for _ in range(_ROUNDS):
        tested = tested[:1]
        for family in families:
            tested.append(calibrated(family, tested, explained))
        explained = _significant(tested)
    tested = [replace(each, candidates=_series_first(each, tested)) for each in tested]
    if table:
        attribution = Attribution(table, followers(relations))
        tested = [replace(each, candidates=_settled(each, attribution)) for each in tested]
    candidates = [c for each in tested for c in each.candidates]
    p = np.concatenate([each.p for each in tested])
    q = q_values(p)
    made = [
        Finding(candidates[index], float(p[index]), float(q[index]))
        for index in np.flatnonzero(q <= rate)
    ]
    made = _without_smear(made)
    counts = Counter(candidate.kind for candidate in candidates)
    return Examination(
        tracks, table, tuple(relations), tuple(merged(made)), dict(counts), rate, tuple(p.tolist())
    )


def _without_smear(findings: Sequence[Finding]) -> list[Finding]:
    """Leave out weak residuals that a much stronger finding in a regressor explains.

    A channel is predicted from a modality: a broken channel there shows in the others, weakly.
    """
    return [finding for finding in findings if not any(_smears(f, finding) for f in findings)]


def _smears(strong: Finding, weak: Finding) -> bool:
    """Return whether a finding explains a weaker one in another channel."""
    cause, effect = strong.candidate, weak.candidate
    return (
        effect.kind in ('swapped', 'delayed', 'drifting')
        and cause.episode == effect.episode
        and cause.channel is not None
        and cause.overlaps(effect)
        and not sensors_of(cause) & sensors_of(effect)
        and np.log(strong.p) < _SMEARED * np.log(weak.p)
    )


def merged(findings: Sequence[Finding]) -> list[Finding]:
    """Merge findings of one sensor that overlap in time: the most specific kind names them.

    Args:
        findings: Findings of all kinds.

    Returns:
        Merged findings, smallest p-value first.
    """
    ordered = sorted(findings, key=lambda f: (KINDS.index(f.candidate.kind), f.p))
    kept: list[Finding] = []
    for finding in ordered:
        index = _same(kept, finding.candidate)
        if index is None:
            kept.append(finding)
            continue
        first = kept[index]
        kind = finding.candidate.kind
        also = first.also if kind in (first.candidate.kind, *first.also) else (*first.also, kind)
        smaller = min(first, finding, key=lambda f: f.p)
        kept[index] = replace(first, p=smaller.p, q=smaller.q, also=also)
    return sorted(kept, key=lambda f: (f.p, -f.candidate.score))


def _same(kept: Sequence[Finding], candidate: Candidate) -> int | None:
    """Return the index of a finding of the same sensor, or the exchange seen from its partner."""
    for index, finding in enumerate(kept):
        other = finding.candidate
        if other.episode != candidate.episode or not other.overlaps(candidate):
            continue
        mine = sensors_of(candidate)
        if sensors_of(other) & mine or (other.modality, None) in sensors_of(other) & {
            (modality, None) for modality, _ in mine
        }:
            return index
    return None


def sensors_of(candidate: Candidate) -> set[tuple[str, int | None]]:
    """Return the sensors that a candidate names: one, or two if they are exchanged.

    Args:
        candidate: The candidate.
    """
    named: set[tuple[str, int | None]] = {(candidate.modality, candidate.channel)}
    if 'with' in candidate.detail:
        modality, channel = candidate.detail['with']
        named.add((modality, channel))
    return named


def _families(
    tracks: Tracks, table: Table | None, relations: Sequence[Relation]
) -> list[list[Candidate]]:
    """Return the candidates of all kinds, those of a family to be calibrated together."""
    images, series = tracks.of_kind('image'), tracks.of_kind('series')
    families = [frame_candidates(tracks, table, image) for image in images]
    if table is None:
        return families
    repeats = repeat_candidates(tracks, table, relations)
    families.extend([c for c in repeats if c.modality == name] for name in series)
    following = followers(relations)
    families.extend(_modality_shifts(table, following))
    families.extend(film_candidates(tracks, table, image) for image in images)
    kinds = (swap_candidates, delay_candidates, drift_candidates)
    families.extend(kind(table, following) for kind in kinds)
    return [family for family in families if family]


def _series_first(tested: Tested, others: Sequence[Tested]) -> tuple[Candidate, ...]:
    """Return the candidates; a film against all series yields to a series that is late itself."""
    late = [
        candidate
        for each in others
        for candidate, p in zip(each.candidates, each.p, strict=True)
        if candidate.kind == 'desynchronized' and p < _SUSPECT
    ]
    return tuple(_late_series(candidate, late) or candidate for candidate in tested.candidates)


def _late_series(candidate: Candidate, late: Sequence[Candidate]) -> Candidate | None:
    """Return the shift of a series that explains the shift of a film, if there is one."""
    if candidate.kind != 'desynchronized' or candidate.detail['against'][0] != ALL_SERIES:
        return None
    same = [
        other
        for other in late
        if other.episode == candidate.episode and other.detail['against'][0] != ALL_SERIES
    ]
    return max(same, key=lambda other: other.score, default=None)


def _settled(tested: Tested, attribution: Attribution) -> tuple[Candidate, ...]:
    """Return the candidates, those of interest with the faulty one of two partners."""
    return tuple(
        attribution.settle(candidate)
        if p < _SETTLED and candidate.kind in ('drifting', 'swapped', 'delayed')
        else candidate
        for candidate, p in zip(tested.candidates, tested.p, strict=True)
    )


def _modality_shifts(table: Table, following: Sequence[Relation]) -> list[list[Candidate]]:
    """Return the shifts of each pair of series modalities with enough relations."""
    pairs: dict[tuple[str, str], list[Relation]] = {}
    for relation in following:
        key = (table.keys[relation.channel][0], table.keys[relation.partner][0])
        if key[0] != key[1]:
            pairs.setdefault(key, []).append(relation)
    return [
        shift_candidates(table, first, second, [relation.links for relation in members])
        for (first, second), members in pairs.items()
        if len(members) >= _FEWEST_LINKS
    ]


def calibrated(
    candidates: Sequence[Candidate],
    earlier: Sequence[Tested],
    known: Sequence[Candidate] = (),
) -> Tested:
    """Return the candidates that no earlier kind explains, with p-values from their own pool.

    Args:
        candidates: One kind, or kinds of one statistic.
        earlier: Tests of more specific kinds.
        known: Faults known from a round before, of any kind; their sensors are not in the pool.

    Returns:
        The tests.
    """
    faults = _significant(earlier)
    rest = [candidate for candidate in candidates if not _explained(candidate, faults)]
    if not rest:
        return Tested((), np.empty(0))
    # A delay may name either partner: its test belongs to the pair.
    keys = sorted({_pool_key(candidate) for candidate in rest})
    episodes = sorted({candidate.episode for candidate in rest})
    scores = np.full((len(episodes), len(keys)), np.nan)
    clean = np.ones(scores.shape, bool)
    places = [
        (episodes.index(candidate.episode), keys.index(_pool_key(candidate))) for candidate in rest
    ]
    for candidate, place in zip(rest, places, strict=True):
        scores[place] = candidate.score
        clean[place] = not _explained(candidate, known)
    z = robust_z(scores, clean, _SPREAD if rest[0].kind == 'drifting' else _SPREAD_NATS)
    p = p_values(z, clean, scores > 0)
    bounds = np.array([_least_p(candidate) for candidate in rest])
    return Tested(tuple(rest), np.maximum([p[place] for place in places], bounds))


def _least_p(candidate: Candidate) -> float:
    """Return the p-value that evidence in nats cannot fall below, 0 for a drift.

    A run of events of probability exp(-score) at a given place has at most this probability at any
    of some hundred places.
    """
    if candidate.kind == 'drifting':
        return 0.0
    places = _SHIFTS if candidate.kind == 'desynchronized' else _PLACES
    evidence = float(candidate.detail.get('evidence', candidate.score))
    return float(min(1.0, places * np.exp(-evidence)))


def _significant(tested: Sequence[Tested]) -> list[Candidate]:
    """Return the candidates with a p-value below that of an explanation."""
    return [
        candidate
        for each in tested
        for candidate, p in zip(each.candidates, each.p, strict=True)
        if p < _EXPLAINED
    ]


def _pool_key(candidate: Candidate) -> str:
    """Return the key of the tests that are alike in all episodes."""
    here = f'{candidate.modality}/{candidate.channel}'
    if candidate.kind in ('delayed', 'desynchronized') and 'against' in candidate.detail:
        modality, channel = candidate.detail['against']
        return ' '.join(sorted([here, f'{modality}/{channel}']))
    return here


def _explained(candidate: Candidate, explained: Sequence[Candidate]) -> bool:
    """Return whether an explained stretch covers the candidate's sensor or its partner."""
    mine = sensors_of(candidate)
    if 'against' in candidate.detail:
        modality, channel = candidate.detail['against']
        mine = mine | {(modality, channel)}
    modalities = {modality for modality, _ in mine}
    for other in explained:
        if other.episode != candidate.episode or not candidate.overlaps(other):
            continue
        if other.kind in ('dropped', 'frozen'):
            if other.modality == candidate.modality and candidate.kind == 'desynchronized':
                return True
            continue
        if sensors_of(other) & mine:
            return True
        # A film is compared with all series: one that is late shifts it, too.
        if candidate.kind == other.kind == 'desynchronized':
            return True
        if other.channel is None and other.modality in modalities:
            return True
    return False
