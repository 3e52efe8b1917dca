"""The self-contained page of a run."""

import base64
import io
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


@dataclass(frozen=True)
class Drawn:
    """A section with its picture.

    Args:
        section: What was drawn.
        image: The picture as base64 PNG, empty where there is nothing to show.
        width: Natural width on the page in CSS pixels.
        reason: Why there is nothing to show.
    """

    section: Section
    image: str = ''
    width: int = 0
    reason: str = ''


def write_report(run_dir: Path) -> Path:
    """Write `report.html` and `figures/*.png` of a run; those of an earlier report are replaced.

    What the run does not hold is named on the page in the place of its figure.

    Args:
        run_dir: Run folder with `metrics.json`, `metrics.csv` or both.

    Returns:
        The page, which needs no other file.

    Raises:
        LipfaultError: If the folder holds no metrics, a file is damaged, or the disk refuses.
    """
    run = load_run(run_dir)
    with matplotlib.rc_context(RC):
        drawn = [_draw(run, section) for section in sections(run)]
        try:
            _save(run, 'overview', draw_overview(run))
        except NothingToShow:
            (run_dir / 'figures' / 'overview.png').unlink(missing_ok=True)
    page = run_dir / 'report.html'
    _write(page, _render(run, drawn).encode())
    return page


def _draw(run: Run, section: Section) -> Drawn:
    """Draw and save one section."""
    try:
        figure = section.draw(run)
    except NothingToShow as reason:
        return Drawn(section, reason=str(reason))
    image = base64.b64encode(_save(run, section.slug, figure)).decode()
    return Drawn(section, image, width=round(96 * figure.get_figwidth()))


def _save(run: Run, name: str, figure: Figure) -> bytes:
    """The figure as PNG, written to the run's figures too."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    _write(run.folder / 'figures' / f'{name}.png', buffer.getvalue())
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Write a whole file or none."""
    with replacing(path, overwrite=True) as temporary:
        try:
            temporary.write_bytes(content)
        except OSError as error:
            raise LipfaultError(f'cannot write {path}: {error.strerror}') from error


def _render(run: Run, drawn: list[Drawn]) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader('lipfault', 'report'),
        autoescape=True,
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
        facts={key: _in_words(value) for key, value in run.environment.items()},
    )


def _in_words(value: object) -> str:
    """A value of `environment.json` on one line: a command as in a shell, versions in a row."""
    if isinstance(value, list):
        return shlex.join(map(str, value))
    if isinstance(value, dict):
        return ', '.join(f'{key} {version}' for key, version in value.items())
    return str(value)
