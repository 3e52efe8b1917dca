"""The terms of the objective of stage 2."""

import torch
from torch import Tensor

from lipfault.batch import Signals
from lipfault.models import objective
from lipfault.models.autoencoder import Autoencoder
from lipfault.models.block import ComputeBlock, Lesson
from lipfault.tasks.base import mean_over
from lipfault.tasks.finetune_config import LossWeights
from lipfault.tasks.gather import in_all_processes, mean_of_processes


def terms_of(
    block: ComputeBlock,
    autoencoder: Autoencoder,
    lesson: Lesson,
    hide: Signals,
    losses: LossWeights,
) -> dict[str, Tensor]:
    """The terms by their name in `LossWeights`, unweighted; means over the processes are exact.

    Args:
        block: What is trained; only one that locates has terms of its fault maps.
        autoencoder: Stage 1.
        lesson: A training step of the block.
        hide: What was hidden from the corrector.
        losses: Margin and pull of the contrast.
    """
    found, corrected, visible = lesson.found, lesson.corrected, lesson.visible
    with torch.no_grad():
        wanted = autoencoder.encode(lesson.clean)
    terms = {
        'rec': objective.reconstruction(corrected.cleaned, lesson.clean),
        'sim': objective.similarity(corrected.latents, wanted),
        'con': objective.contrastive(
            in_all_processes(found.embedding.float()),
            in_all_processes(lesson.modality.any(dim=1)),
            losses.margin,
            losses.pull,
            in_all_processes(visible),
        ),
        'det': objective.detection(found.logits, lesson.modality, visible, mean_of_processes),
    }
    if block.locates:
        terms['map'] = mean_over(
            objective.location(maps, lesson.masks)
            for maps in (found.map_logits, corrected.map_logits)
        )
        terms['inf'] = objective.hidden_reconstruction(
            corrected.inferred, lesson.clean, hide, mean_of_processes
        )
    return terms
