"""Figure of the detection: ROC curves and the distributions of the anomaly score."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.results import SPLIT_NAMES, Array, NothingToShow, Split
from lipfault.report.run import Run
from lipfault.report.style import BLUE, INK, SPLITS, VERMILION, logarithmic, new_figure

LEAST_RATE = 1e-3
"""Lower end of the axis of false-alarm rates."""


def draw_detection(run: Run) -> Figure:
    """Draw the ROC curves of the splits and the histogram of scores of each split.

    Args:
        run: A run whose `results.npz` has scores.

    Returns:
        The figure: ROC curves on the left, then the scores of each split.

    Raises:
        NothingToShow: If the run has no scores.
    """
    splits = run.results.splits()
    figure = new_figure(4.2 + 3.6 * len(splits), 3.5)
    roc_axes, *score_axes = figure.subplots(1, 1 + len(splits))
    draw_roc(roc_axes, run)
    for axes, (name, split) in zip(score_axes, splits.items(), strict=True):
        draw_scores(axes, split, run.results.threshold)
        axes.set_title(f'scores, {SPLIT_NAMES[name]}', fontsize=9)
    return figure


def draw_roc(axes: Axes, run: Run) -> None:
    """Draw recall against false-alarm rate, with the operating point of the threshold.

    Args:
        axes: Axes to draw on.
        run: A run whose `results.npz` has scores.

    Raises:
        NothingToShow: If the run has no scores, or a split lacks clean or faulty samples.

    Reference:
        Fawcett, An introduction to ROC analysis, 2006:
        https://doi.org/10.1016/j.patrec.2005.10.010
        Hanley & McNeil, The meaning and use of the area under a ROC curve, 1982:
        https://doi.org/10.1148/radiology.143.1.7063747
    """
    lowest = 1.0
    for name, split in run.results.splits().items():
        false_alarms, recall = roc(split.score, split.faulty)
        label = f'{name} kinds, AUROC {np.trapezoid(recall, false_alarms):.3f}'
        axes.plot(np.maximum(false_alarms, LEAST_RATE), recall, color=SPLITS[name], label=label)
        alarm = split.score > run.results.threshold
        at = max(float(alarm[~split.faulty].mean()), LEAST_RATE)
        axes.plot(at, alarm[split.faulty].mean(), 'o', color=SPLITS[name], mec=INK, ms=7)
        _draw_intervals(axes, run, name, (at, float(alarm[split.faulty].mean())))
        lowest = min(lowest, float(recall[false_alarms <= LEAST_RATE].max()))
    # Cut the lower half of the axis only if no curve enters it.
    axes.set(xlim=(LEAST_RATE, 1), ylim=(0.0 if lowest < 0.55 else 0.5, 1.02))
    axes.set(title='detection (ROC)', xlabel='false-alarm rate', ylabel='recall')
    logarithmic(axes, 'x')
    axes.legend(loc='lower right')


def _draw_intervals(axes: Axes, run: Run, name: str, at: tuple[float, float]) -> None:
    """Draw the 95 % intervals of false-alarm rate and recall at the operating point."""
    prefix = 'detection' if name == 'seen' else f'detection_{name}'
    rates, recalls = (run.interval(f'{prefix}/{k}') for k in ('false_alarm_rate', 'recall'))
    if rates:
        ends = np.maximum(rates, LEAST_RATE)
        axes.plot(ends, [at[1], at[1]], color=SPLITS[name], lw=1.2)
    if recalls:
        axes.plot([at[0], at[0]], recalls, color=SPLITS[name], lw=1.2)


def roc(score: Array, faulty: Array) -> tuple[Array, Array]:
    """Compute the exact ROC curve, ties counted as one step.

    Args:
        score: (sample,) anomaly scores.
        faulty: (sample,) bool ground truth.

    Returns:
        False-alarm rate and recall, (step,) each, from (0, 0) to (1, 1).

    Raises:
        NothingToShow: If there are no clean or no faulty samples, since a rate is then undefined.

    Example:
        >>> roc(np.array([3.0, 2.0, 1.0]), np.array([True, False, False]))
        (array([0. , 0. , 0.5, 1. ]), array([0., 1., 1., 1.]))

    Reference:
        Fawcett, An introduction to ROC analysis, 2006:
        https://doi.org/10.1016/j.patrec.2005.10.010
    """
    if faulty.all() or not faulty.any():
        missing = 'clean' if faulty.all() else 'faulty'
        raise NothingToShow(f'A test split has no {missing} samples, so there is no ROC curve.')
    order = np.argsort(-score, kind='stable')
    # No threshold separates equal scores: only the last sample of a tie is a point of the curve.
    last_of_tie = np.append(np.diff(score[order]) != 0, True)
    truth = faulty[order]
    recall = np.cumsum(truth)[last_of_tie] / truth.sum()
    false_alarms = np.cumsum(~truth)[last_of_tie] / (~truth).sum()
    return np.append(0.0, false_alarms), np.append(0.0, recall)


def draw_scores(axes: Axes, split: Split, threshold: float) -> None:
    """Draw histograms of the scores of clean and faulty samples.

    Args:
        axes: Axes to draw on.
        split: A test split.
        threshold: Anomaly score above which a sample is an alarm.
    """
    # Severe faults score orders of magnitude above the rest; the outermost bins hold the tails.
    low, high = np.quantile(split.score, [0.002, 0.98])
    low, high = min(low, threshold), max(high, threshold)
    wide = low > 0 and high > 30 * low
    space = np.geomspace if wide else np.linspace
    bins = space(low, high + 1e-9, 45)
    groups = {'clean': (~split.faulty, BLUE), 'faulty': (split.faulty, VERMILION)}
    for label, (truth, colour) in groups.items():
        if truth.any():
            scores = np.clip(split.score[truth], bins[0], bins[-1])
            weights = np.full(len(scores), 1 / len(scores))  # shares: the groups differ in size
            axes.hist(scores, bins.tolist(), weights=weights, color=colour, alpha=0.55, label=label)
    axes.axvline(threshold, color=INK, lw=1.2, ls='--', label='threshold')
    axes.set(xlabel='anomaly score', ylabel='share of samples')
    if wide:
        logarithmic(axes, 'x')
    axes.legend(loc='upper right')
