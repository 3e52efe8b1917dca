"""Hypotheses that explain a residual: late or exchanged channels, shifted modalities, drifts.

Each hypothesis replaces the residual of a relation by another one. Its score is the largest gain of
log-likelihood over any stretch of time, with each sample's share bounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lipfault.audit.findings import Candidate
from lipfault.audit.grid import moving_mean, shifted, tried_delays
from lipfault.audit.relations import moving_links, widened
from lipfault.audit.types import Array, Link, Relation, Table

# A residual counts for at most so many standard deviations.
_CAP = 10.0

# Window over which a residual is averaged to find a drift, s.
_SLOW_S = 1.0

# Share of the energy of a residual that a hypothesis must explain, and the mean square, in units of
# the variance, that it may leave; squares are bounded, since a fault begins and ends with a jump.
_EXPLAINED, _LEFT, _BOUND = 0.5, 2.5, 9.0

# Shortest stretch of a shift of a modality, s.
_SHORTEST_S = 1.0

# Time over which residuals are alike, s: so many samples count once as evidence.
_ALIKE_S = 0.2

# The same share for the shift of a modality, and the share of its links that do not count.
_SHIFT_EXPLAINED, _IGNORED = 0.05, 0.15

# Hypotheses that are checked for what they leave, the one with the largest gain first.
_CHECKED = 5


@dataclass(frozen=True)
class Scan:
    """Best hypothesis of a scan.

    Args:
        score: Largest gain of log-likelihood.
        start: First step of the stretch.
        stop: One past its last step.
        which: Index of the hypothesis.
        explained: Share of the energy of the residual in the stretch that it explains.
    """

    score: float
    start: int
    stop: int
    which: int
    explained: float


def delay_candidates(table: Table, relations: Sequence[Relation]) -> list[Candidate]:
    """Return the best delay of each relation and episode.

    A delay against the expectation names the channel, an advance names the partner: a sensor can be
    late, never early.

    Args:
        table: The channels.
        relations: Relations of following channels.

    Returns:
        A candidate for each relation and episode.
    """
    found = []
    delays = tried_delays(table)
    for relation in relations:
        for episode, link in enumerate(relation.links):
            best = scan(*_delay_gains([link], delays))
            delay = int(delays[best.which])
            if abs(delay) == delays.max():  # the best may lie beyond what is tried
                best = replace(best, score=0.0)
            column, other = relation.channel, relation.partner
            column, other = (column, other) if delay > 0 else (other, column)
            detail = {
                'delay_s': abs(delay) / table.rate_hz,
                'explained': best.explained,
                'against': list(table.keys[other]),
            }
            modality, channel = table.keys[column]
            found.append(_candidate('delayed', table, (episode, modality, channel), best, detail))
    return found


def shift_candidates(
    table: Table, first: str, second: str, links: Sequence[Sequence[Link]]
) -> list[Candidate]:
    """Return the best shift in time between two modalities in each episode.

    Args:
        table: The channels.
        first: Modality whose channels are predicted.
        second: Modality from which they are predicted.
        links: For each channel of the first modality its link in each episode.

    Returns:
        A candidate for each episode; it names the modality that is late.
    """
    found = []
    delays = tried_delays(table)
    moving = [moving_links(table, each) for each in links]
    for episode in range(len(table.values)):
        gains, energies = _delay_gains([each[episode] for each in moving], delays)
        # Many weak relations: what a shift leaves says little, how much it gains says all.
        best = scan(gains, energies, explained=_SHIFT_EXPLAINED, left=np.inf)
        # The jump of an exchanged channel shows in all that are predicted from it, for a moment.
        if best.stop - best.start < table.steps(_SHORTEST_S):
            best = replace(best, score=0.0)
        delay = int(delays[best.which])
        late, other = (first, second) if delay > 0 else (second, first)
        detail = {
            'delay_s': abs(delay) / table.rate_hz,
            'explained': best.explained,
            'against': [other, None],
        }
        found.append(_candidate('desynchronized', table, (episode, late, None), best, detail))
    return found


def swap_candidates(table: Table, relations: Sequence[Relation]) -> list[Candidate]:
    """Return the best exchange of each following channel and episode.

    Args:
        table: The channels.
        relations: Relations of following channels.

    Returns:
        A candidate for each relation with another one in its modality, and episode.
    """
    found = []
    for relation in relations:
        name, channel = table.keys[relation.channel]
        others = [r for r in relations if table.keys[r.channel][0] == name and r is not relation]
        if not others:
            continue
        for episode in range(len(table.values)):
            best = scan(*_swap_gains(relation, others, episode))
            other = others[best.which]
            detail = {
                'with': list(table.keys[other.channel]),
                'explained': best.explained,
                'against': list(table.keys[relation.partner]),
            }
            found.append(_candidate('swapped', table, (episode, name, channel), best, detail))
    return found


def drift_candidates(table: Table, relations: Sequence[Relation]) -> list[Candidate]:
    """Return the largest slow deviation of each relation and episode.

    Two expectations must contradict the channel: from the partner's modality alone, and from the
    other channels of its own modality, too. The first is untouched by a fault of a neighbour, the
    second knows what has kept the neighbours from following as well, such as contact.

    Args:
        table: The channels.
        relations: Relations of following channels.

    Returns:
        A candidate for each relation and episode; the score is the deviation in units of its robust
        spread over the data set.
    """
    found = []
    for relation in relations:
        slow, size = _slow(table, relation.links)
        _, wide = _slow(table, widened(table, relation))
        modality, channel = table.keys[relation.channel]
        for episode, deviation in enumerate(slow):
            both = np.minimum(size[episode], wide[episode])
            peak = int(both.argmax())
            best = Scan(float(both[peak]), *_around(both >= 0.5 * both[peak], peak), 0, 1.0)
            detail = {
                'offset': float(deviation[peak]),
                'against': list(table.keys[relation.partner]),
            }
            found.append(_candidate('drifting', table, (episode, modality, channel), best, detail))
    return found


def _slow(table: Table, links: Sequence[Link]) -> tuple[list[Array], list[Array]]:
    """Return the slow deviation in each episode, and its size in units of its robust spread."""
    slow = [moving_mean(link.residual, table.steps(_SLOW_S)) for link in links]
    pooled = np.concatenate(slow)
    centre = float(np.median(pooled))
    spread = max(1.4826 * float(np.median(np.abs(pooled - centre))), 1e-9)
    return [each - centre for each in slow], [np.abs(each - centre) / spread for each in slow]


def scan(gains: Array, energies: Array, explained: float = _EXPLAINED, left: float = _LEFT) -> Scan:
    """Return the hypothesis and the stretch with the largest sum of gains.

    Hypotheses that explain too little of the energy in their stretch, or leave more than noise, are
    left out.

    Args:
        gains: (hypothesis, steps) gain of log-likelihood at each step.
        energies: (hypothesis + 1, steps) squared residuals without, and with each hypothesis, in
            units of the variance.
        explained: Least share of the energy that a hypothesis explains.
        left: Largest mean square that it leaves, in units of the variance.

    Returns:
        The best hypothesis; its score is 0 if none explains anything.
    """
    sums, totals = _sums(gains), _sums(energies)
    lowest = np.minimum.accumulate(sums, axis=1)
    rise = sums - lowest
    for which in np.argsort(rise.max(axis=1))[::-1][:_CHECKED]:
        stop = int(rise[which].argmax())
        start = int(np.flatnonzero(sums[which, : stop + 1] <= lowest[which, stop])[-1])
        before = totals[0, stop] - totals[0, start]
        after = totals[which + 1, stop] - totals[which + 1, start]
        share = 1 - after / before if before > 0 else 0.0
        if share >= explained and after <= left * (stop - start):
            return Scan(float(rise[which, stop]), start, stop, int(which), float(share))
    return Scan(0.0, 0, 0, 0, 0.0)


def gain(residual: Array, other: Array, sigma: Array) -> Array:
    """Return the gain of log-likelihood of another residual, bounded at each step.

    Args:
        residual: (steps,) residual.
        other: (..., steps) residuals of the hypotheses.
        sigma: (..., steps) standard deviations.

    Returns:
        (..., steps) gains, at most `_CAP` squared over 2.
    """
    before = np.minimum((residual / sigma) ** 2, _CAP**2)
    return np.asarray(0.5 * (before - np.minimum((other / sigma) ** 2, _CAP**2)))


def _sums(values: Array) -> Array:
    """Return cumulative sums over steps, from 0."""
    return np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)


def _delay_gains(links: Sequence[Link], delays: npt.NDArray[np.int_]) -> tuple[Array, Array]:
    """Return gains and energies of all delays, the sum and the mean over links of one episode."""
    gains, energies = [], []
    for link in links:
        others = np.stack([link.series - shifted(link.expected, int(delay)) for delay in delays])
        others = np.where(link.hidden, 0.0, others)
        # A late motion has the noise of its own speed, not of the speed that is expected now.
        sigma = np.stack([np.maximum(link.sigma, shifted(link.sigma, int(d))) for d in delays])
        gains.append(gain(link.residual, others, sigma))
        own = (link.residual / link.sigma) ** 2
        energies.append(np.concatenate([own[None], (others / sigma) ** 2]))
    # Links with the largest gains do not count: one or two broken channels shift no modality.
    ignored = int(np.ceil(_IGNORED * (len(gains) - 1)))
    kept = np.sort(gains, axis=0)[: len(gains) - ignored]
    return np.sum(kept, axis=0), np.mean(np.minimum(energies, _BOUND), axis=0)


def _swap_gains(
    relation: Relation, others: Sequence[Relation], episode: int
) -> tuple[Array, Array]:
    """Return gains and energies of all exchanges of one channel in one episode."""
    here = relation.links[episode]
    gains, before, after = [], [], []
    for other in others:
        there = other.links[episode]
        hidden = here.hidden | there.hidden
        # After the exchange back, each column is compared with the other's expectation.
        first = np.where(hidden, 0.0, there.series - here.expected)
        second = np.where(hidden, 0.0, here.series - there.expected)
        # Both must gain: one channel alone is not exchanged.
        both = np.minimum(
            gain(here.residual, first, here.sigma), gain(there.residual, second, there.sigma)
        )
        gains.append(2 * both)
        before.append((here.residual / here.sigma) ** 2 + (there.residual / there.sigma) ** 2)
        after.append((first / here.sigma) ** 2 + (second / there.sigma) ** 2)
    energies = np.stack([np.mean(before, axis=0), *after]) / 2
    return np.stack(gains), np.minimum(energies, _BOUND)


def _candidate(
    kind: str,
    table: Table,
    where: tuple[int, str, int | None],
    best: Scan,
    detail: dict[str, object],
) -> Candidate:
    """Return a candidate for (episode, modality, channel)."""
    start, stop = best.start / table.rate_hz, best.stop / table.rate_hz
    if kind != 'drifting':
        detail = {**detail, 'evidence': best.score / table.steps(_ALIKE_S)}
    return Candidate(kind, *where, best.score, start, stop, detail)  # type: ignore[arg-type]


def _around(mask: npt.NDArray[np.bool_], position: int) -> tuple[int, int]:
    """Return the stretch of true values around a position, its end exclusive."""
    before = np.flatnonzero(~mask[:position])
    after = np.flatnonzero(~mask[position:])
    start = int(before[-1]) + 1 if before.size else 0
    stop = position + int(after[0]) if after.size else len(mask)
    return start, stop
