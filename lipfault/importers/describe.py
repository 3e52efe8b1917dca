"""Describe a modality from its mapping and from what the first pass has found."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lipfault.errors import LipfaultError
from lipfault.importers import estimate
from lipfault.importers.scan import PartScan
from lipfault.importers.selection import Selection
from lipfault.modality import Modality

# White of an image of 8 bits.
_WHITE = 255.0


@dataclass(frozen=True)
class Description:
    """A modality, and how certain its entries are.

    Args:
        modality: The modality.
        estimated: Names of the entries that are estimated from the values.
        constant: Channels that never change.
        duplicates: Pairs of channels with equal values.
        velocities: Pairs of a channel and its rate of change, candidates for one sensor.
        sentinels: Values that mark missing readings by all appearances, with their numbers.
        white: Value of a frame that becomes 255.
    """

    modality: Modality
    estimated: tuple[str, ...]
    constant: tuple[str, ...] = ()
    duplicates: tuple[tuple[str, str], ...] = ()
    velocities: tuple[tuple[str, str], ...] = ()
    sentinels: tuple[tuple[float, int], ...] = ()
    white: float = _WHITE


def describe(selection: Selection, parts: list[PartScan]) -> Description:
    """Describe a modality.

    Args:
        selection: Its mapping.
        parts: Findings on its parts.

    Returns:
        The description; what the mapping states is taken from there.

    Raises:
        LipfaultError: If no rate is stated and none can be measured, a channel has no finite
            value, or the mapping contradicts itself.
    """
    rate = selection.entry.rate or parts[0].clock.rate_hz
    if rate is None:
        raise LipfaultError(
            f'{selection.entry.name}: no rate can be measured from single samples; state `rate` in '
            'the mapping'
        )
    if selection.kind == 'image':
        return _image(selection, parts[0], rate)
    return _series(selection, parts, rate)


def _image(selection: Selection, scan: PartScan, rate: float) -> Description:
    """Describe an image."""
    field, count = scan.part.field, len(selection.channels)
    white = _WHITE
    if field.dtype != 'uint8':
        stated = selection.each('high')
        white = float(stated[0]) if stated else max(float(each.max()) for each in scan.frames)
    noise = estimate.image_noise(scan.frames, max(white, 1.0))
    given = selection.each('noise') or (None,) * count
    modality = Modality(
        name=selection.entry.name, kind='image', rate_hz=rate, channels=selection.channels,
        units=('1',) * count, low=(0.0,) * count, high=(1.0,) * count,
        noise=tuple(
            float(own if own is not None else found)
            for own, found in zip(given, noise, strict=True)
        ),
        size=field.size, groups=dict(selection.entry.groups), derived=selection.entry.derived,
    )  # fmt: skip
    return Description(modality, () if None not in given else ('noise',), white=max(white, 1.0))


def _series(selection: Selection, parts: list[PartScan], rate: float) -> Description:
    """Describe a series."""
    entry, names = selection.entry, selection.channels
    found: list[tuple[float, float, float, float]] = []
    notes: dict[str, list[Any]] = {'constant': [], 'duplicates': [], 'velocities': []}
    sentinels: dict[float, int] = {}
    first = 0
    for scan in parts:
        own = names[first : first + len(scan.part.channels)]
        found += _estimates(scan, own, entry.name)
        _notes(scan, own, notes)
        if scan.statistics is not None:
            for value, count in scan.statistics.found_sentinels().items():
                sentinels[value] = sentinels.get(value, 0) + count
        first += len(own)
    keys = ('low', 'high', 'noise', 'quantum')
    values: dict[str, Any] = {}
    estimated = []
    for number, key in enumerate(keys):
        stated = selection.each(key) or (None,) * len(names)
        if None in stated:
            estimated.append(key)
        values[key] = tuple(
            float(own if own is not None else each[number])
            for own, each in zip(stated, found, strict=True)
        )
    modality = Modality(
        name=entry.name, kind='series', rate_hz=rate, channels=names, units=selection.units,
        groups=dict(entry.groups), derived=entry.derived, **values,
    )  # fmt: skip
    return Description(
        modality, tuple(estimated), tuple(notes['constant']), tuple(notes['duplicates']),
        tuple(notes['velocities']), tuple(sorted(sentinels.items())),
    )  # fmt: skip


def _estimates(
    scan: PartScan, names: tuple[str, ...], modality: str
) -> list[tuple[float, float, float, float]]:
    """Return low, high, noise and quantum of each channel."""
    statistics = scan.statistics
    if statistics is None or not statistics.blocks:
        raise LipfaultError(f'{modality}: field {scan.part.field.name!r} has no sample')
    lows, highs = statistics.limits()
    odd = list(statistics.found_sentinels())
    blocks = [np.where(np.isin(block, odd), np.nan, block) for block in statistics.blocks]
    floors, steps = estimate.noise_floor(blocks), estimate.steps(blocks, statistics.whole)
    found = []
    for name, low, high, floor, step in zip(names, lows, highs, floors, steps, strict=True):
        if not low <= high:
            raise LipfaultError(
                f'{modality}: channel {name!r} has no finite value; leave it out of the mapping'
            )
        noise = estimate.noise_of(float(floor), step, float(low), float(high))
        ends = estimate.margins(float(low), float(high))
        # Of a constant channel any number is the step.
        grid = step if low < high else None
        found.append((*ends, noise, grid or estimate.spacing(*ends)))
    return found


def _notes(scan: PartScan, names: tuple[str, ...], notes: dict[str, list[Any]]) -> None:
    """Add constant and equal channels, and candidates for one sensor."""
    statistics = scan.statistics
    if statistics is None:
        return
    low, high = statistics.limits()
    notes['constant'] += [name for name, still in zip(names, low == high, strict=True) if still]
    notes['duplicates'] += [(names[a], names[b]) for a, b in statistics.duplicates()]
    notes['velocities'] += [(names[a], names[b]) for a, b in estimate.velocities(statistics.blocks)]
