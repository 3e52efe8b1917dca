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
    modality_to_attrs,
)
from lipfault.data.validation import (
    require_finite,
    require_layout,
    require_range,
    require_same_duration,
    sample_shape,
)
from lipfault.errors import LipfaultError
from lipfault.modality import Modality
from lipfault.runs.atomic import Sink, replacing

Compression = Literal['none', 'lzf', 'gzip']

# Fixed-array chunk indices (HDF5 1.10) cost 16 bytes a frame, the older trees about 100.
_LIBVER = ('v110', 'v110')


def write_recording(
    path: str | Path,
    modalities: Sequence[Modality],
    episodes: Iterable[Episode],
    attributes: Mapping[str, str | int | float] | None = None,
    *,
    compression: Compression = 'lzf',
    overwrite: bool = False,
) -> int:
    """Write episodes one after the other into one new file, complete or not at all.

    Series are rounded to `quantum_of` their noise. Each episode is checked before it is written,
    and only one is held in memory.

    Args:
        path: The file to make, usually ending in `.h5`.
        modalities: What each episode must hold.
        episodes: The episodes; ids must be unique.
        attributes: Whatever should be known of the whole file, such as cell and seed.
        compression: `lzf` reads fastest, `gzip` (level 9) is smallest.
        overwrite: Whether an existing file may be replaced.

    Returns:
        Number of episodes written.

    Raises:
        LipfaultError: If the file exists, the disk refuses, or an episode does not fit; nothing
            is left behind then, and a file that existed stays as it was.
    """
    path = Path(path)
    names = _unique_names(modalities)
    with replacing(path, overwrite) as temporary, closing(Sink(temporary)) as sink:
        with h5py.File(sink, 'w', libver=_LIBVER) as file:
            _write_header(file, names, attributes or {})
            count = 0
            for episode in episodes:
                _write_episode(file['episodes'], names, episode, compression, path)
                sink.check(path)
                count += 1
        sink.check(path)
        if count == 0:
            raise LipfaultError(f'{path}: there is no episode to write')
    return count


def _unique_names(modalities: Sequence[Modality]) -> dict[str, Modality]:
    """Modalities by name; refuses none, twins and names that HDF5 cannot hold."""
    names = {modality.name: modality for modality in modalities}
    if not names or len(names) != len(modalities):
        given = [modality.name for modality in modalities]
        raise LipfaultError(f'modalities need unique names, at least one, got {given}')
    for name in names:
        if not name or '/' in name or name.endswith(PRESENT_SUFFIX):
            raise LipfaultError(
                f'modality {name!r}: a name may hold no "/" nor end in {PRESENT_SUFFIX!r}'
            )
    return names


def _write_header(
    file: h5py.File, modalities: Mapping[str, Modality], attributes: Mapping[str, str | int | float]
) -> None:
    """Root attributes and one group per modality."""
    file.attrs.update({**attributes, 'format': FORMAT, 'format_version': FORMAT_VERSION})
    for name, modality in modalities.items():
        group = file.create_group(f'modalities/{name}', track_order=True)
        group.attrs.update(modality_to_attrs(modality))
    file.create_group('episodes')


def _check_episode(modalities: Mapping[str, Modality], episode: Episode, where: str) -> None:
    """Refuse an episode that does not fit its modalities."""
    if set(episode.signals) != set(modalities):
        raise LipfaultError(
            f'{where}: must hold the modalities {sorted(modalities)}, got {sorted(episode.signals)}'
        )
    for name, modality in modalities.items():
        signal: npt.NDArray[Any] = episode.signals[name]
        present = episode.present.get(name)
        place = f'{where}, modality {name!r}'
        require_layout(modality, signal.shape, signal.dtype, place)
        if present is not None and (present.shape != signal.shape[:1] or present.dtype != bool):
            raise LipfaultError(
                f'{place}: presence must be ({signal.shape[0]},) bool, '
                f'got {present.shape} {present.dtype}'
            )
        if modality.kind == 'series':
            require_finite(modality, signal, present, place)
            require_range(modality, signal, place)
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
        _write_signal(group, modality, episode.signals[name], compression)
        if name in episode.present:
            group.create_dataset(name + PRESENT_SUFFIX, data=episode.present[name])


def _write_signal(
    group: h5py.Group, modality: Modality, signal: npt.NDArray[Any], compression: Compression
) -> None:
    """Write the samples of one modality as one dataset."""
    is_series = modality.kind == 'series'
    group.create_dataset(
        modality.name,
        data=_rounded(signal, quantum_of(modality)) if is_series else signal,
        chunks=_chunk_of(modality, len(signal), compression),
        compression=None if compression == 'none' else compression,
        compression_opts=9 if compression == 'gzip' else None,
        shuffle=is_series and compression != 'none',
    )


def quantum_of(modality: Modality) -> npt.NDArray[np.float32]:
    """Steps to which the writer rounds a series, (channel,) float32, in each channel's unit.

    The largest power of two not above an eighth of the sensor's noise: rounding adds at most
    0.13 % to the noise's variance, and the zeros it leaves at the end of each mantissa halve the
    file.

    >>> imu = Modality('imu', 'series', 100.0, ('ax',), ('m/s^2',), (-20.0,), (20.0,), (0.1,))
    >>> quantum_of(imu)
    array([0.0078125], dtype=float32)
    """
    noise = np.asarray(modality.noise, dtype=np.float64)
    return np.exp2(np.floor(np.log2(noise / 8))).astype(np.float32)


def _chunk_of(modality: Modality, length: int, compression: Compression) -> tuple[int, ...]:
    """Chunk shape that fits shuffled window reads: one frame, or up to 128 steps of a series.

    With gzip a chunk holds up to a second of frames, at most 128 KiB: deflate finds the still
    background in the frame before, which saves a quarter.
    """
    shape, steps = sample_shape(modality), 128
    if modality.kind == 'image':
        fits = min(round(modality.rate_hz), (1 << 17) // math.prod(shape))
        steps = fits if compression == 'gzip' else 1
    return (max(1, min(steps, length)), *shape)


def _rounded(signal: npt.NDArray[Any], quantum: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The series (steps, channel) rounded to whole quanta; exact, since quanta are powers of 2."""
    return (np.rint(signal / quantum) * quantum).astype(np.float32)
