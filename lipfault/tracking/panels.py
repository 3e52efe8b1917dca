"""Panels and sections of a dashboard as plain data, independent of the W&B interface."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

JobType = Literal['pretrain', 'finetune', 'test']
"""Job type of the W&B runs that a section shows: a stage or a test."""


@dataclass(frozen=True)
class Titled:
    """Base of all panels.

    Args:
        title: Heading.
    """

    title: str


@dataclass(frozen=True)
class Bars(Titled):
    """Last values of metrics, one bar per run.

    Args:
        title: Heading.
        metrics: Names of the metrics.
    """

    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Lines(Titled):
    """Metrics over the steps of the job.

    Args:
        title: Heading.
        metrics: Names of the metrics.
        pattern: Regular expression that must match the whole name of further metrics.
        logarithmic: Whether the y axis is logarithmic.
    """

    metrics: tuple[str, ...] = ()
    pattern: str = ''
    logarithmic: bool = False


@dataclass(frozen=True)
class Quantity:
    """A configuration value, or the last value of a metric.

    Args:
        source: Whether `key` belongs to the configuration or to the metrics.
        key: Dotted key of the configuration, or name of the metric.
    """

    source: Literal['config', 'metric']
    key: str


@dataclass(frozen=True)
class Scatter(Titled):
    """Runs as dots.

    Args:
        title: Heading.
        x: Quantity of the x axis.
        y: Quantity of the y axis.
        colour: Quantity of the colour, if any.
        logarithmic: Whether both axes are logarithmic.
    """

    x: Quantity
    y: Quantity
    colour: Quantity | None = None
    logarithmic: bool = False


@dataclass(frozen=True)
class Parallel(Titled):
    """Runs as polylines across parallel axes.

    Args:
        title: Heading.
        columns: One quantity per axis.

    Reference:
        Inselberg, The plane with parallel coordinates, 1985: https://doi.org/10.1007/BF01898350
    """

    columns: tuple[Quantity, ...]


@dataclass(frozen=True)
class Media(Titled):
    """Logged images or a logged table.

    Args:
        title: Heading.
        key: Name under which it is logged.
    """

    key: str


@dataclass(frozen=True)
class Pictures(Media):
    """Logged images."""


@dataclass(frozen=True)
class Table(Media):
    """A logged table."""


Panel = Lines | Bars | Scatter | Parallel | Pictures | Table


@dataclass(frozen=True)
class Section:
    """Panels that answer one question.

    Args:
        title: Heading.
        question: The question, and the values that a good model has.
        job: Job type of the runs it shows.
        panels: Panels in order.
        is_open: Whether the section is open at first.
    """

    title: str
    question: str
    job: JobType
    panels: tuple[Panel, ...]
    is_open: bool = False

    @property
    def axis(self) -> str:
        """Return the step metric of the runs."""
        return f'{self.job}/step'


@dataclass(frozen=True)
class Dashboard:
    """Sections in order.

    Args:
        title: Heading.
        sections: The sections.
    """

    title: str
    sections: tuple[Section, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain types: every panel with its kind, every section with its axis."""
        return {'title': self.title, 'sections': [_plain(section) for section in self.sections]}


def _plain(section: Section) -> dict[str, Any]:
    panels = [{'kind': type(panel).__name__.lower()} | asdict(panel) for panel in section.panels]
    return asdict(section) | {'axis': section.axis, 'panels': panels}


def metrics_of(panel: Panel) -> Iterator[str]:
    """List the metrics that a panel names; a pattern names none.

    Args:
        panel: A panel.

    Yields:
        Names of metrics.
    """
    match panel:
        case Lines() | Bars():
            yield from panel.metrics
        case Pictures() | Table():
            yield panel.key
        case Scatter() | Parallel():
            yield from (q.key for q in quantities(panel) if q.source == 'metric')


def quantities(panel: Scatter | Parallel) -> tuple[Quantity, ...]:
    """List the quantities that a panel compares between runs.

    Args:
        panel: A panel.

    Returns:
        Quantities in the order of the axes, the colour last.
    """
    if isinstance(panel, Parallel):
        return panel.columns
    return tuple(q for q in (panel.x, panel.y, panel.colour) if q is not None)
