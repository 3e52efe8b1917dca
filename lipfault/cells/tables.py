"""Markdown tables of a cell's channels for docs/cells.md."""

from collections.abc import Sequence
from itertools import groupby

from lipfault.cells.registry import Cell
from lipfault.cells.sensors import Channel


def channel_table(cell: Cell) -> str:
    """Return a Markdown table of the channels of a cell's series.

    Args:
        cell: The cell.

    Returns:
        The table; consecutive channels with the same unit, range and noise share a row.
    """
    lines = ['| series | channels | unit | range | noise |', '|---|---|---|---|---|']
    for names, channels in _distinct(cell):
        for _, group in groupby(channels, key=_kind):
            lines.append(_row(names, list(group)))
    return '\n'.join(lines)


def _distinct(cell: Cell) -> list[tuple[str, Sequence[Channel]]]:
    """Return (names, channels) of the series; series with the same channels share an entry."""
    merged: list[tuple[str, Sequence[Channel]]] = []
    for name, channels in cell.series.items():
        if merged and merged[-1][1] == channels:
            merged[-1] = (f'{merged[-1][0]}, {name}', channels)
        else:
            merged.append((name, channels))
    return merged


def _kind(channel: Channel) -> tuple[str, str, float, float, float]:
    """Return the fields that the channels of one row have in common."""
    prefix = channel.name.rpartition('_')[0]
    return prefix, channel.unit, channel.low, channel.high, channel.noise


def _row(series: str, group: Sequence[Channel]) -> str:
    """Return one row, with the first and the last name of the group."""
    first, last = group[0], group[-1]
    names = f'`{first.name}`' if first is last else f'`{first.name}` … `{last.name}`'
    count = '' if first is last else f' ({len(group)})'
    limits = f'{first.low:.4g} … {first.high:.4g}'
    return f'| {series} | {names}{count} | {first.unit} | {limits} | {first.noise:.2g} |'
