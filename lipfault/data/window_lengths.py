"""Lengths of window, stride and history that fit the rates and the episodes of a recording."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from lightning.pytorch.utilities import rank_zero_info

from lipfault.data.episode import EpisodeInfo
from lipfault.data.geometry import Geometry
from lipfault.data.splits import shortened
from lipfault.errors import LipfaultError
from lipfault.modality import Modality

WINDOW, HISTORY, STRIDE = 64, 50, 10
"""Samples of a series at the reference rate: 0.64 s, 0.5 s and 0.1 s at the 100 Hz of the shipped
sets."""

SHARE = 4
"""A window is at most one of so many parts of an episode of median length."""

WINDOWS = 4000
"""Windows below which the stride is made shorter; the smallest shipped set has 4968."""

FEWEST = 4
"""Fewest samples of the slowest series in a window."""

FRAMES = 2
"""Fewest samples of any modality in the history: the frame before, and one that a fault holds."""

BATCH = 64
"""Windows in a batch."""

BATCH_PIXELS = 64 * 256**2
"""Most pixels of the frames of a batch: 64 frames of 256 x 256 pixels."""


@dataclass(frozen=True)
class Lengths:
    """Lengths in seconds.

    Args:
        window_s: Length of a window.
        stride_s: Distance between the ends of two windows.
        history_s: Seconds before a window.
    """

    window_s: float
    stride_s: float
    history_s: float


def fitting_lengths(
    modalities: Mapping[str, Modality],
    durations_s: Sequence[float],
    window_s: float | None = None,
    stride_s: float | None = None,
    history_s: float | None = None,
) -> Lengths:
    """Derive the lengths that are not given.

    The reference rate is the geometric mean of the rates of the series, or the largest rate of a
    recording of images alone. A window has 64 samples at this rate, but lasts no longer than a
    quarter of an episode; history and stride keep their ratio to it. The stride is shorter, down
    to one sample, where the recordings would give fewer than 4000 windows.

    Args:
        modalities: Description of each modality.
        durations_s: Duration of each episode in seconds.
        window_s: Length of a window, if given.
        stride_s: Stride, if given.
        history_s: History, if given.

    Returns:
        The lengths; those that are given are unchanged.

    Example:
        >>> imu = Modality('imu', 'series', 100.0, ('a',), ('g',), (-2.0,), (2.0,), (0.01,))
        >>> fitting_lengths({'imu': imu}, [20.0] * 80)
        Lengths(window_s=0.64, stride_s=0.1, history_s=0.5)
    """
    series = [m.rate_hz for m in modalities.values() if m.kind == 'series']
    slowest = min(m.rate_hz for m in modalities.values())
    rate = _reference(series) if series else max(m.rate_hz for m in modalities.values())
    longest_s = median(durations_s) / SHARE
    if window_s is None:
        window_s = _window(series, rate, longest_s) / rate if series else 1 / rate
    # An image has one frame in a window: its history and stride count frames.
    parts = (HISTORY / WINDOW, STRIDE / WINDOW) if series else (STRIDE / 2, 1.0)
    if history_s is None:
        history_s = max(1, round(window_s * rate * parts[0])) / rate
        history_s = max(history_s, min(FRAMES / slowest, longest_s))
    if stride_s is None:
        room_s = sum(max(0.0, d - window_s - history_s) for d in durations_s)
        samples = min(round(window_s * rate * parts[1]), math.floor(room_s * rate / WINDOWS))
        stride_s = max(1, samples) / rate
    return Lengths(window_s, stride_s, history_s)


def fitting_batch_size(modalities: Mapping[str, Modality], windows: int) -> int:
    """Choose the number of windows in a batch.

    Args:
        modalities: Description of each modality.
        windows: Windows of the training split, on each device.

    Returns:
        64, fewer where their frames have more pixels than 64 frames of 256 x 256 pixels or the
        split has fewer windows; at least 1.
    """
    pixels = sum(m.size[0] * m.size[1] for m in modalities.values() if m.size is not None)
    most = min(BATCH, BATCH_PIXELS // pixels) if pixels else BATCH
    return max(1, min(most, windows))


def lengths_in_words(geometry: Geometry) -> str:
    """State the lengths, in seconds and in samples of each series.

    Args:
        geometry: Modalities and lengths.

    Returns:
        One line.
    """
    samples = ', '.join(
        f'{name} {geometry.span(name).window}'
        for name, modality in geometry.modalities.items()
        if modality.kind == 'series'
    )
    return (
        f'data.window_s={geometry.window_s:.4g}, data.stride_s={geometry.stride_s:.4g}, '
        f'data.history_s={geometry.history_s:.4g}'
        + (f'; samples in a window: {samples}' if samples else '')
    )


def fitting_geometry(
    modalities: Mapping[str, Modality],
    episodes: Sequence[EpisodeInfo],
    window_s: float | None,
    stride_s: float | None,
    history_s: float | None,
) -> Geometry:
    """Derive the lengths that are not given, and log them.

    Args:
        modalities: Description of each modality.
        episodes: Description of each episode.
        window_s: Length of a window, if given.
        stride_s: Stride, if given.
        history_s: History, if given.

    Returns:
        The windows.
    """
    durations = [info.duration_s for info in episodes]
    found = fitting_lengths(modalities, durations, window_s, stride_s, history_s)
    geometry = Geometry(modalities, found.window_s, found.stride_s, found.history_s)
    if None in (window_s, stride_s, history_s):
        rank_zero_info(f'derived from the recordings: {lengths_in_words(geometry)}')
    return geometry


def long_enough(
    geometry: Geometry, episodes: Sequence[EpisodeInfo], named: Collection[str] = ()
) -> list[str]:
    """Select the episodes that hold a window with its history; log those that do not.

    Args:
        geometry: Modalities and lengths.
        episodes: Description of each episode.
        named: Ids of episodes to keep whatever their length, so that it is an error later.

    Returns:
        Ids of the episodes, in their order.

    Raises:
        LipfaultError: If no episode holds a window, with the lengths that fit.
    """
    fit = {info.episode_id for info in episodes if geometry.count(info.lengths)}
    if not fit:
        durations = [info.duration_s for info in episodes]
        found = fitting_lengths(geometry.modalities, durations)
        raise LipfaultError(
            f'no episode is as long as data.window_s={geometry.window_s:g} and '
            f'data.history_s={geometry.history_s:g} together: the longest lasts '
            f'{max(durations):.3g} s; data.window_s={found.window_s:.4g} and '
            f'data.history_s={found.history_s:.4g} fit'
        )
    ids = [info.episode_id for info in episodes]
    short = [i for i in ids if i not in fit and i not in named]
    if short:
        rank_zero_info(
            f'{len(short)} of {len(ids)} episodes are shorter than window and history together '
            f'and are left out: {shortened(short)}'
        )
    return [i for i in ids if i in fit or i in named]


def _reference(rates: Sequence[float]) -> float:
    """Geometric mean of the rates; exact where all are equal."""
    if len(set(rates)) == 1:
        return rates[0]
    return math.exp(math.fsum(math.log(r) for r in rates) / len(rates))


def _window(rates: Sequence[float], reference: float, longest_s: float) -> int:
    """Samples at the reference rate: the longest window that fits and divides well.

    Models of a series have one variance for each chunk of up to 8 samples, of which a window has a
    whole number: a window of 61 samples has 61 chunks, one of 60 has 10.
    """
    fewest = math.ceil(FEWEST * reference / min(rates))
    most = max(fewest, min(WINDOW, math.floor(longest_s * reference)))
    candidates = range(most, max(fewest, most - 7) - 1, -1)
    return max(candidates, key=lambda n: min(_chunk(n / reference * rate) for rate in rates))


def _chunk(samples: float) -> int:
    """Largest divisor up to 8 of the whole samples of a window."""
    whole = max(1, math.floor(samples + 1e-6))
    return max(n for n in range(1, 9) if whole % n == 0)
