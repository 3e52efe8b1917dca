"""The catalogue of faults as Markdown, for the documentation."""

from collections.abc import Sequence

from lipfault.faults.collection import catalogue
from lipfault.faults.fault import AnyFault, Family
from lipfault.faults.patterns import PATTERNS


def family_table(family: Family) -> str:
    """Return the kinds of a family as a Markdown table, group by group.

    Args:
        family: `series`, `image` or `cross`.

    Returns:
        Lines of Markdown.
    """
    faults = [fault for fault in catalogue().values() if fault.family == family]
    faults.sort(key=lambda fault: (fault.group, fault.name))
    heads = ('kind', 'group', 'what is read', 'level at strength 1 to 5', 'what happened')
    return _table(heads, [_row(fault) for fault in faults])


def pattern_table() -> str:
    """Return the patterns across modalities as a Markdown table."""
    rows = [(f'`{each.name}`', each.formula, each.cause) for each in PATTERNS.values()]
    return _table(('pattern', 'what is drawn', 'what happened'), rows)


def _row(fault: AnyFault) -> tuple[str, ...]:
    """Return the cells of a kind."""
    levels = ', '.join(f'{level:g}' for level in fault.levels)
    source = f' ({fault.source})' if fault.source else ''
    meaning = f'{levels}: {fault.level_text}'
    return f'`{fault.name}`', fault.group, f'`{fault.formula}`', meaning, fault.cause + source


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return Markdown; a pipe in a formula would end its cell."""
    lines = [heads, ['---'] * len(heads), *rows]
    return '\n'.join(
        '| ' + ' | '.join(cell.replace('|', '\\|') for cell in line) + ' |' for line in lines
    )
