"""Names and attributes of the recording format; docs/format.md is the specification.

The container is HDF5, see https://support.hdfgroup.org/documentation/hdf5/latest/.
"""

import json
from typing import Any

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
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise LipfaultError(
            f'{where}: /modalities/{name} has an attribute of the wrong type: {error}'
        ) from error
    except LipfaultError as error:
        raise LipfaultError(f'{where}: {error}') from error


def parse_parameters(text: str, where: str) -> dict[str, float | str]:
    """Parse the JSON text of an episode's parameters.

    Args:
        text: A JSON object.
        where: File and episode, for messages.

    Returns:
        The parameters by name.

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
