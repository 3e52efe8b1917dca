"""`lipfault audit`: name the broken sensors of a data set."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from lipfault.audit.examine import examine
from lipfault.audit.findings import Finding
from lipfault.audit.opening import load_tracks
from lipfault.audit.page import write_page
from lipfault.audit.types import Examination
from lipfault.audit.wording import as_json, describe, sensor_name
from lipfault.domains import Count, OpenShare
from lipfault.errors import LipfaultError
from lipfault.runs.atomic import replacing, require_free

FOUND = 3
"""Exit status if there are findings; 1 and 2 are errors of all commands."""


def audit(
    dataset: list[str] | str,
    rate: OpenShare = 0.05,
    out: str | None = None,
    json_out: str | None = None,
    rows: Count = 30,
    overwrite: bool = False,
) -> None:
    """Name stuck, frozen, late, exchanged, saturated, clipped, drifting and dropped sensors.

    Ends with status 0 if nothing is found, 3 with findings, 1 or 2 after an error.

    Args:
        dataset: A recording, or a data set that `data import` reads; several are merged.
        rate: False-discovery rate over all episodes, sensors and kinds.
        out: HTML page to write, with the evidence drawn.
        json_out: JSON file to write.
        rows: Findings printed on the terminal.
        overwrite: Whether existing files may be replaced.

    Raises:
        LipfaultError: If the data set cannot be read, the rate is not between 0 and 1, or a file
            cannot be written.
    """
    require_free([out, json_out], overwrite)
    paths = [dataset] if isinstance(dataset, str) else list(dataset)
    examination = examine(load_tracks(paths, _imported), rate)
    title = ', '.join(Path(path).resolve().name for path in paths)
    if json_out is not None:
        _write_json(examination, Path(json_out), overwrite)
    if out is not None:
        write_page(examination, title, Path(out), overwrite)
    _print(examination, title, rows, [path for path in (out, json_out) if path])
    if examination.findings:
        raise SystemExit(FOUND)


def _write_json(examination: Examination, path: Path, overwrite: bool) -> None:
    """Write the findings as JSON, completely or not at all."""
    with replacing(path, overwrite) as temporary:
        try:
            temporary.write_text(json.dumps(as_json(examination), indent=2), encoding='utf-8')
        except OSError as error:
            raise LipfaultError(f'cannot write {path}: {error.strerror}') from error


def _imported(paths: Sequence[str | Path], target: Path) -> None:
    """Import sources into a recording; broken episodes are an error, as they are for the import."""
    # Not at the top: a recording needs no reader of other formats.
    from lipfault.importers.dataset import opened, prepare, write

    try:
        with opened(paths) as source:
            write(prepare(source), target, compression='none')
    except LipfaultError as error:
        if ' --' not in str(error):
            raise
        raise LipfaultError(
            f'{error} (options of `lipfault data import`: import first, then audit the recording)'
        ) from error


def _print(examination: Examination, title: str, rows: int, files: list[str]) -> None:
    """Print the ranked table and what was tested."""
    console = Console()
    findings = examination.findings
    episodes, tests = len(examination.tracks.episodes), sum(examination.tests.values())
    if findings:
        console.print(_table(examination, findings[:rows], title))
    if len(findings) > rows:
        console.print(f'and {len(findings) - rows} more')
    found = f'{len(findings)} findings' if findings else 'nothing found'
    console.print(
        f'{escape(title)}: {found} in {episodes} episodes, {tests} tests, '
        f'false-discovery rate {examination.rate:g}',
        soft_wrap=True,
    )
    for path in files:
        console.print(f'written: {escape(path)}', soft_wrap=True)


def _table(examination: Examination, findings: tuple[Finding, ...], title: str) -> Table:
    """Return a table with a row for each finding, the smallest p-value first."""
    # Names are folded where the terminal is narrow: cut off, they would name no sensor.
    columns = [Column(each, overflow='fold') for each in ('episode', 'sensor', 'kind')]
    what = Column('what', overflow='fold')
    table = Table(*columns, 'seconds', what, 'p', title=escape(title))
    for finding in findings:
        candidate = finding.candidate
        table.add_row(
            escape(examination.tracks.episodes[candidate.episode]),
            escape(sensor_name(examination.tracks, candidate)),
            ' + '.join([candidate.kind, *finding.also]),
            f'{candidate.start_s:.2f} to {candidate.stop_s:.2f}',
            escape(describe(examination.tracks, candidate)),
            f'{finding.p:.1e}',
        )
    return table
