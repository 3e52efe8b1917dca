"""What each channel is expected to be: predictions from its partner in another sensor."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lipfault.audit.grid import shifted, speed
from lipfault.audit.types import Array, Link, Relation, Table

# Lags over which a partner is looked for, s.
_LAG_S = 0.6

# Span of a difference from which motion is compared, s; above the noise of most joint encoders.
_SPAN_S = 0.2

# Span of the motions by which partners are chosen, s: noise of a joint at rest hides short ones.
_CHOICE_S = 0.5

# Least correlation of motions of a partner in another modality.
_CORRELATED = 0.2

# Taps of the partner beside the best lag, s.
_TAPS_S = (-0.2, -0.13, -0.07, 0.0, 0.07, 0.13, 0.2)

# Folds of the cross-fitting: an episode is never predicted by a relation fitted on it.
_FOLDS = 5

_RIDGE = 1e-4
"""Penalty of weights in units of the variance of each regressor."""


def find_relations(table: Table) -> list[Relation]:
    """Choose the partner of each channel and predict it from there.

    The partner is the channel of another modality whose motion correlates most, at any lag up to
    0.6 s, one of the same name first; without one the channel of the same modality. The prediction
    is linear in the partner around the lag and in the other channels of the partner's modality.

    Args:
        table: The channels.

    Returns:
        A relation for each channel that has a partner.
    """
    correlations, lags = _motion_correlations(table)
    names = [table.names[key] for key in table.keys]
    relations = []
    for channel, (modality, _) in enumerate(table.keys):
        others = np.array([name != modality for name, _ in table.keys])
        strength = np.abs(correlations[channel])
        strength[channel] = 0.0
        outside = np.where(others, strength, 0.0)
        chosen = outside if outside.max(initial=0.0) >= _CORRELATED else strength
        partner = _namesake(names, channel, outside)
        if partner is None:
            partner = int(chosen.argmax())
        if chosen[partner] < _CORRELATED:
            continue
        lag = int(lags[channel, partner])
        designs = [_design(table, values, partner, channel, lag) for values in table.values]
        series = [values[:, channel] for values in table.values]
        hidden = [each[:, channel] | each[:, partner] for each in table.missing]
        links = linked(table, designs, series, hidden)
        relations.append(Relation(channel, partner, lag, float(chosen[partner]), links))
    return relations


def _namesake(names: Sequence[str], channel: int, strength: Array) -> int | None:
    """Return the correlated channel of the same name in another modality, if there is one."""
    same = [
        other
        for other, name in enumerate(names)
        if name == names[channel] and strength[other] >= _CORRELATED
    ]
    return max(same, key=lambda other: strength[other]) if same else None


def followers(relations: Sequence[Relation]) -> list[Relation]:
    """Return each pair of partners once, as the relation of the channel that follows.

    Args:
        relations: Relations of all channels.
    """
    by_channel = {relation.channel: relation for relation in relations}
    chosen = []
    for relation in relations:
        back = by_channel.get(relation.partner)
        mutual = back is not None and back.partner == relation.channel
        follows = (relation.lag, relation.channel) > (0, relation.partner)
        if not mutual or follows:
            chosen.append(relation)
    return chosen


def linked(
    table: Table,
    designs: Sequence[Array],
    series: Sequence[Array],
    hidden: Sequence[npt.NDArray[np.bool_]],
) -> tuple[Link, ...]:
    """Predict a channel in each episode by weights fitted on other episodes.

    Args:
        table: The channels.
        designs: For each episode (steps, regressor).
        series: For each episode (steps,).
        hidden: For each episode (steps,) bool.

    Returns:
        The link of each episode.
    """
    expected = cross_fit(designs, series)
    sigma = _sigmas(table, series, expected)
    return tuple(Link(*parts) for parts in zip(series, expected, sigma, hidden, strict=True))


def _motion_correlations(table: Table) -> tuple[Array, npt.NDArray[np.int_]]:
    """Return, for each pair of columns, the strongest correlation of motions and its lag."""
    span, reach, count = table.steps(_CHOICE_S), table.steps(_LAG_S), len(table.keys)
    motions = []
    for values in table.values:
        if len(values) > span + 2 * reach:
            motion = values[span:] - values[:-span]
            motions.append(motion - motion.mean(axis=0))
    lags = np.arange(-reach, reach + 1)
    if not motions:
        return np.zeros((count, count)), np.zeros((count, count), int)
    # The median over episodes: a broken one must not choose the partners.
    motions = [m / np.maximum(np.sqrt((m * m).sum(axis=0)), 1e-12) for m in motions]
    all_lags = np.stack(
        [np.median([m.T @ shifted(m, int(lag)) for m in motions], axis=0) for lag in lags]
    )
    best = np.abs(all_lags).argmax(axis=0)
    strongest = np.take_along_axis(all_lags, best[None], axis=0)[0]
    return strongest, lags[best]


def cross_fit(designs: Sequence[Array], targets: Sequence[Array]) -> tuple[Array, ...]:
    """Predict the target of each episode by weights fitted on the episodes of the other folds.

    Episodes whose residual exceeds 2.5 times the median are left out of a second fit, so that
    broken episodes do not set the expectation.

    Args:
        designs: For each episode (steps, regressor).
        targets: For each episode (steps,).

    Returns:
        For each episode (steps,) predictions.
    """
    grams = np.stack([d.T @ d for d in designs])
    crosses = np.stack([d.T @ t for d, t in zip(designs, targets, strict=True)])
    keep = np.ones(len(designs), bool)
    predictions = _fold_predictions(designs, grams, crosses, keep)
    errors = np.array(
        [np.sqrt(np.mean((t - p) ** 2)) for t, p in zip(targets, predictions, strict=True)]
    )
    keep = errors <= 2.5 * np.median(errors)
    return _fold_predictions(designs, grams, crosses, keep)


def _fold_predictions(
    designs: Sequence[Array], grams: Array, crosses: Array, keep: npt.NDArray[np.bool_]
) -> tuple[Array, ...]:
    """Predict each fold from the kept episodes of the others; a single episode from itself."""
    count = len(designs)
    fold = np.arange(count) % _FOLDS
    weights: dict[int, Array] = {}
    for number in np.unique(fold):
        chosen = keep & (fold != number)
        chosen = chosen if chosen.any() else keep
        gram, cross = grams[chosen].sum(axis=0), crosses[chosen].sum(axis=0)
        penalty = _RIDGE * np.diag(gram) + 1e-9 * max(np.trace(gram), 1e-9)
        weights[int(number)] = np.linalg.solve(gram + np.diag(penalty), cross)
    return tuple(designs[i] @ weights[int(fold[i])] for i in range(count))


def _design(table: Table, values: Array, partner: int, channel: int, lag: int) -> Array:
    """Return the regressors: taps of the partner, posture of its modality, and 1."""
    modality = table.keys[partner][0]
    posture = [
        column
        for column, (name, _) in enumerate(table.keys)
        if name == modality and column not in (partner, channel)
    ]
    if modality == table.keys[channel][0]:
        posture = []
    offsets = sorted({round(seconds * table.rate_hz) for seconds in _TAPS_S})
    taps = [shifted(values[:, partner], lag + offset) for offset in offsets]
    rest = shifted(values[:, posture], lag)
    return np.column_stack([*taps, rest, np.ones(len(values))])


def widened(table: Table, relation: Relation) -> tuple[Link, ...]:
    """Return the links of a channel predicted from its partner and its own modality.

    Args:
        table: The channels.
        relation: The relation to the partner.

    Returns:
        The link of each episode.
    """
    name = table.keys[relation.channel][0]
    own = [c for c, key in enumerate(table.keys) if key[0] == name and c != relation.channel]
    designs = [
        np.concatenate(
            [_design(table, v, relation.partner, relation.channel, relation.lag), v[:, own]], axis=1
        )
        for v in table.values
    ]
    series = [link.series for link in relation.links]
    return linked(table, designs, series, [link.hidden for link in relation.links])


def moving_links(table: Table, links: Sequence[Link]) -> tuple[Link, ...]:
    """Return the links of the motions: changes over 0.2 s, in which an offset has no part.

    Args:
        table: The channels.
        links: The link of each episode.

    Returns:
        The link of each episode.
    """
    half = max(1, table.steps(_SPAN_S) // 2)
    series = [shifted(link.series, -half) - shifted(link.series, half) for link in links]
    expected = [shifted(link.expected, -half) - shifted(link.expected, half) for link in links]
    sigma = _sigmas(table, series, expected)
    hidden = [
        link.hidden | shifted(link.hidden, -half) | shifted(link.hidden, half) for link in links
    ]
    return tuple(Link(*parts) for parts in zip(series, expected, sigma, hidden, strict=True))


def _sigmas(table: Table, series: Sequence[Array], expected: Sequence[Array]) -> tuple[Array, ...]:
    """Return the robust residual scale at each step, by the expected speed."""
    speeds = [speed(each, table.steps(_SPAN_S)) for each in expected]
    residuals = [v - e for v, e in zip(series, expected, strict=True)]
    edges = np.quantile(np.concatenate(speeds), np.linspace(0, 1, 7)[1:-1])
    pooled = np.concatenate(residuals)
    bins = np.searchsorted(edges, np.concatenate(speeds))
    overall = max(1.4826 * float(np.median(np.abs(pooled))), 1e-9)
    scales = np.array(
        [
            1.4826 * np.median(np.abs(pooled[bins == number])) if (bins == number).any() else 0.0
            for number in range(len(edges) + 1)
        ]
    )
    scales = np.maximum(scales, 0.3 * overall)
    return tuple(scales[np.searchsorted(edges, each)] for each in speeds)
