"""Figure of the reconstruction skill: autoencoder beside PCA with the same latent size."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.results import NothingToShow
from lipfault.report.run import Run
from lipfault.report.style import BLUE, FAINT, INK, logarithmic, new_figure

_PREFIX = 'skill/'


def draw_skill(run: Run) -> Figure:
    """Draw the unexplained variance, 1 - skill, of each modality: autoencoder and PCA.

    Args:
        run: A run whose `metrics.json` has `skill/<modality>`.

    Returns:
        The figure.

    Raises:
        NothingToShow: If the run has no skill.
    """
    figure = new_figure(7.0, 1.2 + 0.45 * max(1, len(_modalities(run))))
    draw_unexplained(figure.subplots(), run)
    return figure


def draw_unexplained(axes: Axes, run: Run) -> None:
    """Draw the unexplained variance, one row per modality.

    Args:
        axes: Axes to draw on.
        run: A run whose `metrics.json` has `skill/<modality>`.

    Raises:
        NothingToShow: If the run has no skill.

    Reference:
        Murphy, Skill scores based on the mean square error, 1988:
        https://doi.org/10.1175/1520-0493(1988)116<2417:SSBOTM>2.0.CO;2
        Tipping & Bishop, Probabilistic principal component analysis, 1999:
        https://doi.org/10.1111/1467-9868.00196
    """
    names = _modalities(run)
    if not names:
        raise NothingToShow('metrics.json has no skill/<modality>: run lipfault test.')
    rows = np.arange(len(names))[::-1]  # the y axis points up
    model = np.array([1 - run.metrics[f'{_PREFIX}{name}'] for name in names])
    pca = np.array([1 - run.metrics.get(f'skill_pca/{name}', np.nan) for name in names])
    axes.hlines(rows, model, pca, color=FAINT, lw=1.2)
    axes.plot(pca, rows, 's', color='white', mec=INK, ms=7, label='PCA, same latent size')
    axes.plot(model, rows, 'o', color=BLUE, mec=INK, ms=8, label='autoencoder')
    axes.set_yticks(rows, labels=names)
    axes.set(
        ylim=(-0.6, len(names) - 0.4),
        title='unexplained variance',
        xlabel='1 - skill = MSE / variance',
    )
    logarithmic(axes, 'x')
    axes.legend(loc='best')


def _modalities(run: Run) -> list[str]:
    """Return the modalities with a skill in `metrics.json`."""
    return [key.removeprefix(_PREFIX) for key in run.metrics if key.startswith(_PREFIX)]
