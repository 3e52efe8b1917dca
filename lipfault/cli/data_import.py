"""`lipfault data import`: read data sets of other formats into a recording."""

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Column, Table

from lipfault.data.writer import Compression
from lipfault.errors import LipfaultError
from lipfault.importers.dataset import Limits, Prepared, opened, prepare, write
from lipfault.importers.mapping import read_mapping, write_mapping
from lipfault.importers.propose import remarks
from lipfault.importers.report import stream_report
from lipfault.runs.atomic import replacing, require_free

_CLOCK = ('rate Hz', 'ppm', 'jitter ms', 'gaps', 'dropped', 'start s', 'end s')
"""Columns of the table of clocks after the name."""


def import_data(
    source: list[str] | str,
    out: str | None = None,
    mapping: str | None = None,
    propose: str | None = None,
    reader: str | None = None,
    options: dict[str, Any] | None = None,
    episodes: list[str] | None = None,
    limits: Limits | None = None,
    skip_broken: bool = False,
    keep_stamps: bool = True,
    compression: Compression = 'none',
    overwrite: bool = False,
) -> None:
    """Import a data set of another format; needs the extra `importers`.

    Args:
        source: File or folder; several are merged on a common clock.
        out: HDF5 file to write; without it, nothing but the report and the proposal is made.
        mapping: YAML file that says which columns become which modality; every field becomes a
            modality if not given.
        propose: YAML file to write the mapping to, to be edited and given as `mapping`.
        reader: Name of a reader, or class path of your own; recognized if not given.
        options: Options of the reader, such as `{time: stamp}`.
        episodes: Ids of the episodes to import; all if not given.
        limits: What is refused instead of repaired.
        skip_broken: Whether episodes that cannot be read are left out.
        keep_stamps: Whether the recording keeps original stamps that do not lie on its grid.
        compression: `none` is fastest, `lzf` and `gzip` give smaller files, of films by a fifth.
        overwrite: Whether existing files may be replaced.

    Raises:
        LipfaultError: If the source cannot be read as stated, or a file cannot be written.
    """
    if out is None and propose is None:
        raise LipfaultError('data import: give --out FILE, --propose MAPPING.yaml, or both')
    require_free([out, propose], overwrite)
    if episodes == []:
        raise LipfaultError('episodes: names none; leave the option out to import all')
    paths = [source] if isinstance(source, str) else source
    entries = None if mapping is None else read_mapping(mapping)
    console = Console()
    with opened(paths, reader, options) as data, Progress(console=console, transient=True) as bar:

        def steps(name: str, count: int) -> Any:  # noqa: ANN401
            task = bar.add_task(name, total=count)
            return lambda: bar.advance(task)

        found = prepare(
            data, entries, episodes=episodes or (), limits=limits or Limits(),
            keep_stamps=keep_stamps, progress=steps,
        )  # fmt: skip
        _report(found, console)
        if propose is not None:
            _write_proposal(found, Path(propose), overwrite)
            console.print(f'{escape(propose)}: mapping of {len(found.mapping)} modalities')
        if out is not None:
            count = write(
                found, out, skip_broken=skip_broken, compression=compression, overwrite=overwrite,
                progress=steps,
            )  # fmt: skip
            _report_written(found, Path(out), count, console)


def _write_proposal(found: Prepared, path: Path, overwrite: bool) -> None:
    notes = {name: remarks(each) for name, each in found.descriptions.items()}
    notes[''] = [
        'Proposed by lipfault data import. Edit, then pass it as --mapping.',
        'Keys: columns, kind, rate, channels, units, low, high, noise, quantum, missing, offset,',
        'groups, derived.',
    ]
    with replacing(path, overwrite) as temporary:
        temporary.write_text(write_mapping(found.proposal, notes), encoding='utf-8')


def _report(found: Prepared, console: Console) -> None:
    """Print the clocks of the modalities, and what to know about their values."""
    for note in found.notes:
        console.print(escape(note), soft_wrap=True)
    console.print(_clock_table(found))
    for name, description in found.descriptions.items():
        plan = found.conversion.plans[name]
        fields = [each.scan.clock.name for each in plan if each.resampling is not None]
        resampled = [f'resampled: {", ".join(fields)}'] if fields else []
        for remark in [*resampled, *remarks(description)]:
            console.print(f'[bold]{escape(name)}[/bold]: {escape(remark)}', soft_wrap=True)
    broken = found.scan.broken
    for reason in list(broken.values())[:5]:
        console.print(f'[yellow]refused[/yellow]: {escape(reason)}', soft_wrap=True)
    if len(broken) > 5:
        console.print(f'[yellow]refused[/yellow]: and {len(broken) - 5} episodes more')


def _clock_table(found: Prepared) -> Table:
    """Return a table with the clock of each field."""
    table = Table(
        Column('modality', overflow='fold'), *(Column(each, no_wrap=True) for each in _CLOCK),
        title='Clocks', box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption='ppm: off the stated rate; jitter: 50, 95 and 100 % quantiles; start and end: '
        'relative to the common span',
    )  # fmt: skip
    for name, plan in found.conversion.plans.items():
        for stream in plan:
            clock = stream.scan.clock
            row = stream_report(found, stream)
            jitter = '/'.join(f'{1e3 * value:.2g}' for value in row['jitter_s'])
            table.add_row(
                escape(name if len(plan) == 1 else f'{name}: {clock.name}'),
                f'{stream.rate_hz:.6g}',
                '' if row['off_ppm'] is None else f'{row["off_ppm"]:+.0f}',
                jitter,
                f'{clock.gaps} ({clock.longest_s:.3g} s)' if clock.gaps else '0',
                str(clock.tally.dropped),
                f'{row["start_s"]:+.3f}',
                f'{row["end_s"]:+.3f}',
            )
    return table


def _report_written(found: Prepared, path: Path, count: int, console: Console) -> None:
    """Print what has become of the samples."""
    for name, counts in found.conversion.counts.items():
        parts = [
            f'{number} {word}'
            for number, word in (
                (counts.missing, 'missing'),
                (counts.repeated, 'equal to the one before'),
                (counts.tally.crowded, 'dropped beside a nearer one'),
                (counts.tally.dropped, 'dropped for their stamps'),
            )
            if number
        ]
        if parts:
            console.print(
                f'[bold]{escape(name)}[/bold]: {counts.samples} samples, ' + ', '.join(parts),
                soft_wrap=True,
            )
    seconds = sum(each.duration_s for each in found.placements.values())
    console.print(
        f'{escape(str(path))}: {count} episodes, {seconds:.1f} s, '
        f'{len(found.descriptions)} modalities, {path.stat().st_size / 1e6:.1f} MB',
        soft_wrap=True,
    )
