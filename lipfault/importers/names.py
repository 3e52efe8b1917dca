"""Reject names that a source does not have."""

from collections.abc import Collection
from pathlib import Path

from lipfault.errors import LipfaultError


def require_names(
    path: Path, episode: str, episodes: Collection[str], field: str, fields: Collection[str]
) -> None:
    """Reject an episode or a field that a source does not have.

    Args:
        path: Path of the source.
        episode: Id of the episode.
        episodes: Ids that there are.
        field: Name of the field.
        fields: Names that there are.

    Raises:
        LipfaultError: If there is no such episode or field; names those that there are.
    """
    for what, name, known in (('episode', episode, episodes), ('field', field, fields)):
        if name not in known:
            listed = ', '.join(list(known)[:8]) + (', ...' if len(known) > 8 else '')
            raise LipfaultError(f'{path}: there is no {what} {name!r}; there are {listed}')
