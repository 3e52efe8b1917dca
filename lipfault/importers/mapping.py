"""Which fields of a source become which modality: a mapping, and its YAML text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from lipfault.errors import LipfaultError
from lipfault.importers.mapping_values import checked, names_of
from lipfault.importers.source import FieldKind
from lipfault.importers.yaml_lines import Lines, read_lines


@dataclass(frozen=True)
class Entry:
    """Mapping of one modality.

    A value of each channel is one number for all, a list with one for each, or a dictionary by
    channel; what is None is taken from the source or estimated from the values.

    Args:
        name: Name of the modality.
        columns: Fields of the source: `field` for all its channels, `field[channel]`,
            `field[3]`, or `field[0:14]` for some.
        kind: `series` or `image`; that of the field if not given.
        rate: Samples per second; measured if not given. Another rate than the source's resamples.
        channels: New names of the channels.
        units: Unit of each channel.
        low: Lower end of the physical range of each channel.
        high: Upper end of the physical range of each channel.
        noise: Standard deviation of the noise of each channel.
        quantum: Step of the values of each channel.
        missing: Values that mark a missing reading, such as -999.
        offset: Seconds added to the time stamps, for a sensor with another clock or a known delay.
        groups: Channels of each physical sensor by its name.
        derived: Channels that are computed from others.
    """

    name: str
    columns: tuple[str, ...]
    kind: FieldKind | None = None
    rate: float | None = None
    channels: tuple[str, ...] | None = None
    units: Any = None
    low: Any = None
    high: Any = None
    noise: Any = None
    quantum: Any = None
    missing: tuple[float, ...] = ()
    offset: float = 0.0
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    derived: tuple[str, ...] = ()


KEYS = tuple(each.name for each in fields(Entry) if each.name != 'name')
"""Keys of an entry in the order in which they are written."""


def read_mapping(path: str | Path) -> dict[str, Entry]:
    """Read a mapping.

    Args:
        path: A YAML file: `modality: {columns: [...], kind: ..., rate: ..., ...}`.

    Returns:
        The entries by modality.

    Raises:
        LipfaultError: If the file is missing or no YAML, a key is unknown or twice, or a value has
            another type; the message names line and key.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise LipfaultError(f'mapping {path} cannot be read: {error}') from error
    return parse_mapping(text, str(path))


def parse_mapping(text: str, where: str = 'mapping') -> dict[str, Entry]:
    """Parse the YAML text of a mapping, see `read_mapping`.

    Args:
        text: The text.
        where: Name of the file, for messages.

    Returns:
        The entries by modality.

    Raises:
        LipfaultError: As of `read_mapping`.
    """
    lines = read_lines(text, where)
    if not isinstance(lines.value, dict) or not lines.value:
        raise LipfaultError(f'{where}: must hold modalities, each with its columns')
    return {name: _entry(str(name), lines.below(name)) for name in lines.value}


def _entry(name: str, lines: Lines) -> Entry:
    """Convert the lines of one modality."""
    if not name.isidentifier():
        raise lines.error(
            f'modality {name!r}: a name must consist of letters, digits and underscores'
        )
    if not isinstance(lines.value, dict):
        raise lines.error(f'{name}: must hold columns, kind, rate, ..., got {lines.value!r}')
    for key in lines.value:
        if key not in KEYS:
            raise lines.below(key).error(
                f'{name}: there is no key {key!r}; there are {", ".join(KEYS)}'
            )
    if not lines.value.get('columns'):
        raise lines.error(f'{name}: needs columns')
    values = {key: checked(name, key, lines.below(key)) for key in lines.value}
    entry = Entry(name=name, **{key: value for key, value in values.items() if value is not None})
    twice = sorted({each for each in entry.columns if entry.columns.count(each) > 1})
    if twice:
        raise lines.below('columns').error(f'{name}: column {twice[0]!r} is named twice')
    return entry


def write_mapping(entries: Sequence[Entry], notes: Mapping[str, Sequence[str]]) -> str:
    """Write a mapping as YAML.

    Args:
        entries: The modalities.
        notes: Remarks on a modality, written as comments above it; those of '' above all.

    Returns:
        The text; `parse_mapping` gives the entries back.
    """
    parts = [_comments(notes.get('', ()))]
    for entry in entries:
        plain = Entry(entry.name, ())
        kept = {
            key: names_of(getattr(entry, key))
            for key in KEYS
            if getattr(entry, key) != getattr(plain, key)
        }
        text = yaml.safe_dump(
            {entry.name: kept}, sort_keys=False, allow_unicode=True, default_flow_style=None,
            width=100,
        )  # fmt: skip
        parts.append(_comments(notes.get(entry.name, ())) + text)
    return '\n'.join(part for part in parts if part)


def _comments(lines: Sequence[str]) -> str:
    return ''.join(f'# {line}\n' for line in lines)
