"""Check all samples of a recording."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from lipfault.data.recording import Recording
from lipfault.data.validation import require_range
from lipfault.errors import LipfaultError

# Samples decoded at once: bounds the memory, 12 MB for frames of 64 x 64 pixels.
_CHUNK = 1000


def problems(recording: Recording) -> Iterator[str]:
    """Report each faulty signal of a recording in one sentence.

    Opening the file has checked shapes, dtypes and durations. This function decodes every sample;
    those of a series must be finite unless marked as missing, and within the sensor's physical
    range plus six standard deviations of its noise.

    Args:
        recording: An opened recording.

    Yields:
        The first error of each signal that has one.
    """
    for episode in range(len(recording.episodes)):
        for name in recording.modalities:
            try:
                _check_signal(recording, episode, name)
            except LipfaultError as error:
                yield str(error)


def missing_share(recording: Recording) -> dict[str, float]:
    """Compute the share of missing samples of each modality.

    Args:
        recording: An opened recording.

    Returns:
        Shares in [0, 1] by modality.
    """
    shares = {}
    for name in recording.modalities:
        total = sum(info.lengths[name] for info in recording.episodes)
        masks = (
            recording.present(episode, name, 0, info.lengths[name])
            for episode, info in enumerate(recording.episodes)
        )
        shares[name] = sum(int((~mask).sum()) for mask in masks if mask is not None) / total
    return shares


def _check_signal(recording: Recording, episode: int, name: str) -> None:
    """Decode one signal in chunks; reject samples that are not finite or out of range."""
    info, modality = recording.episodes[episode], recording.modalities[name]
    for start in range(0, info.lengths[name], _CHUNK):
        stop = min(start + _CHUNK, info.lengths[name])
        # Images are decoded, too: a damaged chunk shows only then.
        samples: npt.NDArray[np.float32] = recording.read(episode, name, start, stop)
        if modality.kind == 'series':
            where = f'{recording.path}, episode {info.episode_id!r}, modality {name!r}'
            require_range(modality, samples, where, start)
