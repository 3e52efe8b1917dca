"""Overview figure of a run, for a README or a slide."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from lipfault.report.curves import draw_loss_panel
from lipfault.report.damage import draw_damage_panel
from lipfault.report.detection import draw_roc
from lipfault.report.norms import draw_norm_history
from lipfault.report.recall import draw_recall_map
from lipfault.report.results import Examples, NothingToShow
from lipfault.report.run import Run
from lipfault.report.selection import most_affected_channels, most_changed_samples, sample_label
from lipfault.report.series import draw_channel
from lipfault.report.skill import draw_unexplained
from lipfault.report.style import FAINT, bare, new_figure, show_image, show_map

MOST_MODALITIES = 3
"""Largest number of modalities in the figure."""

_IMAGES = {
    'clean': 'clean',
    'faulty': 'faulty',
    'corrected': 'corrected',
    'reconstruction': 'reconstruction',
    'fault_map': 'predicted fault',
}

Panel = Callable[[Axes, Run], None]


def draw_overview(run: Run) -> Figure:
    """Draw samples of each modality and the main curves, about 1200 x 700 pixels.

    The samples are those that the fault changes most, whatever the quality of their correction:
    the selection favours no model.

    Args:
        run: A run; the figure shows its first `MOST_MODALITIES` modalities.

    Returns:
        The figure.

    Raises:
        NothingToShow: If the run has no example samples.
    """
    modalities = _with_examples(run)[:MOST_MODALITIES]
    rows = 2 if len(modalities) < MOST_MODALITIES else 1
    figure = new_figure(10.0, 5.8)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[1, 1.1])[0]
    parts = left.subfigures(len(modalities), 1, squeeze=False)[:, 0]
    for part, examples in zip(parts, modalities, strict=True):
        _draw_modality(part, run, examples, rows)
    panels = (draw_loss_panel, draw_unexplained) if run.stage == 1 else _STAGE_2
    columns = len(panels) // 2
    for axes, panel in zip(np.ravel(right.subplots(2, columns)), panels, strict=True):
        _draw_panel(axes, panel, run)
    return figure


def _with_examples(run: Run) -> list[Examples]:
    """Return the examples of all modalities with examples, or raise the last `NothingToShow`."""
    found, reason = [], NothingToShow('The run has no modalities.')
    for name in run.results.modalities:
        try:
            found.append(run.results.examples(name))
        except NothingToShow as missing:
            reason = missing
    if not found:
        raise reason
    return found


def _draw_panel(axes: Axes, panel: Panel, run: Run) -> None:
    """Draw a small panel, or the reason in its place if data are missing."""
    try:
        panel(axes, run)
    except NothingToShow as reason:
        axes.text(0.5, 0.5, str(reason), ha='center', va='center', wrap=True, color=FAINT)
        bare(axes)
    # The panels are designed for a full figure; the overview has a quarter of its width.
    axes.tick_params(labelsize=7)
    axes.set_title(axes.get_title(loc='left'), fontsize=9)
    legend = axes.get_legend()
    for text in (axes.xaxis.label, axes.yaxis.label, *(legend.get_texts() if legend else ())):
        text.set_fontsize(7.5)


def _draw_modality(figure: SubFigure, run: Run, examples: Examples, rows: int) -> None:
    """Draw samples of one modality below each other."""
    figure.suptitle(examples.name, fontsize=9, weight='bold', x=0.02, ha='left')
    chosen = most_changed_samples(examples, rows)
    keys = [key for key in _IMAGES if getattr(examples, key) is not None]
    columns = len(keys) if examples.is_image else 1
    grid = figure.subplots(len(chosen), columns, squeeze=False)
    for row, index in zip(grid, chosen, strict=True):
        row[0].set_ylabel(sample_label(examples, index, run.results.kinds), fontsize=7.5)
        if examples.is_image:
            for axes, key in zip(row, keys, strict=True):
                _draw_image(axes, examples, index, key)
        else:
            draw_channel(row[0], examples, index, most_affected_channels(examples, index, 1)[0])
    if examples.is_image:
        for axes, key in zip(grid[0], keys, strict=True):
            axes.set_title(_IMAGES[key], fontsize=8, weight='normal', loc='center')
    else:
        grid[-1, 0].set_xlabel('time step', fontsize=7.5)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        # Above the panels the legend would overlap the name of the modality.
        figure.legend(handles, labels, loc='outside lower right', ncols=4, fontsize=7)


def _draw_image(axes: Axes, examples: Examples, index: int, key: str) -> None:
    """Draw one version of an image, or its fault map."""
    version = getattr(examples, key)[index]
    if key == 'fault_map':
        show_map(axes, version.max(axis=0))  # (channel, height, width)
    else:
        show_image(axes, version)


def _recall(axes: Axes, run: Run) -> None:
    """Draw the recall by kind and severity for the seen fault kinds."""
    draw_recall_map(axes, run, 'seen', counts=False, most=12)
    axes.set_title('recall in %, hardest seen kinds')


def _damage(axes: Axes, run: Run) -> None:
    """Draw the recall against the damage over all modalities."""
    draw_damage_panel(axes, run)
    axes.set(title='recall by damage', xlabel='damage / sensor noise')


_STAGE_2: tuple[Panel, ...] = (draw_norm_history, draw_roc, _recall, _damage)
