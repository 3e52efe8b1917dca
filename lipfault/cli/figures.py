"""The metrics of an evaluation as text, one table."""

import re
from collections.abc import Mapping

_UNSEEN = '_unseen'
"""End of the name of a metric, or of its group, that is taken on kinds of faults held out."""


def metrics_text(title: str, metrics: Mapping[str, float]) -> str:
    """Return metrics as a table: groups by prefix, sorted, kinds held out in a second column.

    Args:
        title: Heading of the table.
        metrics: Values by key, `group/name` or `name`.

    Returns:
        Lines of text without a line break at the end.

    Example:
        >>> print(metrics_text('Test metrics', {'skill/b': 0.25, 'skill/a': 0.5}))
        Test metrics
        skill
          a          0.5
          b         0.25
    """
    groups: dict[str, dict[str, tuple[str, str]]] = {}
    for key, value in sorted(metrics.items()):
        group, name, unseen = _parts(key, metrics)
        row = groups.setdefault(group, {}).get(name, ('', ''))
        text = f'{value:.4g}'
        groups[group][name] = (row[0], text) if unseen else (text, row[1])
    width = max((len(name) for rows in groups.values() for name in rows), default=0)
    lines = [title]
    for group, rows in sorted(groups.items()):
        two = any(unseen for _, unseen in rows.values())
        heads = f'{"seen":>11}{"unseen":>11}' if two else ''
        lines.append(f'{group:<{width + 2}}{heads}'.rstrip() if heads else group)
        lines += [
            f'  {name:<{width}}{seen:>11}{unseen:>11}'.rstrip()
            for name, (seen, unseen) in sorted(rows.items(), key=lambda row: _natural(row[0]))
        ]
    return '\n'.join(lines)


def _parts(key: str, metrics: Mapping[str, float]) -> tuple[str, str, bool]:
    """Return group, name and whether it is of kinds held out."""
    group, slash, name = key.partition('/')
    if not slash:
        group, name = 'metrics', key
    # `recovery/seen` and `recovery/unseen` are the two columns of a row named after their group.
    if name in ('seen', 'unseen') and {f'{group}/seen', f'{group}/unseen'} <= metrics.keys():
        return group, group, name == 'unseen'
    if group.endswith(_UNSEEN):
        return group.removesuffix(_UNSEEN), name, True
    if name.endswith(_UNSEEN) and key.removesuffix(_UNSEEN) in metrics:
        return group, name.removesuffix(_UNSEEN), True
    return group, name, False


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key by which `damage_2` precedes `damage_16`."""
    return [(int(part), '') if part.isdigit() else (0, part) for part in re.split(r'(\d+)', name)]
