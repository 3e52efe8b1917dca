"""Exactly repeated values and frames: stuck, saturated, clipped and frozen sensors.

A channel at rest repeats its values, too. What counts is a repeat where the channel should move:
each repeat adds -log P(repeat | expected speed), with the probabilities of the other episodes.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lipfault.audit.findings import Candidate, FaultKind
from lipfault.audit.grid import shifted, speed
from lipfault.audit.types import Array, Relation, Table, Tracks

# Classes of expected speed.
_CLASSES = 8

# Shortest run of equal values and of equal frames that is looked at, samples.
_SHORTEST, _SHORTEST_FRAMES = 3, 2

# A frame repeats if it changes by less than this share of the upper quartile of all changes:
# a film that was compressed anew does not repeat bit by bit.
_REPEATED = 0.1

# Half the span around a run in which its value must be the extreme to be a cut peak, s.
_AROUND_S = 1.0


def repeat_candidates(
    tracks: Tracks, table: Table, relations: Sequence[Relation]
) -> list[Candidate]:
    """Return the strongest run of repeated values of each channel and episode.

    Args:
        tracks: The data set.
        table: The channels on a common grid.
        relations: What each channel is expected to be.

    Returns:
        A candidate for each channel and episode.
    """
    expected = {relation.channel: relation for relation in relations}
    found = []
    for column, (name, number) in enumerate(table.keys):
        rate = tracks.modalities[name].rate_hz
        values = [episode[name].values[:, number] for episode in tracks.tracks]
        relation = expected.get(column)
        speeds = [_speed_at(table, relation, index, len(v), rate) for index, v in enumerate(values)]
        events = [np.r_[False, np.diff(v) == 0] for v in values]
        bounds = _bounds(values)
        ends = [(v >= bounds[1]) | (v <= bounds[0]) for v in values]
        evidence = _evidence(events, speeds, ends)
        for index, series in enumerate(values):
            score, start, stop, runs = _strongest_run(series, events[index], evidence[index])
            kind = _name_run(series, (start, stop, runs), rate, bounds) if score > 0 else 'stuck'
            detail = {'value': float(series[start]), 'samples': stop - start} if score > 0 else {}
            found.append(
                Candidate(kind, index, name, number, score, start / rate, stop / rate, detail)
            )
    return found


def frame_candidates(tracks: Tracks, table: Table | None, image: str) -> list[Candidate]:
    """Return the strongest run of repeated frames of each episode.

    Args:
        tracks: The data set.
        table: The series on a common grid, whose motion says when frames should change.
        image: Name of the image modality.

    Returns:
        A candidate for each episode.
    """
    rate = tracks.modalities[image].rate_hz
    changes = [episode[image].change for episode in tracks.tracks]
    finite = np.concatenate([c[np.isfinite(c)] for c in changes])
    limit = _REPEATED * float(np.quantile(finite, 0.75)) if finite.size else 0.0
    events = [np.isfinite(c) & (c <= limit) for c in changes]
    speeds = [_overall_speed(table, index, len(c), rate) for index, c in enumerate(changes)]
    evidence = _evidence(events, speeds, [np.zeros(len(c), bool) for c in changes])
    found = []
    for index, event in enumerate(events):
        score, start, stop = _best_stretch(event, evidence[index])
        detail = {'frames': stop - start}
        found.append(
            Candidate('frozen', index, image, None, score, start / rate, stop / rate, detail)
        )
    return found


def _speed_at(
    table: Table, relation: Relation | None, episode: int, length: int, rate: float
) -> Array:
    """Return the expected speed of a channel at its own samples; without a relation that of all."""
    if relation is None:
        return _overall_speed(table, episode, length, rate)
    moving = speed(relation.links[episode].expected, table.steps(0.13))
    return _at_samples(moving, table.rate_hz, length, rate)


def _overall_speed(table: Table | None, episode: int, length: int, rate: float) -> Array:
    """Return the mean speed of all series channels, each in units of its spread, at samples."""
    if table is None:
        return np.zeros(length)
    values = table.values[episode]
    scale = np.maximum(np.std(np.concatenate(table.values), axis=0), 1e-9)
    half = max(table.steps(0.13) // 2, 1)
    moving = np.abs(shifted(values, -half) - shifted(values, half)) / scale
    return _at_samples(moving.mean(axis=1), table.rate_hz, length, rate)


def _at_samples(values: Array, grid: float, length: int, rate: float) -> Array:
    """Interpolate values on the grid at the samples of a modality."""
    return np.interp(np.arange(length) / rate, np.arange(len(values)) / grid, values)


def _evidence(
    events: Sequence[npt.NDArray[np.bool_]],
    speeds: Sequence[Array],
    ends: Sequence[npt.NDArray[np.bool_]],
) -> list[Array]:
    """Return -log P(repeat | speed, at an end of the range) at each sample, from other episodes."""
    edges = np.unique(np.quantile(np.concatenate(speeds), np.linspace(0, 1, _CLASSES + 1)[1:-1]))
    count = 2 * (len(edges) + 1)
    classes = [
        np.searchsorted(edges, each) + (count // 2) * end
        for each, end in zip(speeds, ends, strict=True)
    ]
    hits = np.stack(
        [np.bincount(c[e], minlength=count) for c, e in zip(classes, events, strict=True)]
    )
    totals = np.stack([np.bincount(c, minlength=count) for c in classes])
    result = []
    for index, each in enumerate(classes):
        # An episode may count for at most five times the median share of repeats in its class.
        others = np.arange(len(classes)) != index if len(classes) > 1 else np.array([True])
        probability = _robust_share(hits[others], totals[others])
        result.append(-np.log(np.clip(probability, 1e-3, 1.0))[each])
    return result


def _robust_share(hits: Array, totals: Array) -> Array:
    """Return the share of repeats of each class, the episode with most repeats left out.

    Args:
        hits: (episodes, class) number of repeats.
        totals: (episodes, class) number of samples.

    Returns:
        (class,) probabilities, by a prior of half a repeat in one sample.
    """
    if len(hits) > 2:
        rows, columns = hits.argmax(axis=0), np.arange(hits.shape[1])
        drop_hits, drop_totals = hits[rows, columns], totals[rows, columns]
    else:
        drop_hits = drop_totals = np.zeros(hits.shape[1])
    return np.asarray(
        (hits.sum(axis=0) - drop_hits + 0.5) / (totals.sum(axis=0) - drop_totals + 1.0)
    )


def _runs(event: npt.NDArray[np.bool_]) -> npt.NDArray[np.int_]:
    """Return (runs, 2): first and one past the last sample of each stretch of repeats.

    The sample that is repeated belongs to its run.
    """
    edges = np.diff(np.r_[0, event.astype(np.int8), 0])
    starts, stops = np.flatnonzero(edges == 1) - 1, np.flatnonzero(edges == -1)
    return np.stack([starts.clip(0), stops], axis=1)


def _best_stretch(event: npt.NDArray[np.bool_], evidence: Array) -> tuple[float, int, int]:
    """Return evidence, first and one past the last sample of the strongest run."""
    best = (0.0, 0, 0)
    sums = np.r_[0.0, np.cumsum(np.where(event, evidence, 0.0))]
    for start, stop in _runs(event):
        score = float(sums[stop] - sums[start])
        if stop - start >= _SHORTEST_FRAMES and score > best[0]:
            best = (score, int(start), int(stop))
    return best


def _strongest_run(
    series: Array, event: npt.NDArray[np.bool_], evidence: Array
) -> tuple[float, int, int, int]:
    """Return evidence, extent and number of runs of the value whose runs are strongest.

    Runs of one value count together if nothing between them exceeds it: a cut peak.
    """
    sums = np.r_[0.0, np.cumsum(np.where(event, evidence, 0.0))]
    by_value: dict[float, list[tuple[int, int]]] = {}
    for start, stop in _runs(event):
        if stop - start >= _SHORTEST:
            by_value.setdefault(float(series[start]), []).append((int(start), int(stop)))
    best = (0.0, 0, 0, 0)
    for value, parts in by_value.items():
        for start, stop, runs in _joined(series, value, parts):
            inside = [part for part in parts if start <= part[0] and part[1] <= stop]
            score = sum(float(sums[end] - sums[begin]) for begin, end in inside)
            if score > best[0]:
                best = (score, start, stop, runs)
    return best


def _joined(
    series: Array, value: float, parts: Sequence[tuple[int, int]]
) -> list[tuple[int, int, int]]:
    """Return (start, stop, runs) of the runs of a value, joined over what stays on one side."""
    joined = [(*parts[0], 1)]
    for start, stop in parts[1:]:
        between = series[joined[-1][0] : stop]
        # A channel at rest returns to a value, too; a cut peak does so within a second or two.
        close = start - joined[-1][1] <= 2 * (stop - joined[-1][0])
        if close and (np.nanmax(between) <= value or np.nanmin(between) >= value):
            joined[-1] = (joined[-1][0], stop, joined[-1][2] + 1)
        else:
            joined.append((start, stop, 1))
    return joined


def _bounds(values: Sequence[Array]) -> tuple[float, float, float]:
    """Return smallest and largest value of a channel in all episodes, and its typical step."""
    finite = np.concatenate([v[np.isfinite(v)] for v in values])
    if finite.size == 0:
        return 0.0, 0.0, 0.0
    steps = np.abs(np.concatenate([np.diff(v) for v in values]))
    steps = steps[np.isfinite(steps)]
    typical = float(np.quantile(steps, 0.95)) if steps.size else 0.0
    return float(finite.min()), float(finite.max()), typical


def _name_run(
    series: Array, run: tuple[int, int, int], rate: float, bounds: tuple[float, float, float]
) -> FaultKind:
    """Name a run (start, stop, runs) by its value: end of the range, cut peak, or anywhere."""
    (start, stop, runs), (low, high, typical) = run, bounds
    value = series[start]
    if value >= high or value <= low:
        return 'saturated'
    if runs > 1:
        return 'clipped'
    reach = round(_AROUND_S * rate)
    around = series[max(start - reach, 0) : stop + reach]
    extreme = value >= np.nanmax(around) or value <= np.nanmin(around)
    before = abs(series[start - 1] - value) if start else 0.0
    after = abs(series[stop] - value) if stop < len(series) else 0.0
    # A cut peak is entered and left without a jump.
    return 'clipped' if extreme and max(before, after) <= 2 * typical else 'stuck'
