"""The terms of the objective of stage 2."""

import torch
from torch import Tensor

from lipfault import losses
from lipfault.models.blocks.interface.base import ComputeBlock
from lipfault.models.blocks.interface.types import StepData
from lipfault.tasks.base import mean_over
from lipfault.tasks.distributed import gather_rows, mean_of_processes
from lipfault.tasks.finetune_config import LossWeights


def objective_terms(block: ComputeBlock, step: StepData, weights: LossWeights) -> dict[str, Tensor]:
    """Compute the terms of the objective, unweighted.

    Args:
        block: The compute block; only one that locates has terms of its fault maps.
        step: Inputs, targets and outputs of the training step.
        weights: Margin and pull of the contrastive term.

    Returns:
        Scalars by their name in `LossWeights`; means over the processes are exact.
    """
    detection, correction = step.detection, step.correction
    terms = {'rec': losses.reconstruction(correction.signals, step.clean)}
    if correction.latents:
        with torch.no_grad():
            targets = block.autoencoder.encode(step.clean)
        terms['sim'] = losses.similarity(correction.latents, targets)
    terms |= {
        'con': losses.contrastive(
            gather_rows(detection.embedding.float()),
            gather_rows(step.modality.any(dim=1)),
            weights.margin,
            weights.pull,
            gather_rows(step.visible),
        ),
        'det': losses.detection(detection.logits, step.modality, step.visible, mean_of_processes),
    }
    if block.locates:
        terms['map'] = mean_over(
            losses.location(maps, step.true_masks)
            for maps in (detection.map_logits, correction.map_logits)
        )
    if correction.inpainted and block.locates:
        terms['inf'] = losses.masked_reconstruction(
            correction.inpainted, step.clean, step.masks.maps, mean_of_processes
        )
    return terms


def weighted_sum(terms: dict[str, Tensor], weights: LossWeights) -> Tensor:
    """Weight and add the terms of the objective.

    Args:
        terms: Scalars by their name in `LossWeights`.
        weights: Their weights.

    Returns:
        Scalar.
    """
    return torch.stack([getattr(weights, key) * term for key, term in terms.items()]).sum()
