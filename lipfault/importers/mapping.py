"""Which fields of a source become which modality: a mapping, and its YAML text."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from lipfault.errors import LipfaultError
from lipfault.importers.entry import KEYS, Entry
from lipfault.importers.mapping_values import checked, names_of
from lipfault.importers.yaml_lines import Lines, read_lines


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
        reason = getattr(error, 'strerror', None) or error
        raise LipfaultError(f'mapping {path} cannot be read: {reason}') from error
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
    places = {key: lines.below(key).place for key in values}
    stated = {key: value for key, value in values.items() if value is not None}
    entry = Entry(name=name, places=places, **stated)
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
