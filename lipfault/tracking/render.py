"""Convert a dashboard to objects of wandb-workspaces; the only module that imports it."""

from typing import Any

import wandb_workspaces.expr as expr
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

import lipfault.tracking.panels as kinds
from lipfault.tracking.panels import Dashboard, Panel, Quantity, Section

WIDTH, HEIGHT, COLUMNS = 8, 6, 3
"""Size of a panel in grid units of a W&B report, 24 units wide, and panels per row."""


def workspace(dashboard: Dashboard, entity: str, project: str, group: str | None) -> Any:  # noqa: ANN401
    """Build a saved view of the project, without sending it.

    Args:
        dashboard: Its content.
        entity: W&B user or team.
        project: W&B project.
        group: Restricts the view to the runs of a group.

    Returns:
        A `wandb_workspaces.workspaces.Workspace`.

    Reference:
        https://github.com/wandb/wandb-workspaces
    """
    sections = [
        ws.Section(
            name=section.title,
            panels=[_panel(panel, section.axis) for panel in section.panels],
            is_open=section.is_open,
        )
        for section in dashboard.sections
    ]
    runs = ws.RunsetSettings(filters=expr.And(expr.Metric('Group') == group) if group else '')
    return ws.Workspace(
        entity=entity,
        project=project,
        name=dashboard.title,
        sections=sections,
        runset_settings=runs,
    )


def report(dashboard: Dashboard, entity: str, project: str, group: str | None) -> Any:  # noqa: ANN401
    """Build a report, without sending it: heading, question and panels of each section.

    Args:
        dashboard: Its content.
        entity: W&B user or team.
        project: W&B project.
        group: If given, only the runs of this group are in the grids.

    Returns:
        A `wandb_workspaces.reports.v2.Report` of full width.
    """
    blocks: list[Any] = [wr.TableOfContents()]
    for section in dashboard.sections:
        # Every job has its own step axis, so a grid shows the runs of one job only.
        filters = [expr.Metric('JobType') == section.job]
        if group:
            filters.append(expr.Metric('Group') == group)
        chosen = expr.And(*filters)
        runs = wr.Runset(entity=entity, project=project, name=section.job, filters=chosen)
        blocks += [wr.H2(section.title), wr.P(section.question), _grid(section, runs)]
    return wr.Report(
        entity=entity, project=project, title=dashboard.title, blocks=blocks, width='fluid'
    )


def _grid(section: Section, runs: Any) -> Any:  # noqa: ANN401
    """Arrange the panels of a section in rows."""
    panels = [_panel(panel, section.axis) for panel in section.panels]
    for index, panel in enumerate(panels):
        row, column = divmod(index, COLUMNS)
        panel.layout = wr.Layout(x=column * WIDTH, y=row * HEIGHT, w=WIDTH, h=HEIGHT)
    return wr.PanelGrid(runsets=[runs], panels=panels)


def _panel(panel: Panel, axis: str) -> Any:  # noqa: ANN401
    """Convert one panel, `axis` being the x axis of its lines."""
    match panel:
        case kinds.Lines():
            return wr.LinePlot(
                title=panel.title,
                x=axis,
                y=list(panel.metrics),
                metric_regex=panel.pattern or None,
                log_y=panel.logarithmic,
            )
        case kinds.Bars():
            return wr.BarPlot(title=panel.title, metrics=list(panel.metrics))
        case kinds.Scatter():
            return wr.ScatterPlot(
                title=panel.title,
                x=_quantity(panel.x),
                y=_quantity(panel.y),
                z=None if panel.colour is None else _quantity(panel.colour),
                log_x=panel.logarithmic,
                log_y=panel.logarithmic,
            )
        case kinds.Parallel():
            columns = [wr.ParallelCoordinatesPlotColumn(_quantity(q)) for q in panel.columns]
            return wr.ParallelCoordinatesPlot(title=panel.title, columns=columns)
        case kinds.Pictures():
            return wr.MediaBrowser(title=panel.title, media_keys=[panel.key], gallery_axis='step')
        case kinds.Table():
            # A table panel of W&B has no title.
            return wr.WeavePanelSummaryTable(table_name=panel.key)


def _quantity(quantity: Quantity) -> Any:  # noqa: ANN401
    if quantity.source == 'config':
        return wr.Config(quantity.key)
    return wr.SummaryMetric(quantity.key)
