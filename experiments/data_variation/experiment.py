"""Variance and dimension of the recordings of the three cells."""

from pathlib import Path

import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from experiments.runner.catalogue import Experiment
from experiments.runner.plan import CELLS
from experiments.runner.results import table, write_figure, write_results
from lipfault import __version__
from lipfault.data.datamodule import RecordingDataModule
from lipfault.modality import Modality
from lipfault.models.autoencoder.standardize import Standardize
from lipfault.report.style import RC, colours, logarithmic, new_figure
from lipfault.tasks.clean_windows import clean_signals

SPLIT = 'pretrain'
WINDOWS = {'quick': 150, 'full': 2000}
SHARES = (0.9, 0.99, 0.999)
DRAWN = 512
"""Principal components in the figure."""


def spectrum(samples: Tensor) -> Tensor:
    """Return the variances along the principal components, exactly.

    Args:
        samples: Flattened windows, (window, feature).

    Returns:
        Variances in descending order, (min(window, feature),) float64.
    """
    centered = (samples - samples.mean(dim=0)).double()
    # The two Gram matrices have the same nonzero eigenvalues; the smaller one is taken.
    gram = centered @ centered.T if len(samples) <= samples.shape[1] else centered.T @ centered
    variances: Tensor = torch.linalg.eigvalsh(gram).flip(0).clamp_min(0)
    return variances / (len(samples) - 1)


def components(variances: Tensor, share: float) -> int:
    """Return the number of principal components that explain a share of the variance.

    Args:
        variances: Variances in descending order, (component,).
        share: Share from 0 to 1.
    """
    explained = variances.cumsum(0) / variances.sum()
    return int((explained < share).sum()) + 1


def describe(signals: Tensor, modality: Modality) -> tuple[dict[str, float], Tensor]:
    """Return statistics of one modality, and its spectrum.

    Args:
        signals: Clean windows in physical units, (window, channel, time) or
            (window, channel, height, width).
        modality: Description of the modality.

    Returns:
        Statistics by name, and the variances of the standardized windows as shares of their sum.
        The effective dimension is the participation ratio of the variances.

    Reference:
        Gao et al., A theory of multineuronal dimensionality, dynamics and measurement, 2017,
        https://doi.org/10.1101/214262 (participation ratio).
    """
    standardize = Standardize(modality)
    standardize.fit(signals)
    variances = spectrum(standardize(signals).flatten(1))
    image = signals.dim() == 4
    # A camera does not move, so an image has a mean per pixel, a series one per channel.
    centered = signals - signals.mean(dim=0 if image else (0, 2), keepdim=True)
    ratio = _rms(centered) / torch.tensor(modality.noise)
    statistics = {
        'windows': float(len(signals)),
        'values per window': float(signals[0].numel()),
        'standard deviation / sensor noise, median channel': float(ratio.median()),
        'standard deviation / sensor noise, lowest channel': float(ratio.min()),
        'effective dimension': float(variances.sum() ** 2 / variances.square().sum()),
    }
    if not image:
        within = _rms(signals - signals.mean(dim=2, keepdim=True)) / _rms(centered)
        statistics['within-window variance / variance'] = float(within.square().mean())
    statistics |= {f'components for {s:g}': float(components(variances, s)) for s in SHARES}
    return statistics, variances / variances.sum()


def _rms(signals: Tensor) -> Tensor:
    """Root mean square of each channel: (window, channel, ...) to (channel,)."""
    return signals.transpose(0, 1).flatten(1).square().mean(dim=1).sqrt()


def measure(
    preset: str,
) -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, dict[str, Tensor]]]:
    """Return statistics and spectra by cell and modality.

    Args:
        preset: `quick` or `full`.
    """
    statistics: dict[str, dict[str, dict[str, float]]] = {}
    spectra: dict[str, dict[str, Tensor]] = {}
    for cell in CELLS:
        data = RecordingDataModule(f'data/{cell}.h5', 0.64, 0.1, 0.5)  # as configs/data has it
        windows = clean_signals(data, SPLIT, WINDOWS[preset])
        for name, modality in data.modalities.items():
            # `pop` frees each modality's windows: 2000 of the camera are 100 MB.
            found, shares = describe(windows.pop(name), modality)
            statistics.setdefault(cell, {})[name] = found
            spectra.setdefault(cell, {})[name] = shares
    return statistics, spectra


def report(preset: str, folder: Path) -> None:
    """Write the table of statistics and the figure of the spectra.

    Args:
        preset: `quick` or `full`.
        folder: Folder of the results.
    """
    statistics, spectra = measure(preset)
    heads = [f'{cell}, {name}' for cell, of in statistics.items() for name in of]
    every = [values for of in statistics.values() for values in of.values()]
    keys = dict.fromkeys(k for values in every for k in values)
    rows = {k: [f'{v[k]:.4g}' if k in v else '–' for v in every] for k in keys}
    lines = table(['', *heads], rows)
    write_results(folder, statistics, lines, versions=[__version__])
    write_figure(folder, 'spectrum', draw(spectra))


def draw(spectra: dict[str, dict[str, Tensor]]) -> Figure:
    """Draw the variance that the first principal components do not explain, a panel per cell.

    Args:
        spectra: Shares of the variance by cell and modality, in descending order.
    """
    with rc_context(RC):
        figure = new_figure(4.2 * len(spectra), 3.6)
        grid = figure.subplots(1, len(spectra), sharey=True, squeeze=False)[0]
        for axes, (cell, of) in zip(grid, spectra.items(), strict=True):
            _draw_cell(axes, of)
            axes.set(title=cell, xlabel='principal components of a window', ylim=(1e-4, 1))
            logarithmic(axes, 'x')
            axes.legend(loc='lower left')
        grid[0].set_ylabel('variance left unexplained')
        logarithmic(grid[0], 'y')
    return figure


def _draw_cell(axes: Axes, spectra: dict[str, Tensor]) -> None:
    for position, (name, colour) in enumerate(colours(list(spectra)).items()):
        left = 1 - spectra[name].cumsum(0)[:DRAWN]
        # 61 points, evenly spread on the logarithmic axis from 1 to 512.
        drawn = sorted({round(DRAWN ** (i / 60)) for i in range(61)} & set(range(1, len(left) + 1)))
        axes.plot(
            drawn,
            [float(left[i - 1]) for i in drawn],
            color=colour,
            ls=('-', '--', ':')[position % 3],
            label=name,
        )


EXPERIMENT = Experiment(
    question='How much do the recordings of the three cells vary, and in how many dimensions?',
    cost={'quick': '1 min', 'full': '1 min'},
    report=report,
)
