"""Names and attributes of the recording format; docs/format.md is the specification.

The container is HDF5, see https://support.hdfgroup.org/documentation/hdf5/latest/.
"""

import json
import math
from typing import Any

import h5py
import numpy as np

from lipfault.errors import LipfaultError
from lipfault.modality import Modality

FORMAT = 'lipfault-recording'
FORMAT_VERSION = 1
STAMPED_VERSION = 2
"""Version of a file that holds original time stamps; a file without them has version 1."""
VERSIONS = (FORMAT_VERSION, STAMPED_VERSION)
PRESENT_SUFFIX = '_present'
STAMP_SUFFIX = '_stamp_s'

# Attributes with one entry per channel.
_LISTS = ('channels', 'units', 'low', 'high', 'noise')

# What conversions and `json` raise for values of another type; deep nesting exceeds the stack.
_WRONG_TYPE = (
    TypeError, ValueError, LookupError, AttributeError, OverflowError, RecursionError,
)  # fmt: skip


def modality_to_attrs(modality: Modality) -> dict[str, Any]:
    """Convert a modality to the HDF5 attributes of `/modalities/<name>`.

    Args:
        modality: The modality.

    Returns:
        The attributes by name; `attrs_to_modality` is the inverse.
    """
    fields = modality.to_dict()
    # A stored quantum counts as stated.
    del fields['name'], fields['quantum_inferred']
    # HDF5 attributes have no null value: a series lacks the attribute.
    for key in ('size', 'quantum', 'groups', 'derived', 'chain'):
        if not fields[key]:
            del fields[key]
        elif isinstance(fields[key], dict):
            fields[key] = json.dumps(fields[key])
    return fields


def attrs_to_modality(name: str, attrs: dict[str, Any], where: str) -> Modality:
    """Rebuild a modality from the HDF5 attributes of `/modalities/<name>`.

    Args:
        name: Name of the group.
        attrs: Attributes of the group.
        where: Path of the file, for messages.

    Returns:
        The modality.

    Raises:
        LipfaultError: If an attribute is missing or has the wrong type, or the description
            contradicts itself.
    """
    for key in ('kind', 'rate_hz', *_LISTS):
        if key not in attrs:
            raise LipfaultError(f'{where}: /modalities/{name} lacks the attribute {key!r}')
    for key in (*_LISTS, 'quantum', 'derived'):
        if key in attrs and not isinstance(attrs[key], list):
            raise LipfaultError(
                f'{where}: /modalities/{name}: {key!r} must be a list, with one entry for '
                f'each channel it describes, got {attrs[key]!r}'
            )
    try:
        fields = {'size': None, **attrs, 'name': name}
        for key in ('groups', 'chain'):
            if key in attrs:
                fields[key] = json.loads(attrs[key])
        return Modality.from_dict(fields)
    except _WRONG_TYPE as error:
        raise LipfaultError(
            f'{where}: /modalities/{name} has an attribute of the wrong type: {error}'
        ) from error
    except LipfaultError as error:
        raise LipfaultError(f'{where}: {error}') from error


def parse_parameters(text: object, where: str) -> dict[str, float | str]:
    """Parse the JSON text of an episode's parameters.

    Args:
        text: A JSON object of numbers and text.
        where: File and episode, for messages.

    Returns:
        The parameters by name.

    Raises:
        LipfaultError: If the text is not such a JSON object.
    """
    try:
        parameters = json.loads(str(text))
    except (ValueError, RecursionError) as error:
        raise LipfaultError(f'{where}: attribute "parameters" is not JSON: {error}') from error
    if not isinstance(parameters, dict):
        raise LipfaultError(f'{where}: attribute "parameters" must be a JSON object, got {text!r}')
    return plain_parameters(parameters, where)


def plain_parameters(parameters: dict[str, Any], where: str) -> dict[str, float | str]:
    """Convert the parameters of an episode to plain types.

    Args:
        parameters: Numbers and text by name; NumPy scalars are numbers.
        where: File and episode, for messages.

    Returns:
        The parameters as Python numbers and text.

    Raises:
        LipfaultError: If a value is no finite number and no text.
    """
    plain = {
        str(name): value.item() if isinstance(value, np.generic) else value
        for name, value in parameters.items()
    }
    for name, value in plain.items():
        if not isinstance(value, str) and not _is_finite(value):
            # Python refuses to print an integer of many digits.
            found = 'a huge integer' if isinstance(value, int) else repr(value)
            raise LipfaultError(
                f'{where}: parameter {name!r} must be a finite number or text, got {found}'
            )
    return plain


def _is_finite(value: object) -> bool:
    """Return whether a value is a number that float64 can hold."""
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        return False


def fixed_text(value: object) -> object:
    """Convert text to a type of fixed length, which lies with the description of its object.

    HDF5 guards the descriptions of objects by a checksum. Text of variable length lies in a heap
    without one.

    Args:
        value: Value of an attribute: text, list of texts, or anything else.

    Returns:
        Text as UTF-8 of fixed length; any other value as it is.
    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts) or not texts:
        return value
    encoded = [text.encode() for text in texts]
    dtype = h5py.string_dtype('utf-8', max(1, *map(len, encoded)))
    return np.array(encoded[0] if isinstance(value, str) else encoded, dtype=dtype)
