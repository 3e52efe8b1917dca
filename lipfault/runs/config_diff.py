"""Compare two nested settings."""

from collections.abc import Iterable, Mapping
from typing import Any

MISSING = 'nothing'
"""What a message says in place of the value of a key that is not there."""


def flattened(settings: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """Flatten nested settings.

    Args:
        settings: Nested settings.
        prefix: Put before each key.

    Returns:
        Values by dotted key; a tuple becomes a list, as a YAML file would return it.

    Example:
        >>> flattened({'data': {'batch_size': 64}, 'seed': 0})
        {'data.batch_size': 64, 'seed': 0}
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flattened(value, f'{prefix}{key}.')
        else:
            flat[f'{prefix}{key}'] = list(value) if isinstance(value, tuple) else value
    return flat


def config_diff(
    before: Mapping[str, Any], now: Mapping[str, Any], ignored: Iterable[str] = ()
) -> list[str]:
    """Name the settings that have changed.

    Args:
        before: Nested settings.
        now: Nested settings.
        ignored: Keys, or beginnings of keys up to a dot, that are not compared.

    Returns:
        One phrase for each dotted key whose value has changed, in the order of the keys.

    Example:
        >>> config_diff({'data': {'seed': 0}}, {'data': {'seed': 1}, 'run': 'b'}, ['run'])
        ['data.seed is 1, was 0']
    """
    old, new = flattened(before), flattened(now)
    skipped = tuple(ignored)
    beginnings = tuple(f'{key}.' for key in skipped)
    return [
        f'{key} is {new.get(key, MISSING)}, was {old.get(key, MISSING)}'
        for key in sorted(old | new)
        if old.get(key, MISSING) != new.get(key, MISSING)
        and key not in skipped
        and not key.startswith(beginnings)
    ]
