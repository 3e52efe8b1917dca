"""Resolve the columns of a mapping against the fields of a source."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lipfault.errors import LipfaultError
from lipfault.importers.entry import Entry
from lipfault.importers.source import Field, FieldKind

_RANGE = re.compile(r'(\d*):(\d*)')


@dataclass(frozen=True)
class Part:
    """Channels of one field, in the order of the mapping.

    Args:
        field: The field.
        channels: Number of each channel in the field.
    """

    field: Field
    channels: tuple[int, ...]

    @property
    def whole(self) -> bool:
        """Return whether all channels are taken in their order."""
        return self.channels == tuple(range(len(self.field.channels)))


@dataclass(frozen=True)
class Selection:
    """A modality of a mapping with the fields that it refers to.

    Args:
        entry: Entry of the mapping.
        kind: `series` or `image`.
        parts: Consecutive channels of one field each.
        channels: Name of each channel of the modality.
        units: Unit of each channel.
    """

    entry: Entry
    kind: FieldKind
    parts: tuple[Part, ...]
    channels: tuple[str, ...]
    units: tuple[str, ...]

    def each(self, key: str) -> tuple[Any, ...] | None:
        """Return the value of each channel that the mapping states.

        Args:
            key: `low`, `high`, `noise`, `quantum` or `units`.

        Returns:
            A value for each channel, None for a channel of which the mapping states none; None if
            it states none at all.

        Raises:
            LipfaultError: If there are too many or too few, or a channel is unknown.
        """
        value = getattr(self.entry, key)
        return None if value is None else _spread(self.entry, key, self.channels)


def select(mapping: Mapping[str, Entry], fields: Mapping[str, Field]) -> list[Selection]:
    """Resolve all columns of a mapping.

    Args:
        mapping: Entries by modality.
        fields: Fields of the source by name.

    Returns:
        The selections in the order of the mapping.

    Raises:
        LipfaultError: If there is no such field or channel, a channel is taken twice, or kinds
            differ; names modality and column.
    """
    owner: dict[tuple[str, int], str] = {}
    found = []
    for entry in mapping.values():
        selection = _select(entry, fields)
        found.append(selection)
        for part in selection.parts:
            for channel in part.channels:
                key = (part.field.name, channel)
                if key in owner:
                    column = f'{part.field.name}[{part.field.channels[channel]}]'
                    raise LipfaultError(
                        f'{entry.place("columns")}: column {column} is '
                        f'taken twice: by {owner[key]!r} and by {entry.name!r}'
                    )
                owner[key] = entry.name
    return found


def _select(entry: Entry, fields: Mapping[str, Field]) -> Selection:
    """Resolve the columns of one modality."""
    parts: list[Part] = []
    for column in entry.columns:
        field, channels = _column(entry, column, fields)
        if parts and parts[-1].field is field:
            parts[-1] = Part(field, parts[-1].channels + channels)
        else:
            parts.append(Part(field, channels))
    kinds = {part.field.kind for part in parts}
    kind = parts[0].field.kind
    if len(kinds) > 1 or entry.kind not in (None, kind):
        raise LipfaultError(
            f'{entry.place("kind" if entry.kind else "columns")}: {entry.name}: '
            f'columns are of kind {" and ".join(sorted(kinds))}'
            + (f', stated is {entry.kind}' if entry.kind else '; a modality has one kind')
        )
    if kind == 'image' and (len(parts) > 1 or not parts[0].whole):
        raise LipfaultError(
            f'{entry.place("columns")}: {entry.name}: an image takes one field with all its colours'
        )
    return _named(entry, kind, tuple(parts))


def _named(entry: Entry, kind: FieldKind, parts: tuple[Part, ...]) -> Selection:
    """Name the channels; those of several fields with the field in front where needed."""
    names = [part.field.channels[channel] for part in parts for channel in part.channels]
    if len(set(names)) < len(names):
        fields = [part.field.name for part in parts for _ in part.channels]
        names = [f'{field}.{name}' for field, name in zip(fields, names, strict=True)]
    units = [part.field.units[channel] or 'unknown' for part in parts for channel in part.channels]
    if entry.channels is not None:
        if len(entry.channels) != len(names) or len(set(entry.channels)) != len(names):
            raise LipfaultError(
                f'{entry.place("channels")}: {entry.name}.channels: needs {len(names)} '
                f'different names, got {len(entry.channels)}: {", ".join(entry.channels)}'
            )
        names = list(entry.channels)
    if entry.units is not None:
        stated = _spread(entry, 'units', tuple(names))
        units = [own or old for own, old in zip(stated, units, strict=True)]
    return Selection(entry, kind, parts, tuple(names), tuple(units))


def _column(
    entry: Entry, column: str, fields: Mapping[str, Field]
) -> tuple[Field, tuple[int, ...]]:
    """Return field and channel numbers of a column such as `state[0:7]`."""
    where = f'{entry.place("columns")}: {entry.name}'
    if column in fields:
        return fields[column], tuple(range(len(fields[column].channels)))
    field_name, bracket, rest = column.partition('[')
    if not bracket or field_name not in fields or not rest.endswith(']'):
        raise LipfaultError(f'{where}: there is no field {column!r}; there are {", ".join(fields)}')
    field, wanted = fields[field_name], rest[:-1]
    count = len(field.channels)
    if wanted in field.channels:
        return field, (field.channels.index(wanted),)
    if (limits := _RANGE.fullmatch(wanted)) is not None:
        start, stop = int(limits[1] or 0), int(limits[2] or count)
        if start < stop <= count:
            return field, tuple(range(start, stop))
    elif wanted.isdecimal() and int(wanted) < count:
        return field, (int(wanted),)
    raise LipfaultError(
        f'{where}: {field_name} has no channel {wanted!r}; there are 0 to {count - 1}: '
        f'{", ".join(field.channels)}'
    )


def _spread(entry: Entry, key: str, channels: tuple[str, ...]) -> tuple[Any, ...]:
    """Return a value for each channel from one value, a list, or a dictionary."""
    value, where = getattr(entry, key), f'{entry.place(key)}: {entry.name}.{key}'
    if isinstance(value, dict):
        if unknown := sorted(set(value) - set(channels)):
            raise LipfaultError(
                f'{where}: there is no channel {unknown[0]!r}; there are {", ".join(channels)}'
            )
        return tuple(value.get(channel) for channel in channels)
    if not isinstance(value, tuple):
        return (value,) * len(channels)
    if len(value) != len(channels):
        raise LipfaultError(
            f'{where}: needs one value, or one for each of the {len(channels)} channels, '
            f'got {len(value)}'
        )
    return value
