"""Test windows with a fault on exactly one modality, standardized."""

import torch
from torch import Tensor

from lipfault.data.datamodule import RecordingDataModule
from lipfault.modality import Signals
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.tasks.inputs import observed

CHUNK = 64
"""Windows per batch."""


@torch.no_grad()
def injected_faults(
    data: RecordingDataModule, autoencoder: Autoencoder, limit: int
) -> dict[str, tuple[Signals, Tensor]]:
    """Inject faults into test windows and keep the windows with one faulty modality.

    Args:
        data: DataModule whose test split and faults are used.
        autoencoder: Stage 1; standardizes the signals.
        limit: Maximum number of windows before the selection, evenly spread over the split.

    Returns:
        For each modality with a fault: the clean signals of all modalities, (fault, ...), and the
        observed signal of that modality, (fault, ...), both float32 in standardized units.
    """
    dataset = data.dataset(data.test_split)
    indices = sorted(set(torch.linspace(0, len(dataset) - 1, limit).long().tolist()))
    parts: dict[str, list[tuple[Signals, Tensor]]] = {}
    for start in range(0, len(indices), CHUNK):
        batch = data.faulty_batch(dataset.fetch(indices[start : start + CHUNK]))
        if batch.labels is None:
            continue
        clean = autoencoder.standardized(batch.clean)
        # Missing values are filled as in stage 2, so that every change is finite.
        signals = observed(autoencoder, batch, data.modalities).signals
        alone = batch.labels.modality.sum(dim=1) == 1  # (batch, modality) to (batch,)
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
