"""What a recording must fulfil, the same for writing, reading and checking."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lipfault.errors import LipfaultError
from lipfault.modality import Modality

_NOISE_SIGMAS = 6.0


def dtype_of(modality: Modality) -> np.dtype[Any]:
    """Element type on disk: uint8 for images, float32 for series.

    >>> dtype_of(Modality('imu', 'series', 100.0, ('ax',), ('m/s^2',), (-20.0,), (20.0,), (0.1,)))
    dtype('float32')
    """
    return np.dtype(np.uint8 if modality.kind == 'image' else np.float32)


def sample_shape(modality: Modality) -> tuple[int, ...]:
    """Shape of one sample on disk: (height, width, channel) of a frame, (channel,) of a step."""
    return (*(modality.size or ()), len(modality.channels))


def require_layout(modality: Modality, shape: tuple[int, ...], dtype: np.dtype, where: str) -> None:
    """Refuse samples of the wrong element type or shape.

    Args:
        modality: What the samples should be.
        shape: Shape found, (steps, ...).
        dtype: Element type found.
        where: File, episode and modality, for messages.

    Raises:
        LipfaultError: If one of the two differs from what the modality says.
    """
    if dtype != dtype_of(modality):
        raise LipfaultError(f'{where}: dtype must be {dtype_of(modality)}, got {dtype}')
    expected = sample_shape(modality)
    if shape[1:] != expected or not shape or shape[0] == 0:
        wanted = ', '.join(['steps > 0', *map(str, expected)])
        raise LipfaultError(f'{where}: shape must be ({wanted}), got {tuple(shape)}')


def require_finite(
    modality: Modality,
    samples: npt.NDArray[np.float32],
    present: npt.NDArray[np.bool_] | None,
    where: str,
    first_step: int = 0,
) -> None:
    """Refuse NaN and Inf in samples of a series that are not marked as missing.

    Args:
        modality: The series.
        samples: (steps, channel) float32.
        present: (steps,) bool, false where a sample is truly missing; `None` if none is.
        where: File, episode and modality, for messages.
        first_step: Step number of the first sample.

    Raises:
        LipfaultError: Naming the first such step and its channel.
    """
    bad = ~np.isfinite(samples)
    if present is not None:
        bad &= present[:, None]
    if bad.any():
        step, channel = (int(i) for i in np.argwhere(bad)[0])
        raise LipfaultError(
            f'{where}: {samples[step, channel]} at step {first_step + step} '
            f'({(first_step + step) / modality.rate_hz:.3f} s), channel '
            f'{modality.channels[channel]!r}; mark missing samples in the _present array'
        )


def require_range(
    modality: Modality, samples: npt.NDArray[np.float32], where: str, first_step: int = 0
) -> None:
    """Refuse samples of a series that lie outside the sensor's physical range.

    A value may be outside by six standard deviations of the sensor's noise.

    Args:
        modality: The series.
        samples: (steps, channel) float32; NaN passes.
        where: File, episode and modality, for messages.
        first_step: Step number of the first sample.

    Raises:
        LipfaultError: Naming the first such step, its channel, the value and the range.
    """
    slack = _NOISE_SIGMAS * np.asarray(modality.noise)
    low, high = np.asarray(modality.low) - slack, np.asarray(modality.high) + slack
    bad = (samples < low) | (samples > high)
    if bad.any():
        step, channel = (int(i) for i in np.argwhere(bad)[0])
        raise LipfaultError(
            f'{where}: {samples[step, channel]:g} {modality.units[channel]} at step '
            f'{first_step + step}, channel {modality.channels[channel]!r}, is outside the range '
            f'{modality.low[channel]:g} to {modality.high[channel]:g}'
        )


def require_same_duration(
    modalities: Mapping[str, Modality], lengths: Mapping[str, int], where: str
) -> None:
    """Refuse an episode whose modalities do not end together, within one sample of the slowest.

    Args:
        modalities: The modalities by name.
        lengths: Number of samples of each.
        where: File and episode, for messages.

    Raises:
        LipfaultError: Naming the shortest and the longest modality.
    """
    durations = {name: lengths[name] / modalities[name].rate_hz for name in modalities}
    shortest, longest = (
        min(durations, key=durations.__getitem__),
        max(durations, key=durations.__getitem__),
    )
    slack = 1.0 / min(modality.rate_hz for modality in modalities.values())
    if durations[longest] - durations[shortest] > slack * (1 + 1e-9):
        raise LipfaultError(
            f'{where}: {shortest!r} lasts {durations[shortest]:.3f} s but {longest!r} lasts '
            f'{durations[longest]:.3f} s; they may differ by one sample ({slack:.3f} s)'
        )
