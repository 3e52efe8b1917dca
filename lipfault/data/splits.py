"""Splits by episode: no window of one episode is in two of them."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from itertools import accumulate

from lipfault.errors import LipfaultError

SplitSpec = Mapping[str, float | list[str]]


def split_episodes(
    episode_ids: Sequence[str], splits: SplitSpec, seed: int = 0
) -> dict[str, list[str]]:
    """Assign whole episodes to splits.

    Splits given as lists of ids come first; the episodes left over are shuffled and dealt out by
    the fractions of the others, which count relative to each other. Adding a split as a list, or
    another order of the ids, changes nothing else.

    Args:
        episode_ids: All episodes of the recordings.
        splits: For each split its fraction of the episodes, or the list of their ids.
        seed: Seed of the shuffle.

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
    dealt = _deal(rest, fractions, seed)
    assigned = {name: sorted({**listed, **dealt}[name]) for name in splits}
    for name, ids in assigned.items():
        if not ids:
            raise LipfaultError(
                f'split {name!r} has no episode: {len(episode_ids)} episodes, splits '
                f'{dict(splits)}; enlarge its share or record more episodes'
            )
    return assigned


def _require_disjoint(listed: Mapping[str, list[str]], known: set[str]) -> set[str]:
    """All listed ids; refuses unknown ones and those listed twice."""
    owner: dict[str, str] = {}
    for name, ids in listed.items():
        for episode_id in ids:
            if episode_id not in known:
                raise LipfaultError(
                    f'split {name!r}: there is no episode {episode_id!r}; the recordings hold '
                    f'{_shortened(sorted(known))}'
                )
            if episode_id in owner:
                raise LipfaultError(
                    f'episode {episode_id!r} is in split {owner[episode_id]!r} and in {name!r}; '
                    'an episode may be in one split only'
                )
            owner[episode_id] = name
    return set(owner)


def _deal(ids: Sequence[str], fractions: Mapping[str, float], seed: int) -> dict[str, list[str]]:
    """Shuffle and cut at the rounded cumulative fractions."""
    for name, share in fractions.items():
        if not 0 < share < math.inf:
            raise LipfaultError(f'split {name!r}: its share must be positive, got {share}')
    if not fractions:
        return {}
    shuffled = sorted(ids, key=lambda episode_id: _rank(episode_id, seed))
    edges = accumulate(fractions.values(), initial=0.0)
    cuts = [math.floor(edge / sum(fractions.values()) * len(ids) + 0.5) for edge in edges]
    return {
        name: shuffled[start:stop]
        for name, start, stop in zip(fractions, cuts[:-1], cuts[1:], strict=True)
    }


def _rank(episode_id: str, seed: int) -> bytes:
    """A place in the shuffle: a hash, so that no library's release can change a split."""
    return hashlib.blake2b(f'{seed}/{episode_id}'.encode(), digest_size=16).digest()


def _shortened(ids: Sequence[str]) -> str:
    """The first few ids."""
    return ', '.join(ids[:5]) + (', ...' if len(ids) > 5 else '')
