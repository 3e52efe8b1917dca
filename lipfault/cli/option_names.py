"""Find a name that a tree of options lacks, and the nearest one that it has."""

import difflib
from collections.abc import Iterator

from lipfault.cli.signatures import Options

_CLASS_KEYS = ('class_path', 'dict_kwargs', 'help')
"""Keys that jsonargparse puts beside the parameters of a class; anything may follow them."""


def unknown_name(options: Options | None, key: str, abbreviated: bool = False) -> str | None:
    """Return the part of a key, from its start, that names no option.

    Args:
        options: The options there are; None for any.
        key: Dotted key; a `+` at its end, to extend a list, does not count.
        abbreviated: Whether the beginning of a name counts, where the parser of the command line
            accepts it: at the first two levels, and not below `model`.

    Returns:
        The key up to its first wrong part; None if every part is a name, or what follows is open.

    Example:
        >>> unknown_name({'data': {'path': None}}, 'data.pth')
        'data.pth'
        >>> unknown_name({'data': {'path': None}}, 'data.path.more') is None
        True
    """
    level, parts = options, key.rstrip('+').split('.')
    for depth, part in enumerate(parts):
        if level is None or (depth and part in _CLASS_KEYS):
            return None
        if depth and part == 'init_args':  # holds the same parameters as its parent
            continue
        if part not in level:
            short = abbreviated and len(parts) == depth + 1 <= 2 and parts[0] != 'model'
            if short and any(name.startswith(part) for name in level):
                return None
            return '.'.join(parts[: depth + 1])
        level = level[part]
    return None


def nearest_name(options: Options, key: str) -> str | None:
    """Return the option that a wrong key most probably means.

    Args:
        options: The options there are.
        key: The key up to its wrong part, as `unknown_name` returns it.

    Returns:
        Dotted key: an option of that name elsewhere, a similar name beside the wrong part, or a
        similar name elsewhere, in this order; None if no name is similar.

    Example:
        >>> nearest_name({'run': None, 'model': {'lr': None}}, 'lr')
        'model.lr'
    """
    everywhere = list(_keys(options))
    # A name at its full path is the likelier error: `--lr` for `--model.optimizer.lr`.
    *above, wrong = [part for part in key.split('.') if part != 'init_args']
    for known in everywhere:
        if known.rsplit('.', 1)[-1] == wrong:
            return known
    level: Options | None = options
    for part in above:
        level = (level or {}).get(part)
    near = difflib.get_close_matches(wrong, level or {}, n=1)
    if near:
        return '.'.join([*above, *near])
    last = {known.rsplit('.', 1)[-1]: known for known in everywhere}
    # A stricter limit than beside the wrong part: among so many names some are similar by chance.
    near = difflib.get_close_matches(wrong, last, n=1, cutoff=0.75)
    return last[near[0]] if near else None


def _keys(options: Options, prefix: str = '') -> Iterator[str]:
    for name, below in options.items():
        yield f'{prefix}{name}'
        yield from _keys(below or {}, f'{prefix}{name}.')
