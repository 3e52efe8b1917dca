"""Tables of a cell's channels for the documentation."""

from collections.abc import Sequence
from itertools import groupby

from lipfault.cells.registry import Cell
from lipfault.cells.sensors import Channel


def channel_table(cell: Cell) -> str:
    """Markdown table of the channels of a cell's series, neighbours that are alike in one row."""
    lines = ['| series | channels | unit | range | noise |', '|---|---|---|---|---|']
    for names, channels in _distinct(cell):
        for _, group in groupby(channels, key=_kind):
            lines.append(_row(names, list(group)))
    return '\n'.join(lines)


def _distinct(cell: Cell) -> list[tuple[str, Sequence[Channel]]]:
    """Series with the same channels together: their names and the channels."""
    merged: list[tuple[str, Sequence[Channel]]] = []
    for name, channels in cell.series.items():
        if merged and merged[-1][1] == channels:
            merged[-1] = (f'{merged[-1][0]}, {name}', channels)
        else:
            merged.append((name, channels))
    return merged


def _kind(channel: Channel) -> tuple[str, str, float, float, float]:
    """What channels of one row have in common."""
    prefix = channel.name.rpartition('_')[0]
    return prefix, channel.unit, channel.low, channel.high, channel.noise


def _row(series: str, group: Sequence[Channel]) -> str:
    """One row; the group's channels by first and last name."""
    first, last = group[0], group[-1]
    names = f'`{first.name}`' if first is last else f'`{first.name}` … `{last.name}`'
    count = '' if first is last else f' ({len(group)})'
    limits = f'{first.low:.4g} … {first.high:.4g}'
    return f'| {series} | {names}{count} | {first.unit} | {limits} | {first.noise:.2g} |'
