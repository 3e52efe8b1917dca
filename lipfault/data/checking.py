"""Check all samples of a recording."""

from collections.abc import Iterator
from dataclasses import dataclass

from lipfault.data.channel_statistics import ChannelStatistics
from lipfault.data.recording import Recording
from lipfault.data.validation import require_range
from lipfault.errors import LipfaultError

# Samples decoded at once: bounds the memory, 12 MB for frames of 64 x 64 pixels.
_CHUNK = 1000


@dataclass(frozen=True)
class Finding:
    """Sentence on a recording.

    Args:
        text: The sentence.
        is_error: Whether the recording violates the format; otherwise it is legal, but unlikely to
            be meant so.
    """

    text: str
    is_error: bool


def problems(recording: Recording) -> Iterator[str]:
    """Report each faulty signal of a recording in one sentence.

    Args:
        recording: An opened recording.

    Yields:
        The first error of each signal that has one.
    """
    return (finding.text for finding in findings(recording) if finding.is_error)


def findings(recording: Recording) -> Iterator[Finding]:
    """Report each faulty signal of a recording, then what is unlikely in its description.

    Opening the file has checked shapes, dtypes and durations. This function decodes every sample,
    which verifies the checksums; samples of a series must be finite and within the sensor's
    physical range plus six standard deviations of its noise, unless marked as missing. Unlikely are
    a range of an image outside [0, 1], a constant channel and a noise above the spread of a signal.

    Args:
        recording: An opened recording.

    Yields:
        The first error of each signal that has one, as they are found; then the others.
    """
    statistics = {name: ChannelStatistics(each) for name, each in recording.modalities.items()}
    for episode in range(len(recording.episodes)):
        for name in recording.modalities:
            try:
                _check_signal(recording, episode, name, statistics[name])
            except LipfaultError as error:
                yield Finding(str(error), is_error=True)
    remarks = [text for each in statistics.values() for text in each.remarks()]
    for text in [*_image_ranges(recording), *remarks]:
        yield Finding(f'{recording.path}: {text}', is_error=False)


def _image_ranges(recording: Recording) -> Iterator[str]:
    """Report the images whose range is not in units of [0, 1]."""
    for name, modality in recording.modalities.items():
        if modality.kind == 'image' and (min(modality.low) < 0 or max(modality.high) > 1):
            yield (
                f'modality {name!r}: the range {min(modality.low):g} to {max(modality.high):g} of '
                'an image is not in [0, 1], where a stored 255 is 1'
            )


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


def _check_signal(
    recording: Recording, episode: int, name: str, statistics: ChannelStatistics
) -> None:
    """Decode one signal in chunks; reject samples that are not finite or out of range."""
    info, modality = recording.episodes[episode], recording.modalities[name]
    for start in range(0, info.lengths[name], _CHUNK):
        stop = min(start + _CHUNK, info.lengths[name])
        # Images are decoded, too: a damaged chunk shows only then.
        samples = recording.read(episode, name, start, stop)
        present = recording.present(episode, name, start, stop)
        if modality.kind == 'series':
            where = f'{recording.path}, episode {info.episode_id!r}, modality {name!r}'
            require_range(modality, samples, present, where, start)
        statistics.add(samples if present is None else samples[present])
