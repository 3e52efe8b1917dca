"""`lipfault faults`: list and draw the kinds of faults."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from lipfault.data.recording import Recording
from lipfault.domains import CountOrZero, NonNegative, Positive, Seed
from lipfault.errors import LipfaultError
from lipfault.faults.collection import catalogue
from lipfault.faults.fault import FAMILIES, Family
from lipfault.faults.image.site import unit_range
from lipfault.faults.patterns import PATTERNS


def list_faults(family: Family | None = None) -> None:
    """Print the kinds of faults with their formulas and severities.

    Args:
        family: Family to print; all if not given.
    """
    console = Console()
    for each in FAMILIES if family is None else (family,):
        table = Table('kind', 'group', 'what is read', 'level at strength 1 to 5', 'what happened')
        table.title = f'{each} faults'
        for fault in catalogue().values():
            if fault.family == each:
                levels = ', '.join(f'{level:g}' for level in fault.levels)
                cells = (fault.formula, f'{levels}: {fault.level_text}', fault.cause)
                table.add_row(f'[bold]{fault.name}[/bold]', fault.group, *map(escape, cells))
        console.print(table)
    if family in (None, 'cross'):
        table = Table('pattern', 'what is drawn', 'what happened', title='patterns')
        for pattern in PATTERNS.values():
            table.add_row(f'[bold]{pattern.name}[/bold]', pattern.formula, pattern.cause)
        console.print(table)


def gallery(
    data: str,
    out: str,
    episode: CountOrZero = 0,
    end_s: Positive | None = None,
    window_s: Positive = 2.0,
    history_s: NonNegative = 1.0,
    seed: Seed = 0,
) -> None:
    """Draw every kind of fault on a window of a recording, one PNG for each modality.

    Args:
        data: The recording, an HDF5 file.
        out: PNG to write; with several modalities the name of each is put before the ending.
        episode: Position of the episode in the recording.
        end_s: End of the window in seconds from the start of the episode; the middle of the episode
            if not given.
        window_s: Length of the window in seconds.
        history_s: Seconds before the window, which faults such as delay read.
        seed: Seed of the draws.

    Raises:
        LipfaultError: If the recording does not hold that window, or there is no folder for `out`.
    """
    # matplotlib, which the other subcommands do without
    from lipfault.cli.fault_gallery import draw_moment, moments
    from lipfault.data.grid import with_quanta

    path = Path(out)
    if not path.parent.is_dir():
        raise LipfaultError(f'out: there is no folder {path.parent}; make it first')
    recording = Recording(data)
    signals = _stretch(recording, episode, end_s, window_s + history_s)
    for moment in moments(with_quanta(recording), signals, window_s):
        several = len(recording.modalities) > 1
        name = f'{path.stem}-{moment.modality.name}{path.suffix}' if several else path.name
        draw_moment(moment, seed).savefig(path.with_name(name), dpi=90)
        Console(markup=False).print(f'{path.with_name(name)}', soft_wrap=True)


def _stretch(
    recording: Recording, episode: int, end_s: float | None, seconds: float
) -> dict[str, Tensor]:
    """Read the seconds before an instant: series (C, steps), images (frame, C, H, W)."""
    if not 0 <= episode < len(recording.episodes):
        raise LipfaultError(
            f'episode must be from 0 to {len(recording.episodes) - 1}, got {episode}'
        )
    duration = recording.episodes[episode].duration_s
    end = duration / 2 if end_s is None else end_s
    if not seconds <= end <= duration:
        raise LipfaultError(
            f'end_s must be from {seconds:g} to {duration:g} for this episode, got {end:g}'
        )
    found = {}
    for name, modality in recording.modalities.items():
        stop = max(1, round(end * modality.rate_hz))
        start = max(0, stop - max(1, round(seconds * modality.rate_hz)))
        block = torch.from_numpy(np.array(recording.read(episode, name, start, stop)))
        image = modality.kind == 'image'
        # stored as (frame, height, width, channel) and (step, channel)
        found[name] = unit_range(block.permute(0, 3, 1, 2)) if image else block.T.float()
    return found


def table(family: Family = 'series') -> None:
    """Print the Markdown tables of a documentation page.

    Args:
        family: `series`, `image` or `cross`.
    """
    from lipfault.cli.fault_tables import family_table, pattern_table

    text = family_table(family)
    if family == 'cross':
        text += '\n\n' + pattern_table()
    Console().file.write(text + '\n')


COMMANDS: dict[str, Callable[..., None]] = {
    'list': list_faults,
    'gallery': gallery,
    'table': table,
}
"""Subcommands by name."""
