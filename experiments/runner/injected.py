"""Faults of the test, each on one modality alone, standardized as a model sees them."""

import torch
from torch import Tensor

from lipfault.data.datamodule import RecordingDataModule
from lipfault.modality import Signals
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.tasks.inputs import observed

CHUNK = 64


@torch.no_grad()
def injected_faults(
    data: RecordingDataModule, autoencoder: Autoencoder, limit: int
) -> dict[str, tuple[Signals, Tensor]]:
    """Clean test windows by the modality that is faulty, and its faulty signal.

    Args:
        data: Whose test split is used, and whose faults.
        autoencoder: Standardizes.
        limit: At most so many windows, evenly spread; those without a fault fall out.

    Returns:
        For each modality that has a fault the clean signals of all modalities, (fault, ...), and
        its own signal as observed.
    """
    dataset = data.dataset(data.test_split)
    places = sorted(set(torch.linspace(0, len(dataset) - 1, limit).long().tolist()))
    parts: dict[str, list[tuple[Signals, Tensor]]] = {}
    for start in range(0, len(places), CHUNK):
        batch = data.faulty_batch(dataset.fetch(places[start : start + CHUNK]))
        if batch.labels is None:
            continue
        clean = autoencoder.standardized(batch.clean)
        signals = observed(autoencoder, batch, data.modalities).signals
        alone = batch.labels.modality.sum(dim=1) == 1
        for index, name in enumerate(clean):
            rows = (alone & batch.labels.modality[:, index]).nonzero().squeeze(1)
            if len(rows):
                kept = {n: x[rows] for n, x in clean.items()}
                parts.setdefault(name, []).append((kept, signals[name][rows]))
    return {
        name: (
            {n: torch.cat([clean[n] for clean, _ in found]) for n in found[0][0]},
            torch.cat([faulty for _, faulty in found]),
        )
        for name, found in parts.items()
    }
