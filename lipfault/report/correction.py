"""Figure of the correction: energy left by kind and severity of the fault."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from lipfault.report.recall import SEVERITIES
from lipfault.report.results import SPLIT_NAMES, Array, Split
from lipfault.report.run import Run
from lipfault.report.style import INK, SHARE, new_figure

_SUFFIX = {'seen': '', 'unseen': '_unseen'}


def draw_correction(run: Run) -> Figure:
    """Draw tables of the median energy left by fault kind and severity, one for each split.

    Args:
        run: A run whose `results.npz` has energies, kinds and severities.

    Returns:
        The figure, with the mean over kinds in the titles and one colour bar.

    Raises:
        NothingToShow: If the run has no energies, or no split has a faulty sample.
    """
    splits = run.results.faulty_splits()
    rows = max(len(split.fault_kinds) for split in splits.values())
    figure = new_figure(5.0 * len(splits) + 0.8, 1.5 + 0.3 * rows)
    grid = figure.subplots(1, len(splits), squeeze=False)[0]
    for axes, (name, split) in zip(grid, splits.items(), strict=True):
        image = _draw_table(axes, split, run.results.kinds)
        axes.set_title(f'{SPLIT_NAMES[name]}\n{_headline(run, name, split)}', fontsize=9)
        # Equal limits give cells of equal height; the split with fewer kinds ends earlier.
        axes.set_ylim(rows - 0.5, -0.5)
    figure.colorbar(image, ax=list(grid), label='median energy left', shrink=0.9, aspect=30)
    return figure


def energy_table(split: Split, kinds: Sequence[int]) -> tuple[Array, Array]:
    """Compute the median energy left of each kind, over all its faults and by severity.

    Args:
        split: A test split.
        kinds: Indices of the fault kinds, one per row.

    Returns:
        Medians (kind, 1 + severity), over all faults of the kind first, NaN in cells without a
        fault that changed the signal; and (kind,) share of the faults that the correction made
        worse.
    """
    changed = split.faulty & (split.energy_injected > 0)
    ratio = split.energy_left / np.where(changed, split.energy_injected, np.nan)
    medians = np.full((len(kinds), 1 + len(SEVERITIES)), np.nan)
    for row, kind in enumerate(kinds):
        own = changed & (split.kind == kind)
        cells = [own, *(own & (split.severity == severity) for severity in SEVERITIES)]
        medians[row] = [np.median(ratio[cell]) if cell.any() else np.nan for cell in cells]
    # A fault that changed nothing is made worse by any correction.
    worse = split.energy_left > split.energy_injected
    faulty = [split.faulty & (split.kind == kind) for kind in kinds]
    return medians, np.array([worse[own].mean() for own in faulty])


def _draw_table(axes: Axes, split: Split, names: Sequence[str]) -> AxesImage:
    """Draw the medians as colours and numbers, and the share made worse beside them."""
    kinds = split.fault_kinds
    medians, worse = energy_table(split, kinds)
    shown = np.hstack([medians, np.full((len(kinds), 1), np.nan)])
    image = axes.imshow(shown, cmap=SHARE.reversed(), vmin=0, vmax=1, aspect='auto')
    for (row, column), value in np.ndenumerate(medians):
        if np.isfinite(value):
            weight = 'bold' if value > 1 else 'normal'
            text = f'{value:.2f}' if value < 10 else f'{value:.3g}'
            axes.text(column, row, text, ha='center', va='center', fontsize=7.5, weight=weight)
    for row, share in enumerate(worse):
        axes.text(medians.shape[1], row, f'{100 * share:.0f} %', ha='center', va='center',
                  fontsize=7.5)  # fmt: skip
    # A line parts the median over all severities from those by severity.
    axes.plot([0.5, 0.5], [-0.5, len(kinds) - 0.5], color=INK, lw=1)
    axes.set_yticks(range(len(kinds)), labels=[names[kind].replace('_', ' ') for kind in kinds])
    heads = ['all', *map(str, SEVERITIES), 'worse']
    axes.set_xticks(range(len(heads)), labels=heads)
    axes.xaxis.tick_top()
    axes.set_xlabel('severity')
    axes.xaxis.set_label_position('top')
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return image


def _headline(run: Run, name: str, split: Split) -> str:
    """Return the mean over kinds of the median, with its interval if the test measured one."""
    key = f'corrector/energy_left{_SUFFIX[name]}'
    medians, _ = energy_table(split, split.fault_kinds)
    known = medians[:, 0][np.isfinite(medians[:, 0])]
    mean = float(known.mean()) if len(known) else float('nan')
    text = f'mean over kinds {mean:.3f}'
    interval = run.interval(key)
    return f'{text} ({interval[0]:.3f} to {interval[1]:.3f})' if interval else text
