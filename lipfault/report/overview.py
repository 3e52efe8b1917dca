"""One picture of a run, for a README or a slide."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from lipfault.report.curves import draw_loss_panel
from lipfault.report.damage import draw_damage_panel
from lipfault.report.detection import draw_roc
from lipfault.report.images import picture, show_map
from lipfault.report.norms import draw_norm_history
from lipfault.report.picks import most_affected, sample_name
from lipfault.report.recall import draw_recall_map
from lipfault.report.results import Array, Examples, NothingToShow
from lipfault.report.run import Run
from lipfault.report.series import draw_channel
from lipfault.report.skill import draw_unexplained
from lipfault.report.style import FAINT, bare, new_figure

MOST_MODALITIES = 3
_IMAGES = {
    'clean': 'clean',
    'faulty': 'faulty',
    'corrected': 'corrected',
    'fault_map': 'fault found',
}

Panel = Callable[[Axes, Run], None]


def draw_overview(run: Run) -> Figure:
    """Samples of each modality and the run's main curves, about 1200 x 700 pixels.

    The samples are those that their fault changed most, whatever the correction made of them.

    Args:
        run: A run; of more than three modalities the first three are shown.

    Raises:
        NothingToShow: If it has no samples.
    """
    shown = _with_examples(run)[:MOST_MODALITIES]
    rows = 2 if len(shown) < MOST_MODALITIES else 1
    figure = new_figure(10.0, 5.8)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[1, 1.1])[0]
    parts = left.subfigures(len(shown), 1, squeeze=False)[:, 0]
    for part, examples in zip(parts, shown, strict=True):
        _draw_modality(part, run, examples, rows)
    panels = (draw_loss_panel, draw_unexplained) if run.stage == 1 else _STAGE_2
    columns = len(panels) // 2
    for axes, panel in zip(np.ravel(right.subplots(2, columns)), panels, strict=True):
        _draw_panel(axes, panel, run)
    return figure


def most_changed(examples: Examples, count: int) -> list[int]:
    """Indices of samples that their fault changed most, one of each kind; else the first ones.

    Args:
        examples: Samples of one modality.
        count: How many at most.
    """
    if examples.faulty is None:
        return list(range(min(count, len(examples.clean))))
    change = np.nan_to_num(np.square(examples.faulty - examples.clean))
    order = change.reshape(len(change), -1).sum(axis=1).argsort()[::-1]
    first_of_kind = {int(examples.kind[place]): int(place) for place in order[::-1]}
    return [int(place) for place in order if int(place) in first_of_kind.values()][:count]


def _with_examples(run: Run) -> list[Examples]:
    """The samples of all modalities that have any; `NothingToShow` where none has."""
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
    """A small panel, or in its place why there is none."""
    try:
        panel(axes, run)
    except NothingToShow as reason:
        axes.text(0.5, 0.5, str(reason), ha='center', va='center', wrap=True, color=FAINT)
        bare(axes)
    axes.tick_params(labelsize=7)
    axes.set_title(axes.get_title(loc='left'), fontsize=9)
    legend = axes.get_legend()
    for text in (axes.xaxis.label, axes.yaxis.label, *(legend.get_texts() if legend else ())):
        text.set_fontsize(7.5)


def _draw_modality(figure: SubFigure, run: Run, examples: Examples, rows: int) -> None:
    """Samples of one modality under each other."""
    figure.suptitle(examples.name, fontsize=9, weight='bold', x=0.02, ha='left')
    places = most_changed(examples, rows)
    keys = [key for key in _IMAGES if getattr(examples, key) is not None]
    columns = len(keys) if examples.is_image else 1
    grid = figure.subplots(len(places), columns, squeeze=False)
    for row, place in zip(grid, places, strict=True):
        row[0].set_ylabel(sample_name(examples, place, run.results.kinds), fontsize=7.5)
        if examples.is_image:
            for axes, key in zip(row, keys, strict=True):
                _draw_image(axes, getattr(examples, key)[place], key)
        else:
            draw_channel(row[0], examples, place, most_affected(examples, place, 1)[0])
    if examples.is_image:
        titles = (
            _IMAGES if examples.faulty is not None else {**_IMAGES, 'corrected': 'reconstruction'}
        )
        for axes, key in zip(grid[0], keys, strict=True):
            axes.set_title(titles[key], fontsize=8, weight='normal', loc='center')
    else:
        grid[-1, 0].set_xlabel('time step', fontsize=7.5)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc='outside upper right', ncols=4, fontsize=7)


def _draw_image(axes: Axes, image: Array, key: str) -> None:
    """One version of an image, or its fault map."""
    if key == 'fault_map':
        show_map(axes, image.max(axis=0))
    else:
        axes.imshow(picture(image), cmap='gray', vmin=0, vmax=1)
        bare(axes)


def _recall(axes: Axes, run: Run) -> None:
    """Recall by kind and severity for the kinds seen in training."""
    draw_recall_map(axes, run, 'seen', counts=False, most=12)
    axes.set_title('recall in %, hardest seen kinds')


def _damage(axes: Axes, run: Run) -> None:
    """Recall against damage over all modalities."""
    draw_damage_panel(axes, run)
    axes.set(title='recall by damage', xlabel='damage / sensor noise')


_STAGE_2: tuple[Panel, ...] = (draw_norm_history, draw_roc, _recall, _damage)
