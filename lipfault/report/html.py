"""The self-contained HTML page of a run."""

import base64
import io
import logging
import shlex
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from lipfault.errors import LipfaultError
from lipfault.report.overview import draw_overview
from lipfault.report.results import NothingToShow
from lipfault.report.run import Run, load_run
from lipfault.report.sections import Section, sections
from lipfault.report.style import RC
from lipfault.report.tiles import summary, tiles
from lipfault.runs.atomic import replacing
from lipfault.runs.folder import RunFolder, require_inside

_DAMAGED = (
    ValueError, TypeError, IndexError, KeyError, AttributeError, ArithmeticError, MemoryError,
)  # fmt: skip
"""What figures raise for arrays and values of another shape or type than a test writes."""

_log = logging.getLogger(__name__)

CSS_DPI = 96
"""CSS pixels per inch."""


@dataclass(frozen=True)
class DrawnSection:
    """A section with its figure.

    Args:
        section: The section.
        image: The figure as base64 PNG, empty if there is nothing to show.
        width: Width on the page in CSS pixels.
        reason: Reason for a missing figure.
    """

    section: Section
    image: str = ''
    width: int = 0
    reason: str = ''


def write_report(run_dir: Path) -> Path:
    """Write `report.html` and `figures/*.png` of a run; those of an earlier report are replaced.

    The page names missing data in the place of a figure.

    Args:
        run_dir: Run folder with `metrics.json`, `metrics.csv` or both.

    Returns:
        Path of the page, which refers to no other file.

    Raises:
        LipfaultError: If the folder holds no metrics, a file is damaged, or writing fails.
    """
    run = load_run(run_dir)
    # Before minutes of drawing, and before anything is removed.
    require_inside(run_dir, RunFolder(run_dir).figures / 'overview.png')
    try:
        with matplotlib.rc_context(RC):
            drawn = _draw_all(run, sections(run))
            _draw_overview(run)
        content = _render(run, drawn).encode()
    except _DAMAGED as error:
        raise LipfaultError(
            f'{run_dir}: no report can be drawn, as its results.npz, metrics.json or '
            f'certificate.json is damaged or of another version: {type(error).__name__}: {error}'
        ) from error
    page = RunFolder(run_dir).report
    _write(run, page, content)
    return page


def _draw_overview(run: Run) -> None:
    """Draw and save the figure that sums up the run."""
    try:
        _save(run, 'overview', draw_overview(run))
    except NothingToShow:
        # The figure of an earlier report would not belong to this one.
        (RunFolder(run.folder).figures / 'overview.png').unlink(missing_ok=True)


def _draw_all(run: Run, wanted: list[Section]) -> list[DrawnSection]:
    """Draw and save all sections, with a log record for each, since a figure takes about 1 s."""
    drawn = []
    for number, section in enumerate(wanted, start=1):
        _log.info('report: figure %d of %d, %s', number, len(wanted), section.slug)
        drawn.append(_draw(run, section))
    return drawn


def _draw(run: Run, section: Section) -> DrawnSection:
    """Draw and save one section."""
    try:
        figure = section.draw(run)
    except NothingToShow as reason:
        return DrawnSection(section, reason=str(reason))
    image = base64.b64encode(_save(run, section.slug, figure)).decode()
    return DrawnSection(section, image, width=round(CSS_DPI * figure.get_figwidth()))


def _save(run: Run, name: str, figure: Figure) -> bytes:
    """Return the figure as PNG, and write it to `figures/`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    _write(run, RunFolder(run.folder).figures / f'{name}.png', buffer.getvalue())
    return buffer.getvalue()


def _write(run: Run, path: Path, content: bytes) -> None:
    """Write a file of the run completely or not at all, and never through a link out of it."""
    require_inside(run.folder, path)
    with replacing(path, overwrite=True) as temporary:
        temporary.write_bytes(content)


def _render(run: Run, drawn: list[DrawnSection]) -> str:
    """Return the page as HTML."""
    environment = Environment(
        loader=PackageLoader('lipfault', 'report'),
        autoescape=True,  # configuration and environment may hold < and &
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template('report.html').render(
        name=run.folder.resolve().name,
        stage=run.stage,
        summary=summary(run),
        groups=tiles(run),
        drawn=drawn,
        metrics=run.metrics,
        config=run.config,
        environment={
            'data (bytes)' if key == 'data' else key: _as_text(value)
            for key, value in run.environment.items()
        },
    )


def _as_text(value: object) -> str:
    """Format a value of `environment.json`: a list as a shell command, versions separated."""
    if isinstance(value, list):
        return shlex.join(map(str, value))
    if isinstance(value, dict):
        found = {key: v.get('bytes') if isinstance(v, dict) else v for key, v in value.items()}
        return ', '.join(f'{key} {version}' for key, version in found.items())
    return str(value)
