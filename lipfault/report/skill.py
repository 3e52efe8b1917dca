"""Reconstruction skill of the autoencoder beside PCA with the same latent size."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.results import NothingToShow
from lipfault.report.run import Run
from lipfault.report.style import BLUE, FAINT, INK, logarithmic, new_figure


def draw_skill(run: Run) -> Figure:
    """Unexplained variance, 1 - skill, of each modality: autoencoder against PCA.

    Args:
        run: A run whose `metrics.json` has `skill/<modality>`.

    Raises:
        NothingToShow: If it has none.
    """
    figure = new_figure(7.0, 1.2 + 0.45 * max(1, len(skilled(run))))
    draw_unexplained(figure.subplots(), run)
    return figure


def draw_unexplained(axes: Axes, run: Run) -> None:
    """A row per modality; a dot further left explains more.

    Args:
        axes: Where to draw.
        run: A run whose `metrics.json` has `skill/<modality>`.

    Raises:
        NothingToShow: If it has none.
    """
    names = skilled(run)
    if not names:
        raise NothingToShow('metrics.json has no skill/<modality>; lipfault test writes it.')
    places = np.arange(len(names))[::-1]
    model = np.array([1 - run.metrics[f'skill/{name}'] for name in names])
    pca = np.array([1 - run.metrics.get(f'skill_pca/{name}', np.nan) for name in names])
    axes.hlines(places, model, pca, color=FAINT, lw=1.2)
    axes.plot(pca, places, 's', color='white', mec=INK, ms=7, label='PCA, same latent size')
    axes.plot(model, places, 'o', color=BLUE, mec=INK, ms=8, label='autoencoder')
    axes.set_yticks(places, labels=names)
    axes.set(
        ylim=(-0.6, len(names) - 0.4),
        title='variance not reconstructed',
        xlabel='1 - skill = MSE / variance',
    )
    logarithmic(axes, 'x')
    axes.legend(loc='best')


def skilled(run: Run) -> list[str]:
    """The modalities that the run has a skill for.

    Args:
        run: A run.
    """
    prefix = 'skill/'
    return [key.removeprefix(prefix) for key in run.metrics if key.startswith(prefix)]
