"""Relation of an image stream to the series: what its thumbnails should show at each time."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lipfault.audit.findings import Candidate
from lipfault.audit.grid import T, moving_mean, resampled, shifted, tried_delays
from lipfault.audit.relations import linked
from lipfault.audit.types import Array, Link, Table, Tracks

ALL_SERIES = 'all series'
"""What a film is compared with, in the place of a modality."""

# Components of the thumbnails that are predicted, and of the series from which they are.
_COMPONENTS, _POSTURES = 16, 12

# Window whose mean is subtracted, s: what changes slowly, such as light, is no motion.
_MOTION_S = 2.5

# Window over which changes of frames and speeds are averaged, s: cameras of half the rate of the
# film repeat each second frame.
_SPEED_S = 0.2

# Least share of the variance that must be predictable: of a component in the median episode, and
# of all of them in an episode at the best shift.
_LEAST_SHARE, _LEAST_FIT = 0.1, 0.02

# Shifts that the relation cannot distinguish from none, s.
_UNCERTAIN_S = 0.2

# Time over which residuals are alike, s: so many samples are one piece of evidence.
_ALIKE_S = 0.3

# A residual counts for at most so many variances.
_CAP = 16.0


def film_candidates(tracks: Tracks, table: Table, image: str) -> list[Candidate]:
    """Return the best shift in time of an image stream against all series, for each episode.

    Args:
        tracks: The data set.
        table: The series on a common grid.
        image: Name of the image modality.

    Returns:
        A candidate for each episode, with the gain of log-likelihood over shifts up to 0.2 s; none
        if the series say nothing about the images.
    """
    links = film_links(tracks, table, image)
    if not links:
        return []
    found = []
    reach = int(tried_delays(table).max())
    delays = np.arange(-reach, reach + 1)
    margin = int(np.abs(delays).max())
    for episode, values in enumerate(table.values):
        losses, fits = _shift_losses([each[episode] for each in links], delays, margin)
        best = int(losses.argmin())
        valid = len(values) > 4 * margin and fits[best] >= _LEAST_FIT
        # A shift of a few frames is within the error of the relation.
        near = np.abs(delays) <= _UNCERTAIN_S * table.rate_hz
        score = float(losses[near].min() - losses[best]) if valid else 0.0
        score /= max(1.0, _ALIKE_S * table.rate_hz)
        detail = {
            'delay_s': float(delays[best]) / table.rate_hz,
            'explained': float(fits[best]),
            'against': [ALL_SERIES, None],
        }
        stop = len(values) / table.rate_hz
        found.append(
            Candidate('desynchronized', episode, image, None, max(score, 0.0), 0.0, stop, detail)
        )
    return found


def film_links(tracks: Tracks, table: Table, image: str) -> list[tuple[Link, ...]]:
    """Predict the main components of an image stream, and its changes, from the series.

    Args:
        tracks: The data set.
        table: The series on a common grid.
        image: Name of the image modality.

    Returns:
        For each predictable component its link in each episode; empty if there is none.
    """
    width = table.steps(_MOTION_S)
    rate = tracks.modalities[image].rate_hz
    parts = [resampled(episode[image], rate, table.rate_hz) for episode in tracks.tracks]
    steps = [len(values) for values in table.values]
    thumbnails = [_fit_length(p[0], n) for p, n in zip(parts, steps, strict=True)]
    hidden = [_fit_length(p[1], n) for p, n in zip(parts, steps, strict=True)]
    postures = _postures(table)
    designs = [_without_slow(_quadratic(each), width) for each in postures]
    components = _components([_without_slow(each, width) for each in thumbnails])
    links = [linked(table, designs, component, hidden) for component in components]
    speeds = [_without_slow(_log_speed(table, each), width) for each in postures]
    changes = [
        _without_slow(_log_change(table, episode[image].change, rate, n)[:, None], width)[:, 0]
        for episode, n in zip(tracks.tracks, steps, strict=True)
    ]
    links.append(linked(table, speeds, changes, hidden))
    return [each for each in links if _share(each) >= _LEAST_SHARE]


def _shift_losses(
    links: Sequence[Link], delays: npt.NDArray[np.int_], margin: int
) -> tuple[Array, Array]:
    """Return half the bounded square of the residual, and the share predicted, for each shift."""
    losses, fits = [], []
    inside = slice(margin, -margin)
    for delay in delays:
        loss = left = whole = 0.0
        for link in links:
            sigma = np.median(link.sigma)
            series = link.series[inside] / sigma
            residual = series - shifted(link.expected, int(delay))[inside] / sigma
            residual = np.where(link.hidden[inside], 0.0, residual)
            loss += 0.5 * float(np.minimum(residual**2, _CAP).sum())
            left += float((residual**2).sum())
            whole += float((series**2).sum())
        losses.append(loss)
        fits.append(1 - left / max(whole, 1e-12))
    return np.array(losses), np.array(fits)


def _fit_length(values: npt.NDArray[T], length: int) -> npt.NDArray[T]:
    """Cut values to a length, or repeat the last row up to it."""
    return values[np.minimum(np.arange(length), len(values) - 1)]


def _without_slow(values: Array, width: int) -> Array:
    """Subtract the moving mean."""
    return values - moving_mean(values, width)


def _postures(table: Table) -> list[Array]:
    """Return the main components of all series, each of unit variance, for each episode."""
    pooled = np.concatenate(table.values)
    centre, spread = pooled.mean(axis=0), np.maximum(pooled.std(axis=0), 1e-9)
    scaled = [(values - centre) / spread for values in table.values]
    _, vectors = np.linalg.eigh(np.sum([each.T @ each for each in scaled], axis=0))
    basis = vectors[:, ::-1][:, :_POSTURES]
    projected = [each @ basis for each in scaled]
    return [
        each / np.maximum(np.std(np.concatenate(projected), axis=0), 1e-9) for each in projected
    ]


def _quadratic(postures: Array) -> Array:
    """Append all products of two components: images are no linear function of a posture."""
    first, second = np.triu_indices(postures.shape[1])
    return np.concatenate([postures, postures[:, first] * postures[:, second]], axis=1)


def _log_speed(table: Table, postures: Array) -> Array:
    """Return the logarithm of the mean speed of each component."""
    half = max(1, table.steps(_SPEED_S) // 3)
    squares = (shifted(postures, -half) - shifted(postures, half)) ** 2
    return np.asarray(np.log(0.05 + np.sqrt(moving_mean(squares, table.steps(_SPEED_S)))))


def _log_change(table: Table, change: Array, rate: float, length: int) -> Array:
    """Return the logarithm of the mean change of frames, on the grid."""
    filled = np.nan_to_num(change)
    mean = moving_mean(filled, max(1, round(_SPEED_S * rate)))
    # 0.3 grey levels: below, changes are noise of the film.
    return np.log(
        0.3 + np.interp(np.arange(length) / table.rate_hz, np.arange(len(mean)) / rate, mean)
    )


def _components(moving: Sequence[Array]) -> list[list[Array]]:
    """Return the main components of thumbnails, for each its values in each episode."""
    covariance = np.sum([values.T @ values for values in moving], axis=0)
    _, vectors = np.linalg.eigh(covariance)
    basis = vectors[:, ::-1][:, :_COMPONENTS]
    projected = [values @ basis for values in moving]
    return [[values[:, number] for values in projected] for number in range(basis.shape[1])]


def _share(links: Sequence[Link]) -> float:
    """Return the median over episodes of the share of variance that is predicted."""
    shares = [
        1 - float(np.var(link.residual)) / max(float(np.var(link.series)), 1e-12) for link in links
    ]
    return float(np.median(shares))
