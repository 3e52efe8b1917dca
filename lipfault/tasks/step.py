"""One training step of stage 2: from a batch to the inputs, targets and outputs of the block."""

from collections.abc import Mapping

import torch

from lipfault.batch import Batch
from lipfault.faults.draws import Draws
from lipfault.faults.labels import FaultLabels
from lipfault.modality import Modality, Signals
from lipfault.models.blocks.interface.base import ComputeBlock
from lipfault.models.blocks.interface.types import Detection, Masks, Observation, StepData
from lipfault.tasks.finetune_config import FinetuneConfig
from lipfault.tasks.inputs import fault_masks, labels_of, observed
from lipfault.tasks.random_masks import training_masks


def make_step(
    block: ComputeBlock,
    batch: Batch,
    modalities: Mapping[str, Modality],
    config: FinetuneConfig,
    epoch: int,
) -> StepData:
    """Detect and correct a training batch, and collect the targets.

    Args:
        block: The compute block, in training mode.
        batch: A batch with injected faults.
        modalities: Description of each modality.
        config: Seed of the masks, and the least damage that trains the detector.
        epoch: Epoch of the random numbers.

    Returns:
        Inputs, targets and outputs of the step.

    Raises:
        LipfaultError: If the batch has no labels.
    """
    labels, true_masks = labels_of(batch), fault_masks(labels_of(batch))
    draws = Draws.of(config.seed, epoch, batch.sample_id)
    is_clean = ~labels.faulty
    clean = block.autoencoder.standardized(batch.clean)
    observation = observed(block.autoencoder, batch, modalities, is_clean)
    observation.faulty = labels.modality
    detection = block.detect(observation)
    maps = {}
    if detection.correction is None:  # else nothing is masked: the block has corrected
        maps = _mask_maps(block, observation, detection, true_masks, draws.stream('hide'))
    masks = Masks(maps, detection.map_logits, opaque=is_clean)
    return StepData(
        observation,
        clean,
        true_masks,
        labels.modality,
        is_clean | _above_noise(labels, config.least_damage),
        masks,
        detection,
        detection.correction or block.correct(observation, masks),
        draws.stream('own'),
    )


def _above_noise(labels: FaultLabels, least_damage: float) -> torch.Tensor:
    """(batch,) bool, faults that change some modality by at least so much sensor noise."""
    return labels.damage.amax(dim=1) >= least_damage


def _mask_maps(
    block: ComputeBlock,
    observation: Observation,
    detection: Detection,
    true_masks: Signals,
    draws: Draws,
) -> Signals:
    """Located maps in half of the faulty samples, true ones in the others, random in clean ones.

    True maps train the corrector, located ones make it robust to errors of the locator.
    """
    if not block.locates or observation.is_clean is None:
        return {}
    faulty = ~observation.is_clean
    true = training_masks(block.kinds, observation.signals, true_masks, faulty, draws)
    take_located = faulty & (draws.uniform('trust') < 0.5)
    return {
        n: torch.where(take_located.view(-1, *[1] * (m.dim() - 1)), m.detach(), true[n])
        for n, m in detection.maps.items()
    }
