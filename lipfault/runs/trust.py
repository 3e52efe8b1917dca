"""Classes that the files of a run name, and that are imported only with the user's consent."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from lipfault.errors import LipfaultError

TRUSTED = ('lipfault', 'torch', 'lightning')
"""Packages whose classes a run may name."""

OPTION = 'trust_run_code'
"""Option and argument by which a user consents, as `trust_remote_code` of Hugging Face."""

_CLASS_PATH = re.compile(r'[A-Za-z_]\w*(\.[A-Za-z_]\w*)+')


def is_foreign(path: object) -> bool:
    """Return whether a value names a class or module outside the trusted packages.

    Args:
        path: A value where a class path may stand.
    """
    return (
        isinstance(path, str)
        and _CLASS_PATH.fullmatch(path) is not None
        and path.split('.')[0] not in TRUSTED
    )


def foreign_classes(settings: Mapping[str, Any]) -> dict[str, str]:
    """Find the classes outside the trusted packages that the settings of a run name.

    Args:
        settings: Nested settings in plain types.

    Returns:
        Class path by dotted key.

    Example:
        >>> foreign_classes({'model': {'init_args': {'block': {'kind': 'mine.Block'}}}})
        {'model.init_args.block.kind': 'mine.Block'}
    """
    return dict(_named(settings, ''))


def require_trusted(settings: Mapping[str, Any], where: str, consent: bool) -> None:
    """Refuse settings that name a foreign class, unless the user has consented.

    Args:
        settings: Nested settings in plain types.
        where: File for the message.
        consent: Whether the user trusts the code that the run names.

    Raises:
        LipfaultError: Names the file, the key and the class.
    """
    found = {} if consent else foreign_classes(settings)
    for key, path in found.items():
        raise LipfaultError(
            f'{where} names the class {path} ({key}), which is outside {", ".join(TRUSTED)}: to '
            f'import it runs its code. If you trust this run, consent with {OPTION}=true'
        )


def _named(value: Any, key: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401
    """Yield the foreign class paths below a value with their keys."""
    last = key.rsplit('.', 1)[-1]
    if isinstance(value, Mapping):
        for name, below in value.items():
            path = f'{key}.{name}' if key else str(name)
            # Faults of a user's own are named in keys, too.
            if _of_faults(key) and is_foreign(name):
                yield key, str(name)
            yield from _named(below, path)
    elif isinstance(value, list | tuple):
        for below in value:
            yield from _named(below, key)
    elif is_foreign(value) and (last in ('class_path', 'kind', 'callbacks') or _of_faults(key)):
        yield key, str(value)


def _of_faults(key: str) -> bool:
    """Return whether a key is of the settings of the faults."""
    return key == 'faults' or key.startswith('faults.') or '.faults' in key
