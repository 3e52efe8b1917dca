"""Bring all series of a data set to one time grid."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from lipfault.audit.types import Array, Table, Track, Tracks

T = TypeVar('T', bound=np.generic)

# Highest rate at which relations are computed, Hz; arms move below 5 Hz.
_HIGHEST_RATE = 50.0

# Smallest and largest delay that is tried, s.
_LEAST_S, _DELAY_S = 0.08, 1.2


def common_table(tracks: Tracks) -> Table | None:
    """Bring all series to one time grid.

    The rate is the lowest of all series, at most 50 Hz; faster series are averaged over a step.

    Args:
        tracks: The data set.

    Returns:
        The table, `None` without a series.
    """
    names = tracks.of_kind('series')
    if not names:
        return None
    rate = min(_HIGHEST_RATE, *(tracks.modalities[name].rate_hz for name in names))
    keys = tuple(
        (name, number) for name in names for number in range(len(tracks.modalities[name].channels))
    )
    values, missing = [], []
    for episode in tracks.tracks:
        parts = [resampled(episode[name], tracks.modalities[name].rate_hz, rate) for name in names]
        steps = min(len(part[0]) for part in parts)
        values.append(np.concatenate([part[0][:steps] for part in parts], axis=1))
        missing.append(
            np.concatenate([np.repeat(p[1][:steps, None], p[0].shape[1], 1) for p in parts], axis=1)
        )
    channels = {key: tracks.modalities[key[0]].channels[key[1]] for key in keys}
    return Table(rate, keys, tuple(values), tuple(missing), channels)


def resampled(track: Track, rate: float, grid: float) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Resample a track to a grid; gaps are interpolated and marked.

    Args:
        track: The track.
        rate: Its rate, Hz.
        grid: Rate of the grid, Hz.

    Returns:
        (steps, channel) values and (steps,) bool, true where a sample is missing.
    """
    length = len(track.values)
    steps = max(1, int(length / rate * grid + 1e-6))
    times, wanted = np.arange(length) / rate, np.arange(steps) / grid
    if not track.present.any():
        return np.zeros((steps, track.values.shape[1])), np.ones(steps, bool)
    seen = times[track.present]
    columns = np.stack([np.interp(times, seen, c) for c in track.values[track.present].T], axis=1)
    width = int(rate / grid + 1e-6)
    if width > 1:
        columns = moving_mean(columns, width)
    values = np.stack([np.interp(wanted, times, column) for column in columns.T], axis=1)
    gap = np.interp(wanted, times, (~track.present).astype(np.float64)) > 0
    return values, gap


def moving_mean(values: Array, width: int) -> Array:
    """Return the centred moving mean over steps, with shorter windows at both ends.

    Args:
        values: (steps, ...) values.
        width: Steps of the window.

    Returns:
        Means of the same shape.
    """
    sums = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    steps = np.arange(len(values))
    start = np.maximum(steps - width // 2, 0)
    stop = np.minimum(steps - width // 2 + width, len(values))
    count = (stop - start).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray((sums[stop] - sums[start]) / count)


def shifted(values: npt.NDArray[T], steps: int) -> npt.NDArray[T]:
    """Delay values along the first axis; the first or last value fills up.

    Args:
        values: (steps, ...) values.
        steps: Delay in steps; negative to advance.

    Returns:
        Values of the same shape.
    """
    index = np.clip(np.arange(len(values)) - steps, 0, len(values) - 1)
    return values[index]


def tried_delays(table: Table) -> npt.NDArray[np.int_]:
    """Return the delays that are tried, in steps; negative ones are advances.

    Args:
        table: The channels.
    """
    least = max(2, table.steps(_LEAST_S))
    positive = np.arange(least, max(least, table.steps(_DELAY_S)) + 1)
    return np.concatenate([positive, -positive])


def speed(values: Array, span: int) -> Array:
    """Return the absolute change over a span of steps, centred.

    Args:
        values: (steps,) values.
        span: Steps.

    Returns:
        (steps,) absolute differences.
    """
    half = max(span // 2, 1)
    return np.abs(shifted(values, -half) - shifted(values, half))
