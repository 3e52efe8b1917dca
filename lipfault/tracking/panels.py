"""What a dashboard is made of, as plain data: nothing here knows how W&B stores it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

JobType = Literal['pretrain', 'finetune', 'test']
"""Which W&B runs a section is about: those of a stage, or those of a test."""


@dataclass(frozen=True)
class Lines:
    """Metrics over the steps of the stage.

    Args:
        title: Heading.
        metrics: Names of the metrics.
        pattern: Regular expression that names further metrics, as a whole.
        logarithmic: Whether the axis of the values is logarithmic.
    """

    title: str
    metrics: tuple[str, ...] = ()
    pattern: str = ''
    logarithmic: bool = False


@dataclass(frozen=True)
class Bars:
    """Last values of metrics, a bar for each run."""

    title: str
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Quantity:
    """An entry of the configuration, or the last value of a metric.

    Args:
        source: Where it stands.
        key: Dotted key of the configuration, or name of the metric.
    """

    source: Literal['config', 'metric']
    key: str


@dataclass(frozen=True)
class Scatter:
    """Runs as dots; `colour` is a third quantity."""

    title: str
    x: Quantity
    y: Quantity
    colour: Quantity | None = None
    logarithmic: bool = False


@dataclass(frozen=True)
class Parallel:
    """Runs as lines across several quantities."""

    title: str
    columns: tuple[Quantity, ...]


@dataclass(frozen=True)
class Pictures:
    """Logged images."""

    title: str
    key: str


@dataclass(frozen=True)
class Table:
    """A logged table."""

    title: str
    key: str


Panel = Lines | Bars | Scatter | Parallel | Pictures | Table


@dataclass(frozen=True)
class Section:
    """Panels that answer one question.

    Args:
        title: Heading.
        question: What to look for.
        job: The runs it is about.
        panels: In order.
        is_open: Whether the section is open at first.
    """

    title: str
    question: str
    job: JobType
    panels: tuple[Panel, ...]
    is_open: bool = False

    @property
    def axis(self) -> str:
        """The step metric of its runs."""
        return f'{self.job}/step'


@dataclass(frozen=True)
class Dashboard:
    """Sections in order."""

    title: str
    sections: tuple[Section, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain types only; every panel says its kind, every section its axis."""
        return {'title': self.title, 'sections': [_plain(section) for section in self.sections]}


def _plain(section: Section) -> dict[str, Any]:
    panels = [{'kind': type(panel).__name__.lower()} | asdict(panel) for panel in section.panels]
    return asdict(section) | {'axis': section.axis, 'panels': panels}


def metrics_of(panel: Panel) -> Iterator[str]:
    """Names of the metrics that a panel shows; those of a pattern are not known here."""
    match panel:
        case Lines() | Bars():
            yield from panel.metrics
        case Pictures() | Table():
            yield panel.key
        case Scatter() | Parallel():
            yield from (q.key for q in quantities(panel) if q.source == 'metric')


def quantities(panel: Scatter | Parallel) -> tuple[Quantity, ...]:
    """What a panel compares between runs."""
    if isinstance(panel, Parallel):
        return panel.columns
    return tuple(q for q in (panel.x, panel.y, panel.colour) if q is not None)
