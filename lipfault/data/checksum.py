"""Checksums of the contents of a recording, independent of how the file stores them."""

import hashlib
from typing import NamedTuple

import numpy as np

from lipfault.data.recording import Recording

# Digits of a checksum: 128 bits in hexadecimal.
_DIGITS = 32


class Checksum(NamedTuple):
    """Checksums of a recording or an episode.

    Args:
        series: Checksum of ids, parameters and all series, hexadecimal.
        images: Checksum of ids and all images, hexadecimal.
    """

    series: str
    images: str


def content_checksum(recording: Recording) -> Checksum:
    """Compute the checksums of a recording.

    They cover ids, parameters (nine significant digits) and the names, shapes, dtypes, samples and
    presence masks of the signals; neither attributes of the file nor compression or chunks.

    Args:
        recording: An opened recording.

    Returns:
        The checksums.
    """
    count = len(recording.episodes)
    return combined([episode_checksum(recording, episode) for episode in range(count)])


def combined(checksums: list[Checksum]) -> Checksum:
    """Combine the checksums of episodes.

    Args:
        checksums: Checksum of each episode, in the order of their ids.

    Returns:
        The checksums of a recording of these episodes.
    """
    series, images = hashlib.sha256(), hashlib.sha256()
    for checksum in checksums:
        series.update(checksum.series.encode())
        images.update(checksum.images.encode())
    return Checksum(series.hexdigest()[:_DIGITS], images.hexdigest()[:_DIGITS])


def episode_checksum(recording: Recording, episode: int) -> Checksum:
    """Compute the checksums of one episode.

    Args:
        recording: An opened recording.
        episode: Position in `recording.episodes`.

    Returns:
        The checksums.
    """
    info = recording.episodes[episode]
    hashes = {'series': hashlib.sha256(), 'image': hashlib.sha256()}
    for digest in hashes.values():
        digest.update(info.episode_id.encode())
    # Nine digits: the last bits of a float depend on the mathematics library.
    for name, value in sorted(info.parameters.items()):
        text = value if isinstance(value, str) else f'{value:.9g}'
        hashes['series'].update(f'|{name}={text}'.encode())
    for name, modality in sorted(recording.modalities.items()):
        samples = recording.read(episode, name, 0, info.lengths[name])
        present = recording.present(episode, name, 0, info.lengths[name])
        digest = hashes[modality.kind]
        for array in (samples,) if present is None else (samples, present):
            digest.update(f'|{name}{array.shape}{array.dtype.name}|'.encode())
            # Little-endian on every machine.
            digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder('<')).tobytes())
    return Checksum(*(hashes[kind].hexdigest()[:_DIGITS] for kind in ('series', 'image')))
