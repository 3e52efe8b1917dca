"""Propose a mapping for a source: one modality for each field."""

import re
from collections.abc import Iterable, Mapping, Sequence

from lipfault.importers.describe import Description
from lipfault.importers.mapping import Entry
from lipfault.importers.source import Field

# What says where a field comes from instead of what it is.
_PREFIXES = ('observation.images.', 'observation.image.', 'observation.', 'obs/', 'obs.')


def propose(fields: Mapping[str, Field]) -> dict[str, Entry]:
    """Return a mapping that takes every field of a source as a modality of its own.

    Args:
        fields: Fields of the source by name.

    Returns:
        The entries by modality; names are made of letters, digits and underscores.
    """
    entries: dict[str, Entry] = {}
    for field in fields.values():
        name = unique(modality_name(field.name), entries)
        entries[name] = Entry(name=name, columns=(field.name,), kind=field.kind)
    return entries


def modality_name(field: str) -> str:
    """Return a name of a modality for a field.

    Args:
        field: Name of the field, such as `observation.images.cam_high` or `/imu/data`.

    Returns:
        An identifier, such as `cam_high` or `imu_data`.
    """
    for prefix in _PREFIXES:
        field = field.removeprefix(prefix)
    name = re.sub(r'\W+', '_', field, flags=re.ASCII).strip('_') or 'signal'
    return f'm_{name}' if name[0].isdigit() else name


def unique(name: str, taken: Iterable[str]) -> str:
    """Return a name that is not taken yet, with a number where needed.

    Args:
        name: The name.
        taken: Names in use.
    """
    used, found, number = set(taken), name, 2
    while found in used:
        found, number = f'{name}_{number}', number + 1
    return found


def completed(mapping: Mapping[str, Entry], descriptions: Mapping[str, Description]) -> list[Entry]:
    """Return a mapping with what the first pass has found, ready to be edited.

    Rates, channels and units are written as they would be used; values that mark missing readings
    and pairs of position and velocity are proposed. Estimated ranges and noise are not written:
    they would count as stated.

    Args:
        mapping: The entries.
        descriptions: Descriptions of their modalities.

    Returns:
        The entries in the same order.
    """
    entries = []
    for name, entry in mapping.items():
        found = descriptions[name]
        modality = found.modality
        entries.append(
            Entry(
                name=name,
                columns=entry.columns,
                kind=modality.kind,
                rate=modality.rate_hz,
                units=entry.units if modality.kind == 'image' else _units(modality.units),
                missing=tuple(sorted({*entry.missing, *(value for value, _ in found.sentinels)})),
                offset=entry.offset,
                groups=entry.groups or _groups(found),
                derived=entry.derived,
                channels=entry.channels,
                low=entry.low,
                high=entry.high,
                noise=entry.noise,
                quantum=entry.quantum,
            )
        )
    return entries


def _units(units: Sequence[str]) -> str | tuple[str, ...]:
    """Return one unit for all channels where they are equal."""
    return units[0] if len(set(units)) == 1 else tuple(units)


def _groups(description: Description) -> dict[str, tuple[str, ...]]:
    """Return a sensor for each pair of position and velocity, each channel in one only."""
    groups: dict[str, tuple[str, ...]] = {}
    taken: set[str] = set()
    for pair in description.velocities:
        if not taken & set(pair):
            groups[pair[0]] = pair
            taken |= set(pair)
    return groups


def remarks(description: Description) -> list[str]:
    """Return what a user should know about a modality, one sentence each.

    Args:
        description: The modality.
    """
    found = []
    modality = description.modality
    if description.constant:
        found.append(f'constant: {", ".join(description.constant)}')
    found += [f'equal in all values: {a} and {b}' for a, b in description.duplicates]
    found += [
        f'{b} is the rate of change of {a}: one sensor? (groups)' for a, b in description.velocities
    ]
    found += [
        f'{value:g} marks a missing reading, by all appearances: {count} times (missing)'
        for value, count in description.sentinels
    ]
    if description.estimated:
        noise = ', '.join(f'{value:.2g}' for value in modality.noise)
        found.append(f'estimated: {", ".join(description.estimated)}; noise {noise}')
    return found
