"""How much of the damage the corrector undoes, by kind of fault and modality."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.report.recall import with_faults
from lipfault.report.results import Array, Split
from lipfault.report.run import Run
from lipfault.report.style import FAINT, INK, colours, logarithmic, markers, new_figure

LEAST_RECOVERY = -0.5
LEAST_ENERGY = 1e-4


@dataclass(frozen=True)
class Correction:
    """Correction of all faults of one kind on one modality.

    Args:
        kind: Index of the fault kind.
        modality: Index of the modality.
        recovery: 1 - (corrected - clean) / (uncorrected - clean), of summed errors.
        oracle: The same for the model told the true fault mask.
        energy_left: Energy left of the injected one.
    """

    kind: int
    modality: int
    recovery: float
    oracle: float
    energy_left: float


def draw_recovery(run: Run) -> Figure:
    """Recovery and energy left for each kind of fault, a dot for each modality.

    Args:
        run: A run whose `results.npz` has errors and energies.

    Raises:
        NothingToShow: If it has none, or no fault in any split.
    """
    splits = with_faults(run.results.splits())
    table = {name: corrections(split) for name, split in splits.items()}
    rows = [(name, kind) for name in table for kind in sorted({c.kind for c in table[name]})]
    names = run.results.modalities
    figure = new_figure(10.5, 1.3 + 0.3 * len(rows))
    left, right = figure.subplots(1, 2, sharey=True)
    for name, found in table.items():
        for correction in found:
            row = len(rows) - 1 - rows.index((name, correction.kind))
            _draw_row(left, right, correction, names, row)
    labels = [f'{run.results.kinds[kind].replace("_", " ")} ({name})' for name, kind in rows]
    left.set_yticks(range(len(rows))[::-1], labels=labels)
    _finish(left, right, names)
    return figure


def corrections(split: Split) -> list[Correction]:
    """Recovery and energy left of each kind and modality that a split holds.

    Args:
        split: A test split.
    """
    found = []
    pairs = np.stack([split.kind, split.modality])[:, split.faulty]
    for kind, modality in np.unique(pairs, axis=1).T:
        chosen = split.faulty & (split.kind == kind) & (split.modality == modality)
        found.append(
            Correction(
                kind=int(kind),
                modality=int(modality),
                recovery=recovery(split, split.error_corrected, chosen),
                oracle=recovery(split, split.error_oracle, chosen),
                energy_left=ratio(split.energy_left[chosen], split.energy_injected[chosen]),
            )
        )
    return found


def recovery(split: Split, error: Array, chosen: Array) -> float:
    """1 - (E - E_clean) / (E_uncorrected - E_clean) over the chosen samples, NaN if nothing to win.

    Args:
        split: A test split.
        error: (sample,) error of the corrected signal.
        chosen: (sample,) bool.
    """
    clean = split.error_clean[chosen]
    return 1.0 - ratio(error[chosen] - clean, split.error_uncorrected[chosen] - clean)


def ratio(part: Array, whole: Array) -> float:
    """Sum of `part` over sum of `whole`; NaN where the whole is not positive or a value is NaN.

    Args:
        part: (sample,) numbers.
        whole: (sample,) numbers.

    Example:
        >>> ratio(np.array([1.0, 2.0]), np.array([4.0, 2.0]))
        0.5
    """
    total = float(whole.sum())
    return float(part.sum()) / total if total > 0 else float('nan')


def _draw_row(
    left: Axes, right: Axes, correction: Correction, names: Sequence[str], row: int
) -> None:
    """The dots of one kind and modality: recovery and its ceiling left, energy right."""
    name = names[correction.modality]
    colour, marker = colours(names)[name], markers(names)[name]
    place = row + 0.3 * ((correction.modality + 0.5) / len(names) - 0.5)
    ends = np.clip([correction.recovery, correction.oracle], LEAST_RECOVERY, 1.0)
    left.plot(ends, [place, place], color=colour, lw=1, alpha=0.4)
    left.plot(ends[0], place, marker, color=colour, ms=6, mec=INK, mew=0.5, clip_on=False)
    left.plot(ends[1], place, '|', color=colour, ms=9, mew=2, clip_on=False)
    right.plot(
        max(correction.energy_left, LEAST_ENERGY),
        place,
        marker,
        color=colour,
        ms=6,
        mec=INK,
        mew=0.5,
    )


def _finish(left: Axes, right: Axes, names: Sequence[str]) -> None:
    """Axes and legend."""
    left.axvline(0.0, color=FAINT, lw=1)
    left.set_xlim(right=1.0)
    left.set(
        title='recovery (bar: told the true mask)',
        xlabel='1: undone, 0: as without correction, below 0: made worse',
    )
    right.axvline(1.0, color=FAINT, lw=1)
    right.set(title='energy left', xlabel='share of the injected energy')
    logarithmic(right, 'x')
    for name in names:
        (dot,) = right.plot([], [], markers(names)[name], color=colours(names)[name], label=name)
        dot.set(markeredgecolor=INK, markeredgewidth=0.5)
    right.figure.legend(loc='outside upper right', ncols=7)
