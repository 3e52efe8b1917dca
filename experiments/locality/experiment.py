"""Spread of a fault over the latent of convolutional and dense encoders; gains of layers."""

from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from experiments.locality.encoders import (
    Encoder,
    Layer,
    convolutional,
    dense,
    layers_of,
    untrained,
)
from experiments.runner.catalogue import Experiment
from experiments.runner.data import data_of
from experiments.runner.injected import injected_faults
from experiments.runner.kept import gathered, publish, values_of
from experiments.runner.once import once
from experiments.runner.plan import CELLS, stage_one
from experiments.runner.results import table, write_figure
from experiments.runner.run import Run
from lipfault.lipschitz.gains.locality import locality_metrics, receptive_field_image
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.report.style import BLUE, RC, VERMILION, new_figure
from lipfault.runs.checkpoints import read_checkpoint
from lipfault.runs.folder import find_checkpoint
from lipfault.tasks.clean_windows import clean_signals
from lipfault.tasks.pretrained import autoencoder_from

WINDOWS = {'quick': 64, 'full': 600}
TRAINING = {'quick': 200, 'full': 3000}
"""Clean windows on which the dense encoder is fitted."""

PROBES = 16
"""Windows on which the reach of a local fault is measured."""

SEED = 0
"""Seed of stage 1 and of the faults."""

SPREAD = ('reached', 'locality', 'participation', 'contrast')
"""Measures of an encoder, from `spread`."""

Found = dict[str, Any]


@torch.no_grad()
def spread(encode: Encoder, clean: Tensor, faulty: Tensor) -> dict[str, float]:
    """Measure the spread of a fault over the latent.

    Args:
        encode: Maps standardized signals to latents.
        clean: Standardized clean signals, (fault, ...).
        faulty: The same signals with a fault, (fault, ...).

    Returns:
        `reached`: share of the latent that a fault in the middle quarter of the signal can
        change; `locality`: share of such a fault's energy inside it; `participation` and
        `contrast` of the given faults, see `lipfault.lipschitz.gains.locality`.
    """
    middle = _middle(clean[0])
    image = receptive_field_image(encode, clean[:PROBES], middle)
    # The mask limits the noise to the middle quarter: a local fault of any shape.
    noise = torch.randn(clean[:PROBES].shape, generator=torch.Generator().manual_seed(1))
    local = encode(clean[:PROBES] + noise * middle) - encode(clean[:PROBES])
    injected = locality_metrics(encode(faulty) - encode(clean))
    return {
        'reached': float(image.float().mean()),
        'locality': locality_metrics(local, image).locality,
        'participation': injected.participation,
        'contrast': injected.contrast,
    }


def _middle(signal: Tensor) -> Tensor:
    """Mask of the middle quarter of the time of a series, or of each side of an image."""
    mask = torch.zeros_like(signal)
    # From 3/8 to 5/8 of each axis behind the channels.
    spans = [slice(3 * n // 8, 3 * n // 8 + n // 4) for n in signal.shape[1:]]
    mask[(slice(None), *spans)] = 1.0
    return mask


def measure(run: Run, preset: str, cell: str) -> dict[str, Found]:
    """Return the spread in both encoders and the gains of the layers, by modality.

    Args:
        run: A tested run of stage 1.
        preset: `quick` or `full`.
        cell: Name of the shipped recording.
    """
    autoencoder = autoencoder_from(read_checkpoint(find_checkpoint(run.where))).eval()
    data = data_of(preset, cell, SEED)
    train = clean_signals(data, 'pretrain', TRAINING[preset])
    found = {}
    for name, (clean, faulty) in injected_faults(data, autoencoder, WINDOWS[preset]).items():
        # `pop` frees each modality's windows after use.
        whole = autoencoder.standardized({name: train.pop(name)})[name]
        size, own = autoencoder.latent_size(name), convolutional(autoencoder, name)
        pair = clean[name], faulty
        found[name] = {
            'convolutional': spread(own, *pair),
            'dense': spread(dense(whole, size), *pair),
            'layers': _layers(autoencoder, name, own, *pair, size),
        }
    return found


def measured_once(preset: str, cell: str, run: Run) -> dict[str, Found]:
    """Return the measurements of `measure`, cached in the folder of the run.

    Args:
        preset: `quick` or `full`.
        cell: Name of the shipped recording.
        run: A tested run of stage 1.
    """
    return once(run, 'locality', lambda: measure(run, preset, cell))


def _layers(
    autoencoder: Autoencoder, name: str, encode: Encoder, clean: Tensor, faulty: Tensor, size: int
) -> dict[str, dict[str, float]]:
    coder = autoencoder.coders[name]
    layers = {k: asdict(v) for k, v in layers_of(coder, encode, clean, faulty).items()}
    # For comparison with the theory: a dense layer from the same input to a latent of this size.
    start = untrained(clean[0].numel(), size, (faulty - clean).flatten(1))
    return layers | {'dense, untrained': asdict(start)}


def report(preset: str, folder: Path) -> None:
    """Write tables and chart of the cells whose stage 1 is tested.

    Args:
        preset: `quick` or `full`.
        folder: Folder of the results.
    """
    measured = {
        cell: gathered({cell: {SEED: run}}, folder, partial(measured_once, preset, cell))
        for cell, run in stages(preset).items()
    }
    found = {
        cell: seeds[str(SEED)]
        for columns in measured.values()
        for cell, seeds in values_of(columns).items()
    }
    lines: list[str] = []
    for cell, modalities in found.items():
        rows = {
            f'{n}, {kind}': [f'{of[kind][key]:.4g}' for key in SPREAD]
            for n, of in modalities.items()
            for kind in ('convolutional', 'dense')
        }
        lines += [f'## {cell}', '', *table(['encoder', *SPREAD], rows), '']
        rows = {
            f'{n}, {layer}': [f'{values[f.name]:.4g}' for f in fields(Layer)]
            for n, of in modalities.items()
            for layer, values in of['layers'].items()
        }
        lines += [*table(['layer', *(f.name for f in fields(Layer))], rows), '']
    publish(folder, found, lines, *measured.values())
    if found:
        write_figure(folder, 'locality', draw(found))


def draw(found: dict[str, dict[str, Found]]) -> Figure:
    """Draw share reached and participation of both encoders, by modality.

    The contrast is left out: it is taken over positions for one encoder and over features for the
    other.

    Args:
        found: Measurements by cell and modality.
    """
    labels = [f'{cell}, {n}' for cell, modalities in found.items() for n in modalities][::-1]
    values = [of for modalities in found.values() for of in modalities.values()][::-1]
    with rc_context(RC):
        figure = new_figure(7.6, 1.4 + 0.45 * len(labels))
        for axes, key in zip(
            figure.subplots(1, 2, sharey=True), ('reached', 'participation'), strict=True
        ):
            # Two bars per modality, above and below its tick.
            for kind, colour, shift in (('convolutional', BLUE, 0.18), ('dense', VERMILION, -0.18)):
                axes.barh(
                    [k + shift for k in range(len(labels))],
                    [of[kind][key] for of in values],
                    height=0.34,
                    color=colour,
                    label=kind,
                )
            axes.set_yticks(range(len(labels)), labels=labels, fontsize=7.5)
            axes.grid(visible=False, axis='y')
            axes.set_title(key)
        figure.legend(*axes.get_legend_handles_labels(), loc='outside lower center', ncols=2)
    return figure


def stages(preset: str) -> dict[str, Run]:
    """Return the run of stage 1 of each cell.

    Args:
        preset: `quick` or `full`.
    """
    cells = CELLS if preset == 'full' else CELLS[:1]
    return {cell: stage_one(preset, cell, SEED) for cell in cells}


EXPERIMENT = Experiment(
    question='Does a convolutional encoder keep a fault local where a dense one spreads it?',
    cost={'quick': '1 min', 'full': '3 min'},
    report=report,
    columns=stages,
)
