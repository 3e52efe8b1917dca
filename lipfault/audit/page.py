"""The self-contained HTML page of an audit."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lipfault.audit.draw import draw
from lipfault.audit.findings import MEANINGS
from lipfault.audit.types import Examination
from lipfault.audit.wording import describe, sensor_name
from lipfault.errors import LipfaultError
from lipfault.runs.atomic import replacing

# Findings that are drawn; the table lists all.
_DRAWN = 60


def write_page(examination: Examination, title: str, path: Path, overwrite: bool = False) -> None:
    """Write the page: a table of all findings, and the evidence for each drawn.

    Args:
        examination: The audit.
        title: Name of the data set.
        path: File to write; it refers to no other file.
        overwrite: Whether an existing file may be replaced.

    Raises:
        LipfaultError: If the file exists or cannot be written.
    """
    environment = Environment(
        loader=PackageLoader('lipfault', 'audit'),
        autoescape=True,  # names of channels may hold < and &
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = [_row(examination, index) for index in range(len(examination.findings))]
    text = environment.get_template('page.html').render(
        title=title,
        rows=rows,
        drawn=_DRAWN,
        rate=examination.rate,
        tests=examination.tests,
        total=sum(examination.tests.values()),
        episodes=len(examination.tracks.episodes),
        broken=len({finding.candidate.episode for finding in examination.findings}),
        modalities=list(examination.tracks.modalities),
        meanings=MEANINGS,
    )
    with replacing(path, overwrite) as temporary:
        try:
            temporary.write_text(text, encoding='utf-8')
        except OSError as error:
            raise LipfaultError(f'cannot write {path}: {error.strerror}') from error


def _row(examination: Examination, index: int) -> dict[str, Any]:
    """Return what the page shows of a finding."""
    finding = examination.findings[index]
    candidate = finding.candidate
    return {
        'number': index + 1,
        'episode': examination.tracks.episodes[candidate.episode],
        'sensor': sensor_name(examination.tracks, candidate),
        'kind': candidate.kind,
        'also': ', '.join(finding.also),
        'start': f'{candidate.start_s:.2f}',
        'stop': f'{candidate.stop_s:.2f}',
        'what': describe(examination.tracks, candidate),
        'p': f'{finding.p:.1e}',
        'q': f'{finding.q:.1e}',
        'image': draw(examination, candidate) if index < _DRAWN else '',
    }
