"""Write episodes to a recording file."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import numpy.typing as npt

from lipfault.data.episode import Episode
from lipfault.data.layout import (
    FORMAT,
    FORMAT_VERSION,
    PRESENT_SUFFIX,
    STAMP_SUFFIX,
    modality_to_attrs,
)
from lipfault.data.streaming import SignalStream, write_stream
from lipfault.data.validation import (
    require_finite,
    require_layout,
    require_mask,
    require_range,
    require_same_duration,
    sample_shape,
)
from lipfault.errors import LipfaultError
from lipfault.modality import Modality
from lipfault.runs.atomic import Sink, replacing

Compression = Literal['none', 'lzf', 'gzip']

# Oldest and newest HDF5 format: the fixed-array chunk indices of 1.10 cost 16 bytes a frame, the
# B-trees of older formats about 100.
_LIBVER = ('v110', 'v110')

# Steps of a series in a chunk: about one window of 1 s at 100 Hz.
_CHUNK_STEPS = 128

# Most bytes of frames in a chunk with gzip; a shuffled read decodes a whole chunk for one frame.
_CHUNK_BYTES = 1 << 17


def write_recording(
    path: str | Path,
    modalities: Sequence[Modality],
    episodes: Iterable[Episode],
    attributes: Mapping[str, str | int | float] | None = None,
    *,
    compression: Compression = 'lzf',
    overwrite: bool = False,
) -> int:
    """Write episodes to a new recording file, completely or not at all.

    Series are rounded to `Modality.steps`. Each episode is checked before it is written;
    only one episode is held in memory.

    Args:
        path: Path of the file, usually ending in `.h5`.
        modalities: Modalities that each episode must hold.
        episodes: The episodes; ids must be unique.
        attributes: Free attributes of the file, such as cell and seed.
        compression: `lzf` reads fastest, `gzip` (level 9) gives the smallest file.
        overwrite: Whether an existing file may be replaced.

    Returns:
        Number of episodes written.

    Raises:
        LipfaultError: If the file exists, the disk rejects a write, or an episode violates the
            format; no new file is left then, and an existing file stays unchanged.
    """
    path = Path(path)
    names = _unique_names(modalities)
    with replacing(path, overwrite) as temporary, closing(Sink(temporary)) as sink:
        with h5py.File(sink, 'w', libver=_LIBVER) as file:
            _write_header(file, names, attributes or {})
            count = 0
            for episode in episodes:
                _write_episode(file['episodes'], names, episode, compression, path)
                # A full disk ends a long simulation here, not after its last episode.
                sink.check(path)
                count += 1
        sink.check(path)
        if count == 0:
            raise LipfaultError(f'{path}: there is no episode to write')
    return count


def _unique_names(modalities: Sequence[Modality]) -> dict[str, Modality]:
    """Return modalities by name; reject none, duplicates and names that HDF5 cannot hold."""
    names = {modality.name: modality for modality in modalities}
    if not names or len(names) != len(modalities):
        given = [modality.name for modality in modalities]
        raise LipfaultError(f'modalities need unique names, at least one, got {given}')
    for name in names:
        if not name or '/' in name or name.endswith((PRESENT_SUFFIX, STAMP_SUFFIX)):
            raise LipfaultError(
                f'modality {name!r}: a name may hold no "/" nor end in {PRESENT_SUFFIX!r} or '
                f'{STAMP_SUFFIX!r}'
            )
    return names


def _write_header(
    file: h5py.File, modalities: Mapping[str, Modality], attributes: Mapping[str, str | int | float]
) -> None:
    """Write the root attributes and one group per modality."""
    file.attrs.update({**attributes, 'format': FORMAT, 'format_version': FORMAT_VERSION})
    for name, modality in modalities.items():
        # Keeps the attributes in the order of the specification.
        group = file.create_group(f'modalities/{name}', track_order=True)
        group.attrs.update(modality_to_attrs(modality))
    file.create_group('episodes')


def _check_episode(modalities: Mapping[str, Modality], episode: Episode, where: str) -> None:
    """Reject an episode that does not fit its modalities."""
    if set(episode.signals) != set(modalities):
        raise LipfaultError(
            f'{where}: must hold the modalities {sorted(modalities)}, got {sorted(episode.signals)}'
        )
    for name, modality in modalities.items():
        signal: npt.NDArray[Any] = episode.signals[name]
        if isinstance(signal, SignalStream):  # checked block by block
            continue
        present = episode.present.get(name)
        location = f'{where}, modality {name!r}'
        require_layout(modality, signal.shape, signal.dtype, location)
        if present is not None:
            require_mask(present.shape, present.dtype, len(signal), f'{location}: presence')
        if modality.kind == 'series':
            require_finite(modality, signal, present, location)
            require_range(modality, signal, location)
    lengths = {name: len(signal) for name, signal in episode.signals.items()}
    require_same_duration(modalities, lengths, where)


def _write_episode(
    parent: h5py.Group,
    modalities: Mapping[str, Modality],
    episode: Episode,
    compression: Compression,
    path: Path,
) -> None:
    """Check one episode and write it as a group of datasets."""
    where = f'{path}, episode {episode.episode_id!r}'
    if not episode.episode_id or '/' in episode.episode_id:
        raise LipfaultError(f'{where}: an id must not be empty nor hold "/"')
    if episode.episode_id in parent:
        raise LipfaultError(f'{where}: the id occurs twice')
    _check_episode(modalities, episode, where)
    group = parent.create_group(episode.episode_id)
    group.attrs['parameters'] = json.dumps(episode.parameters)
    for name, modality in modalities.items():
        signal, place = episode.signals[name], f'{where}, modality {name!r}'
        options = _options(modality, len(signal), compression)
        if isinstance(signal, SignalStream):
            write_stream(group, modality, signal, options, place)
            continue
        if modality.kind == 'series':
            signal = _rounded(signal, np.asarray(modality.steps))
        group.create_dataset(name, data=signal, **options)
        if name in episode.present:
            group.create_dataset(name + PRESENT_SUFFIX, data=episode.present[name])


def _options(modality: Modality, length: int, compression: Compression) -> dict[str, Any]:
    """Return chunks and filters of the dataset of a signal."""
    return {
        'chunks': _chunk_of(modality, length, compression),
        'compression': None if compression == 'none' else compression,
        'compression_opts': 9 if compression == 'gzip' else None,
        # Groups the bytes of equal significance: the zeroed mantissa bytes become long runs.
        'shuffle': modality.kind == 'series' and compression != 'none',
    }


def quantum_of(modality: Modality) -> npt.NDArray[np.float32]:
    """Return the steps to which the writer rounds a series.

    If the modality states no quantum, it is the largest power of two not above an eighth of the
    sensor noise: rounding adds at most 0.13 % to the variance of the noise, and the zeros at the
    end of each mantissa halve the compressed file.

    Args:
        modality: The series.

    Returns:
        (channel,) float32, in each channel's unit.

    Reference:
        Zender, "Bit Grooming: statistically accurate precision-preserving quantization with
        compression", Geoscientific Model Development 2016,
        https://doi.org/10.5194/gmd-9-3199-2016 (zeroing insignificant bits before compression).

    Example:
        >>> imu = Modality('imu', 'series', 100.0, ('ax',), ('m/s^2',), (-20.0,), (20.0,), (0.1,))
        >>> quantum_of(imu)
        array([0.0078125], dtype=float32)
    """
    return np.asarray(modality.steps, dtype=np.float32)


def _chunk_of(modality: Modality, length: int, compression: Compression) -> tuple[int, ...]:
    """Return the chunk shape for shuffled window reads.

    A chunk holds one frame, or up to 128 steps of a series. With gzip it holds up to a second of
    frames, at most 128 KiB: deflate encodes the still background as a reference to the preceding
    frame, which saves a quarter.

    Reference:
        Deutsch, "DEFLATE Compressed Data Format Specification", 1996,
        https://doi.org/10.17487/RFC1951.
    """
    shape, steps = sample_shape(modality), _CHUNK_STEPS
    if modality.kind == 'image':
        fits = min(round(modality.rate_hz), _CHUNK_BYTES // math.prod(shape))
        steps = fits if compression == 'gzip' else 1
    return (max(1, min(steps, length)), *shape)


def _rounded(signal: npt.NDArray[Any], quantum: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Round a series (steps, channel) to whole quanta."""
    # In float64, so that a quantum such as 0.01 gives the float32 next to each multiple.
    return (np.rint(signal / quantum) * quantum).astype(np.float32)
