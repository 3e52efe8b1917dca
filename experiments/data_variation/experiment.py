"""How much the recordings of the three cells vary, and in how many directions."""

from pathlib import Path

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from experiments.runner.catalogue import Experiment
from experiments.runner.plan import CELLS
from experiments.runner.results import table, write_figure, write_results
from experiments.runner.run import Run
from lipfault.data.datamodule import RecordingDataModule
from lipfault.modality import Modality
from lipfault.models.autoencoder.standardize import Standardize
from lipfault.report.style import RC, colours, logarithmic, new_figure
from lipfault.tasks.clean_windows import clean_signals

SPLIT = 'pretrain'
WINDOWS = {'quick': 150, 'full': 2000}
SHARES = (0.9, 0.99, 0.999)
DRAWN = 512
"""Components in the figure."""


def spectrum(samples: Tensor) -> Tensor:
    """(rank,) variances along the principal components of samples (window, number), float64.

    Exact, from the smaller of the two Gram matrices.
    """
    centered = (samples - samples.mean(dim=0)).double()
    gram = centered @ centered.T if len(samples) <= samples.shape[1] else centered.T @ centered
    variances: Tensor = torch.linalg.eigvalsh(gram).flip(0).clamp_min(0)
    return variances / (len(samples) - 1)


def components(variances: Tensor, share: float) -> int:
    """How many components it takes to explain a share of the variance."""
    explained = variances.cumsum(0) / variances.sum()
    return int((explained < share).sum()) + 1


def describe(signals: Tensor, modality: Modality) -> tuple[dict[str, float], Tensor]:
    """Figures of one modality, and its spectrum as shares of the whole variance.

    Args:
        signals: Clean windows in physical units.
        modality: What is known of it.
    """
    standardize = Standardize(modality)
    standardize.fit(signals)
    variances = spectrum(standardize(signals).flatten(1))
    still = signals.dim() == 4  # the mean of an image is one of each pixel
    centered = signals - signals.mean(dim=0 if still else (0, 2), keepdim=True)
    ratio = _size(centered) / torch.tensor(modality.noise)
    figures = {
        'windows': float(len(signals)),
        'numbers in a window': float(signals[0].numel()),
        'deviation / noise, median channel': float(ratio.median()),
        'deviation / noise, least channel': float(ratio.min()),
        'effective dimension': float(variances.sum() ** 2 / variances.square().sum()),
    }
    if not still:
        within = _size(signals - signals.mean(dim=2, keepdim=True)) / _size(centered)
        figures['variance inside a window / variance'] = float(within.square().mean())
    figures |= {f'components for {s:g}': float(components(variances, s)) for s in SHARES}
    return figures, variances / variances.sum()


def _size(signals: Tensor) -> Tensor:
    """Root mean square of each channel of (window, channel, ...)."""
    return signals.transpose(0, 1).flatten(1).square().mean(dim=1).sqrt()


def measure(
    preset: str,
) -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, dict[str, Tensor]]]:
    """Figures and spectra by cell and modality."""
    figures: dict[str, dict[str, dict[str, float]]] = {}
    spectra: dict[str, dict[str, Tensor]] = {}
    for cell in CELLS:
        data = RecordingDataModule(f'data/{cell}.h5', 0.64, 0.1, 0.5)
        windows = clean_signals(data, SPLIT, WINDOWS[preset])
        for name, modality in data.modalities.items():
            found, shares = describe(windows.pop(name), modality)
            figures.setdefault(cell, {})[name] = found
            spectra.setdefault(cell, {})[name] = shares
    return figures, spectra


def report(preset: str, folder: Path) -> None:
    """Table and figure."""
    figures, spectra = measure(preset)
    heads = [f'{cell}, {name}' for cell, of in figures.items() for name in of]
    every = [values for of in figures.values() for values in of.values()]
    keys = dict.fromkeys(k for values in every for k in values)
    rows = {k: [f'{v[k]:.4g}' if k in v else '–' for v in every] for k in keys}
    write_results(folder, figures, table(['', *heads], rows))
    write_figure(folder, 'spectrum', draw(spectra))


def draw(spectra: dict[str, dict[str, Tensor]]) -> Figure:
    """Variance left unexplained by the first principal components, a panel for each cell."""
    with rc_context(RC):
        figure = new_figure(4.2 * len(spectra), 3.6)
        grid = figure.subplots(1, len(spectra), sharey=True, squeeze=False)[0]
        for axes, (cell, of) in zip(grid, spectra.items(), strict=True):
            for place, (name, colour) in enumerate(colours(list(of)).items()):
                left = 1 - of[name].cumsum(0)[:DRAWN]
                shown = sorted(
                    {round(DRAWN ** (i / 60)) for i in range(61)} & set(range(1, len(left) + 1))
                )
                axes.plot(
                    shown,
                    [float(left[i - 1]) for i in shown],
                    color=colour,
                    ls=('-', '--', ':')[place % 3],
                    label=name,
                )
            axes.set(title=cell, xlabel='principal components of a window', ylim=(1e-4, 1))
            logarithmic(axes, 'x')
            axes.legend(loc='lower left')
        grid[0].set_ylabel('variance left unexplained')
        logarithmic(grid[0], 'y')
    return figure


def runs(preset: str) -> list[Run]:
    """Nothing is trained."""
    return []


EXPERIMENT = Experiment(
    question='How much do the recordings of the three cells vary, and in how many directions?',
    cost={'quick': '1 min', 'full': '1 min'},
    runs=runs,
    report=report,
)
