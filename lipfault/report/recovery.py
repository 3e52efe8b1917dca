"""Figure of the correction: recovery and energy left by fault kind and modality."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.results import Array, Split
from lipfault.report.run import Run
from lipfault.report.style import FAINT, INK, colours, logarithmic, markers, new_figure

LEAST_RECOVERY = -0.5
"""Smaller recoveries are drawn here: a few very bad kinds would compress all others."""

LEAST_ENERGY = 1e-4
"""Smaller shares of energy are drawn here, also 0, which a logarithmic axis lacks."""


@dataclass(frozen=True)
class CorrectionScore:
    """Correction of all faults of one kind on one modality.

    Args:
        kind: Index of the fault kind.
        modality: Index of the modality.
        recovery: 1 - (E_corrected - E_clean) / (E_uncorrected - E_clean), E summed over samples.
        oracle: The same, the model conditioned on the true fault mask.
        energy_left: Median of ‖x̂ - x‖² / ‖x̃ - x‖².
        pooled: Σ‖x̂ - x‖² / Σ‖x̃ - x‖².
    """

    kind: int
    modality: int
    recovery: float
    oracle: float
    energy_left: float
    pooled: float


def draw_recovery(run: Run) -> Figure:
    """Draw recovery and energy left of each fault kind, a marker for each modality.

    Args:
        run: A run whose `results.npz` has errors and energies.

    Returns:
        The figure.

    Raises:
        NothingToShow: If the run has no errors, or no split has a faulty sample.
    """
    splits = run.results.faulty_splits()
    table = {name: correction_scores(split) for name, split in splits.items()}
    rows = [(name, kind) for name in table for kind in sorted({c.kind for c in table[name]})]
    names = run.results.modalities
    figure = new_figure(10.5, 1.3 + 0.3 * len(rows))
    left, right = figure.subplots(1, 2, sharey=True)
    for name, scores in table.items():
        for score in scores:
            # The y axis points up, the rows are listed from the top.
            row = len(rows) - 1 - rows.index((name, score.kind))
            _draw_row(left, right, score, names, row)
    labels = [f'{run.results.kinds[kind].replace("_", " ")} ({name})' for name, kind in rows]
    left.set_yticks(range(len(rows))[::-1], labels=labels)
    left.set_ylim(-0.7, len(rows) - 0.3)
    _finish(left, right, names)
    return figure


def correction_scores(split: Split) -> list[CorrectionScore]:
    """Compute recovery and energy left of each kind and modality of a split.

    Args:
        split: A test split.

    Returns:
        One entry for each pair of kind and modality with a fault.
    """
    scores = []
    pairs = np.stack([split.kind, split.modality])[:, split.faulty]  # (2, fault)
    for kind, modality in np.unique(pairs, axis=1).T:
        chosen = split.faulty & (split.kind == kind) & (split.modality == modality)
        scores.append(
            CorrectionScore(
                kind=int(kind),
                modality=int(modality),
                recovery=recovery(split, split.error_corrected, chosen),
                oracle=recovery(split, split.error_oracle, chosen),
                energy_left=median_ratio(split.energy_left[chosen], split.energy_injected[chosen]),
                pooled=ratio(split.energy_left[chosen], split.energy_injected[chosen]),
            )
        )
    return scores


def recovery(split: Split, error: Array, chosen: Array) -> float:
    """Compute 1 - (E - E_clean) / (E_uncorrected - E_clean) over the chosen samples.

    Args:
        split: A test split.
        error: (sample,) reconstruction error after correction, E.
        chosen: (sample,) bool.

    Returns:
        At most 1, NaN if the faults do not raise the reconstruction error.
    """
    clean = split.error_clean[chosen]
    return 1.0 - ratio(error[chosen] - clean, split.error_uncorrected[chosen] - clean)


def ratio(part: Array, whole: Array) -> float:
    """Divide the sum of `part` by the sum of `whole`.

    Args:
        part: (sample,) numbers.
        whole: (sample,) numbers.

    Returns:
        The ratio, NaN if the sum of `whole` is not positive or a value is NaN.

    Example:
        >>> ratio(np.array([1.0, 2.0]), np.array([4.0, 2.0]))
        0.5
    """
    total = float(whole.sum())
    return float(part.sum()) / total if total > 0 else float('nan')


def median_ratio(part: Array, whole: Array) -> float:
    """Return the median of `part / whole` over the samples whose `whole` is positive.

    Args:
        part: (sample,) numbers.
        whole: (sample,) numbers.

    Returns:
        The median, NaN without such a sample.

    Example:
        >>> median_ratio(np.array([1.0, 2.0, 5.0]), np.array([4.0, 2.0, 0.0]))
        0.625
    """
    known = whole > 0
    return float(np.median(part[known] / whole[known])) if known.any() else float('nan')


def _draw_row(
    left: Axes, right: Axes, score: CorrectionScore, names: Sequence[str], row: int
) -> None:
    """Draw one kind and modality: recovery and its oracle on the left, energy on the right."""
    name = names[score.modality]
    colour, marker = colours(names)[name], markers(names)[name]
    # The modalities of a kind share its row, spread over 0.3 of its height.
    y = row + 0.3 * ((score.modality + 0.5) / len(names) - 0.5)
    ends = np.clip([score.recovery, score.oracle], LEAST_RECOVERY, 1.0)
    left.plot(ends, [y, y], color=colour, lw=1, alpha=0.4)
    left.plot(ends[0], y, marker, color=colour, ms=6, mec=INK, mew=0.5, clip_on=False)
    left.plot(ends[1], y, '|', color=colour, ms=9, mew=2, clip_on=False)
    energies = np.maximum([score.energy_left, score.pooled], LEAST_ENERGY)
    right.plot(energies, [y, y], color=colour, lw=1, alpha=0.4)
    right.plot(energies[0], y, marker, color=colour, ms=6, mec=INK, mew=0.5)
    right.plot(energies[1], y, '|', color=colour, ms=9, mew=2)


def _finish(left: Axes, right: Axes, names: Sequence[str]) -> None:
    """Label the axes and add the legend."""
    left.axvline(0.0, color=FAINT, lw=1)
    left.set_xlim(right=1.0)
    left.set(
        title='recovery (bar: with the true fault mask)',
        xlabel='1: complete, 0: as without correction, below 0: worse',
    )
    right.axvline(1.0, color=FAINT, lw=1)
    right.set(title='median energy left (bar: pooled)', xlabel='share of the injected energy')
    logarithmic(right, 'x')
    for name in names:
        (dot,) = right.plot([], [], markers(names)[name], color=colours(names)[name], label=name)
        dot.set(markeredgecolor=INK, markeredgewidth=0.5)
    right.figure.legend(loc='outside upper right', ncols=7)
