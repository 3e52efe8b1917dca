"""Where things are in a recording file; docs/format.md says the same in words."""

import json
from typing import Any

import numpy as np

from lipfault.errors import LipfaultError
from lipfault.modality import Modality

FORMAT = 'lipfault-recording'
FORMAT_VERSION = 1
PRESENT_SUFFIX = '_present'


def dtype_of(modality: Modality) -> np.dtype[Any]:
    """Element type on disk: uint8 for images, float32 for series.

    >>> dtype_of(Modality('imu', 'series', 100.0, ('ax',), ('m/s^2',), (-20.0,), (20.0,), (0.1,)))
    dtype('float32')
    """
    return np.dtype(np.uint8 if modality.kind == 'image' else np.float32)


def sample_shape(modality: Modality) -> tuple[int, ...]:
    """Shape of one sample on disk: (height, width, channel) of a frame, (channel,) of a step."""
    return (*(modality.size or ()), len(modality.channels))


def quantum_of(modality: Modality) -> np.ndarray:
    """Steps to which the writer rounds a series, (channel,) float32, in each channel's unit.

    The largest power of two not above an eighth of the sensor's noise: rounding adds at most
    0.07 % to the noise's variance, and the zeros it leaves at the end of each mantissa halve the
    file.

    >>> imu = Modality('imu', 'series', 100.0, ('ax',), ('m/s^2',), (-20.0,), (20.0,), (0.1,))
    >>> quantum_of(imu)
    array([0.0078125], dtype=float32)
    """
    noise = np.asarray(modality.noise, dtype=np.float64)
    return np.exp2(np.floor(np.log2(noise / 8))).astype(np.float32)


def chunk_of(modality: Modality, length: int) -> tuple[int, ...]:
    """Chunk shape that fits shuffled window reads: one frame, or up to 128 steps of a series."""
    steps = 1 if modality.kind == 'image' else max(1, min(128, length))
    return (steps, *sample_shape(modality))


def modality_to_attrs(modality: Modality) -> dict[str, Any]:
    """HDF5 attributes of `/modalities/<name>`; `attrs_to_modality` is the inverse."""
    fields = modality.to_dict()
    del fields['name']
    if fields['size'] is None:
        del fields['size']
    return fields


def attrs_to_modality(name: str, attrs: dict[str, Any], where: str) -> Modality:
    """Rebuild a modality from the HDF5 attributes of `/modalities/<name>`.

    Args:
        name: Name of the group.
        attrs: Its attributes.
        where: The file, for messages.

    Raises:
        LipfaultError: If an attribute is missing or has the wrong type, or the description
            contradicts itself.
    """
    required = ('kind', 'rate_hz', 'channels', 'units', 'low', 'high', 'noise')
    missing = [key for key in required if key not in attrs]
    if missing:
        raise LipfaultError(f'{where}: /modalities/{name} lacks the attribute {missing[0]!r}')
    try:
        return Modality.from_dict({'size': None, **attrs, 'name': name})
    except (TypeError, ValueError, IndexError) as error:
        raise LipfaultError(
            f'{where}: /modalities/{name} has an attribute of the wrong type: {error}'
        ) from error
    except LipfaultError as error:
        raise LipfaultError(f'{where}: {error}') from error


def parse_parameters(text: str, where: str) -> dict[str, float | str]:
    """Episode parameters from their JSON text.

    Raises:
        LipfaultError: If the text is not a JSON object.
    """
    try:
        parameters = json.loads(text)
    except json.JSONDecodeError as error:
        raise LipfaultError(f'{where}: attribute "parameters" is not JSON: {error}') from error
    if not isinstance(parameters, dict):
        raise LipfaultError(f'{where}: attribute "parameters" must be a JSON object, got {text!r}')
    return parameters
