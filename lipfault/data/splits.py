"""Splits by episode: the windows of one episode are all in one split."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from itertools import accumulate

from lipfault.errors import LipfaultError

SplitSpec = Mapping[str, float | list[str]]

EVERY_EPISODE = '*'
"""Name, in place of that of a split, of all episodes."""


def split_episodes(
    episode_ids: Sequence[str], splits: SplitSpec, seed: int = 0, fill: bool = False
) -> dict[str, list[str]]:
    """Assign whole episodes to splits.

    Splits given as lists of ids are filled first. The remaining episodes are shuffled and divided
    by the fractions of the other splits, which count relative to each other. Neither the order of
    the ids nor an additional split given as a list changes the shuffle.

    Args:
        episode_ids: Ids of all episodes of the recordings.
        splits: For each split its fraction of the episodes, or the list of their ids.
        seed: Seed of the shuffle.
        fill: Whether a split whose fraction rounds to no episode gets one of the largest split, if
            there are enough.

    Returns:
        For each split the sorted ids of its episodes, at least one, none in two splits.

    Raises:
        LipfaultError: If a fraction is not positive, an id is unknown or in two splits, or a split
            ends up without an episode.

    Example:
        >>> split_episodes(['a', 'b', 'c', 'd'], {'train': 0.5, 'test': ['b', 'c']})
        {'train': ['a', 'd'], 'test': ['b', 'c']}
    """
    listed = {name: list(ids) for name, ids in splits.items() if isinstance(ids, list)}
    fractions = {name: share for name, share in splits.items() if not isinstance(share, list)}
    taken = _require_disjoint(listed, set(episode_ids))
    rest = sorted(set(episode_ids) - taken)
    divided = _divide(rest, fractions, seed)
    if fill and len(rest) >= len(divided):
        _fill(divided)
    assigned = {name: sorted({**listed, **divided}[name]) for name in splits}
    for name, ids in assigned.items():
        if not ids:
            raise LipfaultError(
                f'split {name!r} has no episode: {len(episode_ids)} episodes, splits '
                f'{dict(splits)}; enlarge its share or record more episodes'
            )
    return assigned


def _require_disjoint(listed: Mapping[str, list[str]], known: set[str]) -> set[str]:
    """Return all listed ids; reject unknown ids and ids in two splits."""
    owner: dict[str, str] = {}
    for name, ids in listed.items():
        for episode_id in ids:
            if episode_id not in known:
                raise LipfaultError(
                    f'split {name!r}: there is no episode {episode_id!r}; the recordings hold '
                    f'{shortened(sorted(known))}'
                )
            if episode_id in owner:
                raise LipfaultError(
                    f'episode {episode_id!r} is in split {owner[episode_id]!r} and in {name!r}; '
                    'an episode may be in one split only'
                )
            owner[episode_id] = name
    return set(owner)


def _divide(ids: Sequence[str], fractions: Mapping[str, float], seed: int) -> dict[str, list[str]]:
    """Shuffle ids and cut them at the rounded cumulative fractions."""
    for name, share in fractions.items():
        if not 0 < share < math.inf:
            raise LipfaultError(f'split {name!r}: its share must be positive, got {share}')
    if not fractions:
        return {}
    shuffled = sorted(ids, key=lambda episode_id: _shuffle_key(episode_id, seed))
    # Cutting cumulative sums, not each fraction, leaves no episode over.
    edges = accumulate(fractions.values(), initial=0.0)
    cuts = [math.floor(edge / sum(fractions.values()) * len(ids) + 0.5) for edge in edges]
    return {
        name: shuffled[start:stop]
        for name, start, stop in zip(fractions, cuts[:-1], cuts[1:], strict=True)
    }


def _fill(divided: dict[str, list[str]]) -> None:
    """Give each empty split the last episode of the largest one."""
    for name, ids in divided.items():
        if not ids:
            largest = max(divided, key=lambda other: len(divided[other]))
            divided[name] = [divided[largest].pop()]


def _shuffle_key(episode_id: str, seed: int) -> bytes:
    """Return the sort key of an episode in the shuffle.

    Reference:
        Saarinen and Aumasson, "The BLAKE2 Cryptographic Hash and Message Authentication Code",
        2015, https://doi.org/10.17487/RFC7693.
    """
    # A hash instead of a generator: no release of a library can change a split, and an added
    # episode leaves the order of the others.
    return hashlib.blake2b(f'{seed}/{episode_id}'.encode(), digest_size=16).digest()


def shortened(ids: Sequence[str]) -> str:
    """Name the first five of several episodes.

    Args:
        ids: Ids of the episodes.

    Returns:
        The ids, separated by commas.
    """
    return ', '.join(ids[:5]) + (', ...' if len(ids) > 5 else '')
