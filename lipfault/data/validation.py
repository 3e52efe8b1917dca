"""Checks of samples, the same for writing, reading and checking a recording."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lipfault.errors import LipfaultError
from lipfault.modality import Modality

# Tolerance beyond the physical range, in standard deviations of the sensor noise: white noise
# exceeds it in 2 of 10^9 samples.
_NOISE_SIGMAS = 6.0


def dtype_of(modality: Modality) -> np.dtype[Any]:
    """Return the element type of a modality on disk.

    Args:
        modality: The modality.

    Returns:
        uint8 for images, float32 for series.

    Example:
        >>> imu = Modality('imu', 'series', 100.0, ('ax',), ('m/s^2',), (-20.0,), (20.0,), (0.1,))
        >>> dtype_of(imu)
        dtype('float32')
    """
    return np.dtype(np.uint8 if modality.kind == 'image' else np.float32)


def sample_shape(modality: Modality) -> tuple[int, ...]:
    """Return the shape of one sample on disk.

    Args:
        modality: The modality.

    Returns:
        (height, width, channel) for a frame, (channel,) for a step of a series.
    """
    return (*(modality.size or ()), len(modality.channels))


def require_layout(modality: Modality, shape: tuple[int, ...], dtype: np.dtype, where: str) -> None:
    """Reject samples of the wrong element type or shape.

    Args:
        modality: Description of the samples.
        shape: Shape found, (steps, ...).
        dtype: Element type found.
        where: File, episode and modality, for messages.

    Raises:
        LipfaultError: If element type or shape differs from the description.
    """
    if dtype != dtype_of(modality):
        raise LipfaultError(f'{where}: dtype must be {dtype_of(modality)}, got {dtype}')
    expected = sample_shape(modality)
    if shape[1:] != expected or not shape or shape[0] == 0:
        wanted = ', '.join(['steps > 0', *map(str, expected)])
        raise LipfaultError(f'{where}: shape must be ({wanted}), got {tuple(shape)}')


def require_mask(shape: tuple[int, ...], dtype: np.dtype, length: int, where: str) -> None:
    """Reject a presence mask of the wrong element type or shape.

    Args:
        shape: Shape found.
        dtype: Element type found.
        length: Number of samples of the modality.
        where: File, episode and mask, for messages.

    Raises:
        LipfaultError: If the mask is not (length,) bool.
    """
    if shape != (length,) or dtype != np.bool_:
        raise LipfaultError(f'{where} must be ({length},) bool, got {shape} {dtype}')


def require_stamps(shape: tuple[int, ...], dtype: np.dtype, length: int, where: str) -> None:
    """Reject time stamps of the wrong element type or shape.

    Args:
        shape: Shape found.
        dtype: Element type found.
        length: Number of samples of the modality.
        where: File, episode and stamps, for messages.

    Raises:
        LipfaultError: If the stamps are not (length,) float64.
    """
    if shape != (length,) or dtype != np.float64:
        raise LipfaultError(f'{where} must be ({length},) float64, got {shape} {dtype}')


def require_finite(
    modality: Modality,
    samples: npt.NDArray[np.float32],
    present: npt.NDArray[np.bool_] | None,
    where: str,
    first_step: int = 0,
) -> None:
    """Reject NaN and Inf in samples of a series that are not marked as missing.

    Args:
        modality: The series.
        samples: (steps, channel) float32.
        present: (steps,) bool, false where a sample is missing; `None` if none is.
        where: File, episode and modality, for messages.
        first_step: Step number of the first sample.

    Raises:
        LipfaultError: If there is such a sample; names its step and channel.
    """
    bad = ~np.isfinite(samples)
    if present is not None:
        bad &= present[:, None]
    if (found := _first_true(bad)) is not None:
        value, step = samples[found], first_step + found[0]
        raise LipfaultError(
            f'{where}: {value} at step {step} ({step / modality.rate_hz:.3f} s), channel '
            f'{modality.channels[found[1]]!r}; mark missing samples in the _present array'
        )


def require_range(
    modality: Modality, samples: npt.NDArray[np.float32], where: str, first_step: int = 0
) -> None:
    """Reject samples of a series outside the sensor's physical range.

    A value may exceed the range by six standard deviations of the sensor noise.

    Args:
        modality: The series.
        samples: (steps, channel) float32; NaN passes.
        where: File, episode and modality, for messages.
        first_step: Step number of the first sample.

    Raises:
        LipfaultError: If there is such a sample; names its step, channel, value and range.
    """
    slack = _NOISE_SIGMAS * np.asarray(modality.noise)
    low, high = np.asarray(modality.low) - slack, np.asarray(modality.high) + slack
    found = _first_true((samples < low) | (samples > high))
    if found is None:
        return
    step, channel = found
    limits = f'{modality.low[channel]:g} to {modality.high[channel]:g}'
    raise LipfaultError(
        f'{where}: {samples[found]:g} {modality.units[channel]} at step {first_step + step}, '
        f'channel {modality.channels[channel]!r}, is outside the range {limits}'
    )


def require_same_duration(
    modalities: Mapping[str, Modality], lengths: Mapping[str, int], where: str
) -> None:
    """Reject an episode whose modalities end more than one sample of the slowest apart.

    Args:
        modalities: The modalities by name.
        lengths: Number of samples of each modality.
        where: File and episode, for messages.

    Raises:
        LipfaultError: If the durations differ by more; names the shortest and the longest modality.
    """
    durations = {name: lengths[name] / modalities[name].rate_hz for name in modalities}
    shortest, longest = (
        min(durations, key=durations.__getitem__),
        max(durations, key=durations.__getitem__),
    )
    slack = 1.0 / min(modality.rate_hz for modality in modalities.values())
    # 1e-9: relative rounding error of quotients of float64.
    if durations[longest] - durations[shortest] > slack * (1 + 1e-9):
        raise LipfaultError(
            f'{where}: {shortest!r} lasts {durations[shortest]:.3f} s but {longest!r} lasts '
            f'{durations[longest]:.3f} s; they may differ by one sample ({slack:.3f} s)'
        )


def _first_true(bad: npt.NDArray[np.bool_]) -> tuple[int, int] | None:
    """Return (step, channel) of the first true entry of (steps, channel), or `None`."""
    if not bad.any():
        return None
    step, channel = (int(i) for i in np.argwhere(bad)[0])
    return step, channel
