"""Read the card of a checkpoint, in which a task describes itself in plain types."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from lipfault.errors import LipfaultError
from lipfault.modality import Modality

Sizes = TypeVar('Sizes')

_DAMAGE = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)
"""Errors of code that reads plain types of which one is missing or of another type."""


@dataclass
class Description:
    """Description of the data of a task.

    Args:
        modalities: Description of each modality.
        steps: Length of the window of each series, in samples.
    """

    modalities: dict[str, Modality]
    steps: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain types; `from_dict` is the inverse.

        Returns:
            Nested dictionaries for a checkpoint.
        """
        return {
            'modalities': {n: m.to_dict() for n, m in self.modalities.items()},
            'steps': dict(self.steps),
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> 'Description':
        """Rebuild a description.

        Args:
            fields: Output of `to_dict`.

        Returns:
            The description.

        Raises:
            LipfaultError: If an entry is missing or of another type, or contradicts another one.
        """
        with readable('description of the data'):
            modalities = {n: Modality.from_dict(m) for n, m in fields['modalities'].items()}
            steps = {n: int(s) for n, s in fields['steps'].items()}
        series = [n for n, modality in modalities.items() if modality.kind == 'series']
        if any(steps.get(name, 0) < 1 for name in series):
            raise LipfaultError(
                'the description of the data is damaged: it must hold the samples of a window of '
                f'each of {series}, got {steps}'
            )
        return cls(modalities, steps)


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Word the errors of reading an entry that is not as it was written.

    Args:
        what: Name of the entry, for the message.

    Yields:
        Nothing.

    Raises:
        LipfaultError: If an entry is missing or of another type.
    """
    try:
        yield
    except _DAMAGE as error:
        reason = f'{error} is missing' if isinstance(error, KeyError) else str(error)
        raise LipfaultError(f'the {what} is damaged: {reason}') from error


def sizes_from(kind: type[Sizes], card: Mapping[str, Any], key: str) -> Sizes:
    """Rebuild the settings of a part from the card of a checkpoint.

    Args:
        kind: A dataclass that checks the domains of its fields.
        card: The card.
        key: Entry of the card that holds the fields; lists for tuples.

    Returns:
        The settings; those that the card lacks have their defaults.

    Raises:
        LipfaultError: If the entry is missing or damaged, or of another version of lipfault.
    """
    found = card.get(key)
    if not isinstance(found, dict):
        raise LipfaultError(
            f'the card of the checkpoint has no {key!r}: it is damaged, or of an earlier version '
            'of lipfault; train the run again'
        )
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(map(str, found.keys() - known))
    if unknown:
        raise LipfaultError(
            f'this version of lipfault does not know the {key} settings {unknown}; train the run '
            'again'
        )
    tuples = {n: tuple(v) if isinstance(v, list) else v for n, v in found.items()}
    with readable(f'card of the checkpoint, {key},'):
        return kind(**tuples)
