"""Measurements of stage 2 on a batch: one value per sample and quantity."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lipfault.batch import Batch
from lipfault.faults.labels import FaultLabels
from lipfault.lipschitz.gains.pairwise import pairwise_gains
from lipfault.metrics.localization import MapCounts
from lipfault.metrics.recovery import error_per_sample
from lipfault.modality import Modality, Signals
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.blocks.interface.base import ComputeBlock
from lipfault.models.blocks.interface.types import (
    Correction,
    Detection,
    Masks,
    Observation,
    SideInfo,
)
from lipfault.tasks.distributed import PerSample
from lipfault.tasks.inputs import fault_masks, labels_of, observed, worst_faulty


def measure(
    block: ComputeBlock,
    batch: Batch,
    modalities: Mapping[str, Modality],
    with_clean: bool = True,
    maps: Mapping[str, MapCounts] | None = None,
) -> PerSample:
    """Measure detection and correction of a batch.

    Args:
        block: The compute block.
        batch: A batch with labels.
        modalities: Description of each modality.
        with_clean: Whether to measure the clean signals as well.
        maps: Counts of the fault maps by modality, changed in place.

    Returns:
        (batch,) tensors, among them `sample_id`.
    """
    observation, labels = observed(block.autoencoder, batch, modalities), labels_of(batch)
    faulty = block(observation)
    values = measure_detection(faulty[0], labels)
    values |= measure_correction(block, batch, observation, faulty)
    if maps is not None:
        count_maps(maps, labels, observation, faulty[1])
    if with_clean:
        of_clean, clean = measure_clean(block, batch)
        values |= of_clean | measure_gains(block.autoencoder, faulty, clean)
    return values | {'sample_id': batch.sample_id}


@torch.no_grad()
def measure_detection(detection: Detection, labels: FaultLabels) -> PerSample:
    """Collect truth, score and predicted modality of each sample.

    Where several modalities are faulty, kind, severity and damage are those of the largest damage,
    and `modality` is the predicted one if it is faulty, too.

    Args:
        detection: Detection of the observed signals.
        labels: The truth.

    Returns:
        (batch,) tensors; damage is in units of the sensor noise.
    """
    worst, predicted = worst_faulty(labels), detection.logits.argmax(dim=1)
    of_modality = worst.clamp_min(0)[:, None]
    is_right = labels.modality.gather(1, predicted[:, None])[:, 0]
    return {
        'faulty': labels.faulty,
        'modality': torch.where(is_right, predicted, worst),
        'kind': labels.kind.gather(1, of_modality)[:, 0],
        'severity': labels.severity.gather(1, of_modality)[:, 0],
        'damage': labels.damage.gather(1, of_modality)[:, 0].float(),
        'score': detection.score,
        'predicted_modality': predicted,
    }


@torch.no_grad()
def measure_correction(
    block: ComputeBlock,
    batch: Batch,
    observation: Observation,
    results: tuple[Detection, Correction],
) -> PerSample:
    """Compute errors of the faulty modalities before and after the correction.

    `energy_injected` and `energy_left` are squared errors of the observed and of the corrected
    signal; `error_*` are reconstruction errors of the stage-1 autoencoder for the clean, the
    observed and the corrected signal, and for the signal corrected with oracle masks (`oracle`).

    Args:
        block: The compute block.
        batch: A batch with labels.
        observation: Its observed signals, standardized.
        results: Detection and correction of the observation.

    Returns:
        (batch,) mean squared errors in standardized units, summed over the faulty modalities; NaN
        for clean samples.
    """
    labels, autoencoder = labels_of(batch), block.autoencoder
    detection, correction = results
    truth = autoencoder.standardized(batch.clean)
    oracle_maps = {n: m.float() for n, m in fault_masks(labels).items()}
    oracle = block.correct(observation, Masks(oracle_maps))
    versions = {
        'error_clean': autoencoder(truth),
        'error_uncorrected': autoencoder.decode(detection.latents),
        'error_corrected': autoencoder(correction.signals),
        'error_oracle': autoencoder(oracle.signals),
        'energy_injected': observation.signals,
        'energy_left': correction.signals,
    }
    return {key: _of_faulty(estimate, truth, labels) for key, estimate in versions.items()}


def count_maps(
    counts: Mapping[str, MapCounts],
    labels: FaultLabels,
    observation: Observation,
    correction: Correction,
) -> None:
    """Count the refined fault maps of a batch on faulty and on clean entries.

    Missing values are left out: their fault is known, and the map is 1 there by construction.

    Args:
        counts: Counts by modality in the order of the labels; changed in place.
        labels: The truth.
        observation: Observed signals, for what is missing.
        correction: Correction of the observation; without maps nothing is counted.
    """
    masks = fault_masks(labels)
    for index, (name, count) in enumerate(counts.items()):
        if name in correction.map_logits:
            logits = correction.map_logits[name]
            true = masks[name].expand_as(logits)
            missing = observation.side_info.missing.get(name)
            count.add(logits, true, labels.kind[:, index], missing)


@torch.no_grad()
def measure_clean(
    block: ComputeBlock, batch: Batch
) -> tuple[PerSample, tuple[Detection, Correction]]:
    """Compute the score of the clean signals, and their change by the correction.

    `harm_before` and `harm_after` are the reconstruction errors of the autoencoder for the clean
    and for the corrected clean signal, averaged over the modalities; `clean_change` is the mean
    squared change of the clean signal itself.

    Args:
        block: The compute block.
        batch: A batch.

    Returns:
        (batch,) tensors, errors in standardized units; and detection and correction of the clean
        signals.
    """
    autoencoder = block.autoencoder
    truth = autoencoder.standardized(batch.clean)
    previous = autoencoder.standardized(batch.clean_previous)
    side_info = SideInfo(stillness=batch.clean_stillness, previous=previous)
    observation = Observation(truth, side_info)
    detection, correction = block(observation)
    before, after = autoencoder.decode(detection.latents), autoencoder(correction.signals)
    values = {
        'score_clean': detection.score,
        'harm_before': _over_modalities(before, truth),
        'harm_after': _over_modalities(after, truth),
        'clean_change': _over_modalities(correction.signals, truth),
    }
    for name, signal in truth.items():
        values[f'skill_error/{name}'] = error_per_sample(before[name].float(), signal)
        values[f'skill_spread/{name}'] = signal.square().flatten(1).mean(dim=1)
    return values, (detection, correction)


@torch.no_grad()
def measure_gains(
    autoencoder: Autoencoder,
    faulty: tuple[Detection, Correction],
    clean: tuple[Detection, Correction],
) -> PerSample:
    """Compute gains of corrector and detector along injected faults and between clean samples.

    The corrector maps the latent of the observed signals to the latent of the corrected ones. A
    clean pair is a sample and the one half a batch further on. See docs/theory.md, section 6.

    Args:
        autoencoder: Stage 1.
        faulty: Detection and correction of the observed signals.
        clean: Detection and correction of the clean signals.

    Returns:
        (batch,) ratios of Euclidean norms; NaN where input and clean input are equal.
    """
    points = {
        'corrector': (
            _joint(clean[0].latents),
            _joint(faulty[0].latents),
            _joint(autoencoder.encode(clean[1].signals)),
            _joint(autoencoder.encode(faulty[1].signals)),
        ),
        'detector': (
            clean[0].scaled,
            faulty[0].scaled,
            clean[0].embedding,
            faulty[0].embedding,
        ),
    }
    gains = {}
    for module, (before, after, out_before, out_after) in points.items():
        gains[f'{module}_fault_gain'] = pairwise_gains(before, after, out_before, out_after).float()
        # Half a batch: consecutive windows overlap, and are no independent pair.
        shift = max(1, len(before) // 2)
        other, out_other = before.roll(shift, 0), out_before.roll(shift, 0)
        gains[f'{module}_clean_gain'] = pairwise_gains(before, other, out_before, out_other).float()
    return gains


def _joint(latents: Signals) -> Tensor:
    """Latents as (batch, feature)."""
    return torch.cat([z.flatten(1).float() for z in latents.values()], dim=1)


def _over_modalities(estimate: Signals, truth: Signals) -> Tensor:
    """(batch,) mean squared error, averaged over the modalities."""
    errors = [error_per_sample(estimate[n].float(), x) for n, x in truth.items()]
    return torch.stack(errors).mean(dim=0)


def _of_faulty(estimate: Signals, truth: Signals, labels: FaultLabels) -> Tensor:
    """(batch,) mean squared error, summed over the faulty modalities; NaN for clean samples."""
    errors = [error_per_sample(estimate[n].float(), x) for n, x in truth.items()]
    faulty = torch.stack(errors, dim=1).where(labels.modality, 0.0).sum(dim=1)
    return faulty.where(labels.faulty, torch.nan)
