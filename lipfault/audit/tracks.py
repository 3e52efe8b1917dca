"""Read the tracks of a data set: series in full, of images a few numbers for each frame."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from lipfault.audit.types import Array, Track, Tracks
from lipfault.data.episode import EpisodeSource
from lipfault.errors import LipfaultError

# Frames that are read together: 64 frames of 640 x 480 pixels are 59 MB.
_FRAMES = 64

# Blocks of a thumbnail along each side of an image.
_BLOCKS = 12


def read_tracks(source: EpisodeSource, episodes: Sequence[int] | None = None) -> Tracks:
    """Read all series of a data set, and reduce each frame to a thumbnail and its change.

    Args:
        source: The data set.
        episodes: Positions of the episodes to read, all if not given.

    Returns:
        The tracks; memory is independent of the size of the images.

    Raises:
        LipfaultError: If there is no episode or no modality.
    """
    if not source.episodes or not source.modalities:
        raise LipfaultError('the data set has no episodes or no modalities: nothing to audit')
    chosen = range(len(source.episodes)) if episodes is None else episodes
    return Tracks(
        modalities=dict(source.modalities),
        episodes=tuple(source.episodes[index].episode_id for index in chosen),
        tracks=tuple(
            {name: _track(source, index, name) for name in source.modalities} for index in chosen
        ),
    )


def _track(source: EpisodeSource, episode: int, name: str) -> Track:
    """Read one modality of one episode."""
    length = source.episodes[episode].lengths[name]
    mask = source.present(episode, name, 0, length)
    present = np.ones(length, bool) if mask is None else np.array(mask, bool)
    if source.modalities[name].kind == 'series':
        values = np.asarray(source.read(episode, name, 0, length), np.float64)
        present &= np.isfinite(values).all(axis=1)
        values = np.where(present[:, None], values, np.nan)
        return Track(values, present, np.empty(0))
    parts = list(_frames(source, episode, name, length))
    values = np.concatenate([thumbnails for thumbnails, _ in parts])
    change = np.concatenate([changes for _, changes in parts])
    values[~present] = np.nan
    change[~present | ~np.r_[True, present[:-1]]] = np.nan
    return Track(values, present, change)


def _frames(
    source: EpisodeSource, episode: int, name: str, length: int
) -> Iterator[tuple[Array, Array]]:
    """Yield thumbnails and changes of consecutive chunks of frames."""
    before: npt.NDArray[np.float32] | None = None
    for start in range(0, length, _FRAMES):
        frames = source.read(episode, name, start, min(start + _FRAMES, length))
        grey = frames.astype(np.float32).mean(axis=-1)
        stack = grey if before is None else np.concatenate([before, grey])
        changes = np.abs(np.diff(stack, axis=0)).mean(axis=(1, 2)).astype(np.float64)
        yield _thumbnails(grey), changes if before is not None else np.r_[np.nan, changes]
        before = grey[-1:]


def _thumbnails(grey: npt.NDArray[np.float32]) -> Array:
    """Return the mean of each block: (frames, height, width) to (frames, blocks)."""
    height, width = grey.shape[1:]
    rows = np.unique(np.linspace(0, height, min(_BLOCKS, height) + 1).astype(int))
    columns = np.unique(np.linspace(0, width, min(_BLOCKS, width) + 1).astype(int))
    sums = np.add.reduceat(np.add.reduceat(grey, rows[:-1], axis=1), columns[:-1], axis=2)
    means = sums / np.diff(rows)[:, None] / np.diff(columns)
    return means.reshape(len(grey), -1).astype(np.float64)
