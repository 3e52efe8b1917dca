"""Entry of a mapping: which fields of a source become one modality."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from lipfault.importers.source import FieldKind


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
        places: File and line of each key, for messages.
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
    places: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def place(self, key: str) -> str:
        """Return file and line of a key; `mapping` where they are not known.

        Args:
            key: One of `KEYS`.
        """
        return self.places.get(key, 'mapping')


KEYS = tuple(each.name for each in fields(Entry) if each.name not in ('name', 'places'))
"""Keys of an entry in the order in which they are written."""
