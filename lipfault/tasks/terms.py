"""The terms of the objective of stage 2."""

import torch
from torch import Tensor

from lipfault import losses as objective
from lipfault.batch import Signals
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.blocks.base import ComputeBlock, StepData
from lipfault.tasks.base import mean_over
from lipfault.tasks.distributed import in_all_processes, mean_of_processes
from lipfault.tasks.finetune_config import LossWeights


def terms_of(
    block: ComputeBlock,
    autoencoder: Autoencoder,
    step_data: StepData,
    hide: Signals,
    losses: LossWeights,
) -> dict[str, Tensor]:
    """The terms by their name in `LossWeights`, unweighted; means over the processes are exact.

    Args:
        block: What is trained; only one that locates has terms of its fault maps.
        autoencoder: Stage 1.
        step_data: A training step of the block.
        hide: What was hidden from the corrector.
        losses: Margin and pull of the contrast.
    """
    found, corrected, visible = step_data.found, step_data.corrected, step_data.visible
    with torch.no_grad():
        wanted = autoencoder.encode(step_data.clean)
    terms = {
        'rec': objective.reconstruction(corrected.cleaned, step_data.clean),
        'sim': objective.similarity(corrected.latents, wanted),
        'con': objective.contrastive(
            in_all_processes(found.embedding.float()),
            in_all_processes(step_data.modality.any(dim=1)),
            losses.margin,
            losses.pull,
            in_all_processes(visible),
        ),
        'det': objective.detection(found.logits, step_data.modality, visible, mean_of_processes),
    }
    if block.locates:
        terms['map'] = mean_over(
            objective.location(maps, step_data.masks)
            for maps in (found.map_logits, corrected.map_logits)
        )
        terms['inf'] = objective.masked_reconstruction(
            corrected.inferred, step_data.clean, hide, mean_of_processes
        )
    return terms
