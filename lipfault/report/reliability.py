"""Figure of the calibration: reliability of the score, and false alarms of each test episode."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.results import Array, NothingToShow
from lipfault.report.run import Run
from lipfault.report.style import BLUE, FAINT, SPLITS, new_figure

BINS = 15
"""Bins of the predicted probability, equally wide."""


def draw_reliability(run: Run) -> Figure:
    """Draw the share of faulty samples against the predicted one, and alarms by clean episode.

    Args:
        run: A run whose `results.npz` has scores; the episodes are a panel if it has them.

    Returns:
        The figure.

    Raises:
        NothingToShow: If the run has no scores.
    """
    splits = run.results.splits()
    figure = new_figure(9.6, 3.4)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.6])
    left.plot([0, 1], [0, 1], color=FAINT, lw=1, ls='--')
    for name, split in splits.items():
        predicted, observed, share = reliability(split.score, split.faulty)
        error = float((np.abs(observed - predicted) * share).sum())
        label = f'{name} kinds, error {error:.3f}'
        left.plot(predicted, observed, 'o-', ms=3.5, color=SPLITS[name], label=label)
    left.set(xlim=(0, 1), ylim=(0, 1.03), title='reliability')
    left.set(xlabel='predicted probability of a fault', ylabel='share of faulty samples')
    left.legend(loc='upper left')
    _draw_episodes(right, run)
    return figure


def reliability(score: Array, faulty: Array) -> tuple[Array, Array, Array]:
    """Compute predicted probability and observed share of faulty samples in bins.

    Args:
        score: (sample,) anomaly scores, logits that a sample is faulty.
        faulty: (sample,) bool.

    Returns:
        Mean predicted probability, share of faulty samples, and share of all samples, (bin,) each,
        of the bins with samples.

    Reference:
        Guo et al. 2017, On calibration of modern neural networks, https://arxiv.org/abs/1706.04599
    """
    # The sigmoid of large negative logits overflows in its usual form.
    predicted = np.exp(-np.logaddexp(0, -score.astype(np.float64)))
    index = np.minimum((predicted * BINS).astype(int), BINS - 1)
    count = np.bincount(index, minlength=BINS)
    known = count > 0
    mean, share = (
        np.bincount(index, weights=w, minlength=BINS)[known] / count[known]
        for w in (predicted, faulty)
    )
    return mean, share, count[known] / len(score)


def _draw_episodes(axes: Axes, run: Run) -> None:
    """Draw the share of clean windows above the threshold, episode by episode."""
    try:
        alarm = run.results['seen/score_clean'] > run.results.threshold
        episode = run.results['seen/episode']
    except NothingToShow as reason:
        axes.text(0.5, 0.5, str(reason), ha='center', va='center', wrap=True, color=FAINT)
        axes.set_axis_off()
        return
    shares = np.array([alarm[episode == e].mean() for e in np.unique(episode)])
    axes.bar(range(len(shares)), 100 * shares, color=BLUE, width=0.7)
    axes.axhline(100 * alarm.mean(), color=FAINT, lw=1, ls='--')
    axes.set(xlabel='test episode', ylabel='clean windows with an alarm, %')
    axes.set(title=f'false alarms by episode (mean {100 * alarm.mean():.2f} %)')
    axes.set_xticks(range(len(shares)) if len(shares) <= 30 else [])
    axes.set_ylim(0, max(1.0, 110 * float(shares.max())))
