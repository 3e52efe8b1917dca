"""A few test windows kept whole, for people to look at."""

from collections.abc import Mapping
from typing import Any

import torch

from lipfault.batch import Batch
from lipfault.faults.labels import FaultLabels
from lipfault.modality import Modality
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.blocks.interface.base import ComputeBlock
from lipfault.models.blocks.interface.types import Correction, Detection, Observation
from lipfault.tasks.inputs import fault_masks, observed, worst_faulty

COUNT = 8
"""Examples kept of each modality."""


@torch.no_grad()
def fault_examples(
    kept: dict[str, Any],
    block: ComputeBlock,
    batch: Batch,
    modalities: Mapping[str, Modality],
) -> None:
    """Add the first faulty windows of each modality to what is kept, kinds not repeated.

    Args:
        kept: For `examples/<modality>/<what>` a list of arrays; changed in place.
        block: The compute block.
        batch: A test batch with labels.
        modalities: Description of each modality.
    """
    labels = batch.labels
    if labels is None:
        return
    for index, name in enumerate(batch.clean):
        kinds = kept.setdefault(f'examples/{name}/kind', [])
        rows = _new_kinds(labels, index, kinds)
        if len(rows):
            whole = observed(block.autoencoder, batch, modalities)
            some = {n: x[rows] for n, x in whole.signals.items()}
            results = block(Observation(some, whole.side_info.rows(rows)))
            _keep(kept, name, index, rows, block.autoencoder, results, batch)


@torch.no_grad()
def clean_examples(autoencoder: Autoencoder, batch: Batch, count: int = 6) -> dict[str, Any]:
    """The first windows of a batch and their reconstructions, in physical units.

    Args:
        autoencoder: Stage 1.
        batch: A batch.
        count: How many windows.
    """
    clean = {n: x[:count] for n, x in batch.clean.items()}
    output = autoencoder.physical(autoencoder(autoencoder.standardized(clean)))
    arrays: dict[str, Any] = {}
    for name, signal in clean.items():
        arrays[f'examples/{name}/clean'] = signal.float().cpu().numpy()
        arrays[f'examples/{name}/reconstruction'] = output[name].float().cpu().numpy()
    return arrays


def _new_kinds(labels: FaultLabels, index: int, kinds: list[int]) -> torch.Tensor:
    """Rows of the batch with a visible fault of this modality and a kind not kept yet."""
    rows, seen = [], set(kinds)
    wanted = (worst_faulty(labels) == index) & (labels.severity[:, index] >= 3)
    for row in wanted.nonzero()[:, 0].tolist():
        kind = int(labels.kind[row, index])
        if kind not in seen and len(seen) < COUNT:
            seen.add(kind)
            rows.append(row)
    return torch.tensor(rows, dtype=torch.long)


def _keep(
    kept: dict[str, Any],
    name: str,
    index: int,
    rows: torch.Tensor,
    autoencoder: Autoencoder,
    results: tuple[Detection, Correction],
    batch: Batch,
) -> None:
    labels = batch.labels
    if labels is None:
        return
    found, corrected = results
    physical = {
        'clean': batch.clean[name][rows],
        'faulty': batch.observed[name][rows],
        'corrected': autoencoder.physical(corrected.signals)[name],
        'reconstruction_faulty': autoencoder.physical(autoencoder.decode(found.latents))[name],
        'reconstruction_corrected': autoencoder.physical(autoencoder(corrected.signals))[name],
        'true_map': fault_masks(labels)[name][rows],
    }
    if name in corrected.maps:
        physical['fault_map'] = corrected.maps[name]
    for what, values in physical.items():
        kept.setdefault(f'examples/{name}/{what}', []).extend(values.float().cpu().numpy())
    kept[f'examples/{name}/kind'] += labels.kind[rows, index].tolist()
    kept.setdefault(f'examples/{name}/severity', []).extend(labels.severity[rows, index].tolist())
