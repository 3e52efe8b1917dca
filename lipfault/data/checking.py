"""Read a whole recording and say what is wrong with it."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from lipfault.data.recording import Recording
from lipfault.data.validation import require_range
from lipfault.errors import LipfaultError

_SAMPLES_AT_ONCE = 1000


def problems(recording: Recording) -> Iterator[str]:
    """Everything wrong with the samples of a recording, one sentence for each signal at fault.

    That the file opens says already that shapes, dtypes and durations are right. Here every sample
    is decoded, and those of series must be finite unless marked as missing and lie in the sensor's
    physical range, give or take six standard deviations of its noise.

    Args:
        recording: An opened recording.

    Yields:
        The first fault of each signal that has one.
    """
    for episode in range(len(recording.episodes)):
        for name in recording.modalities:
            try:
                _check_signal(recording, episode, name)
            except LipfaultError as error:
                yield str(error)


def missing_share(recording: Recording) -> dict[str, float]:
    """Share of truly missing samples by modality."""
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
    """Decode one signal piece by piece; refuse what is not finite or out of range."""
    info, modality = recording.episodes[episode], recording.modalities[name]
    for start in range(0, info.lengths[name], _SAMPLES_AT_ONCE):
        stop = min(start + _SAMPLES_AT_ONCE, info.lengths[name])
        samples: npt.NDArray[np.float32] = recording.read(episode, name, start, stop)
        if modality.kind == 'series':
            where = f'{recording.path}, episode {info.episode_id!r}, modality {name!r}'
            require_range(modality, samples, where, start)
