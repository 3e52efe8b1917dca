"""Infer the grid of values of a recording that does not state its quanta."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lipfault.data.episode import EpisodeSource
from lipfault.data.quantum import image_quantum, series_quantum
from lipfault.modality import Modality

# Episodes and samples of each that are read: a few thousand readings of a channel.
_EPISODES, _STEPS, _FRAMES = 3, 2000, 10


def with_quanta(source: EpisodeSource) -> dict[str, Modality]:
    """Complete the modalities of a recording by the quanta of its values.

    Reads a few episodes of each modality that states no quantum. The quantum is the step of the
    coarsest grid through zero that holds all values read.

    Args:
        source: The recordings.

    Returns:
        The modalities by name; those completed have `quantum_inferred` set.
    """
    return {
        name: modality if modality.quantum is not None else _completed(source, modality)
        for name, modality in source.modalities.items()
    }


def _completed(source: EpisodeSource, modality: Modality) -> Modality:
    """Return a modality with the quanta of its recorded values."""
    samples = _samples(source, modality)
    if modality.kind == 'image':
        quantum = tuple(image_quantum(samples[..., c]) for c in range(samples.shape[-1]))
    else:
        each = zip(samples.T, modality.steps, strict=True)
        quantum = tuple(series_quantum(values) or step for values, step in each)
    widths = (high - low for low, high in zip(modality.low, modality.high, strict=True))
    quantum = tuple(min(step, width) for step, width in zip(quantum, widths, strict=True))
    return replace(modality, quantum=quantum, quantum_inferred=True)


def _samples(source: EpisodeSource, modality: Modality) -> npt.NDArray[Any]:
    """Read the first samples of a few episodes, spread over the recordings."""
    count = len(source.episodes)
    positions = sorted({int(place) for place in np.linspace(0, count - 1, _EPISODES)})
    most = _FRAMES if modality.kind == 'image' else _STEPS
    parts = []
    for position in positions:
        length = min(most, source.episodes[position].lengths[modality.name])
        part = source.read(position, modality.name, 0, length)
        present = source.present(position, modality.name, 0, length)
        parts.append(part if present is None else part[present])
    # An open HDF5 handle must not reach a forked worker.
    source.close()
    return np.concatenate(parts)
