"""What stage 2 measures on a batch: one number per sample and quantity."""

import torch
from torch import Tensor

from lipfault.batch import Batch, Signals
from lipfault.faults.labels import FaultLabels
from lipfault.lipschitz.gains.pairwise import pairwise_gains
from lipfault.metrics.recovery import error_per_sample
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.blocks.base import ComputeBlock, Correction, Detection, SideInfo
from lipfault.tasks.inputs import fault_masks, worst_faulty

PerSample = dict[str, Tensor]


@torch.no_grad()
def measure_detection(found: Detection, labels: FaultLabels) -> PerSample:
    """Truth, score and blamed modality of each sample, (batch,) each.

    Where several modalities are faulty, kind, severity and damage are those of the largest damage,
    and `modality` is the blamed one if it is faulty, too.
    """
    worst, blamed = worst_faulty(labels), found.logits.argmax(dim=1)
    of_modality = worst.clamp_min(0)[:, None]
    right = labels.modality.gather(1, blamed[:, None])[:, 0]
    return {
        'faulty': labels.faulty,
        'modality': torch.where(right, blamed, worst),
        'kind': labels.kind.gather(1, of_modality)[:, 0],
        'severity': labels.severity.gather(1, of_modality)[:, 0],
        'damage': labels.damage.gather(1, of_modality)[:, 0].float(),
        'score': found.score,
        'predicted_modality': blamed,
    }


@torch.no_grad()
def measure_correction(
    autoencoder: Autoencoder,
    block: ComputeBlock,
    batch: Batch,
    observed: Signals,
    results: tuple[Detection, Correction],
) -> PerSample:
    """Errors of the faulty modality before and after, (batch,) each, NaN for clean samples.

    Where several are faulty, the sum of theirs. `energy_injected` and `energy_left` are squared
    errors of the observed and of the cleaned signal; `error_*` are reconstruction errors of the
    stage-1 autoencoder, fed with the clean, the observed and the cleaned signal, and with the
    signal cleaned by the block that is told the true fault map (`oracle`). All in standardized
    units.
    """
    labels, (found, corrected) = _labels(batch), results
    truth = autoencoder.standardized(batch.clean)
    masks = {n: m.float() for n, m in fault_masks(labels).items()}
    oracle = block.correct(autoencoder, observed, masks)
    versions = {
        'error_clean': autoencoder(truth),
        'error_uncorrected': autoencoder.decode(found.latents),
        'error_corrected': autoencoder(corrected.cleaned),
        'error_oracle': autoencoder(oracle.cleaned),
        'energy_injected': observed,
        'energy_left': corrected.cleaned,
    }
    return {key: _of_faulty(estimate, truth, labels) for key, estimate in versions.items()}


@torch.no_grad()
def measure_clean(
    autoencoder: Autoencoder, block: ComputeBlock, batch: Batch
) -> tuple[PerSample, tuple[Detection, Correction]]:
    """Score of the clean signals, and what the block does to them, (batch,) each.

    `harm_before` and `harm_after` are the reconstruction errors of the autoencoder fed with the
    clean and with the cleaned signal, averaged over the modalities.
    """
    truth = autoencoder.standardized(batch.clean)
    found, corrected = block(autoencoder, truth, known=SideInfo(stillness=batch.clean_stillness))
    before, after = autoencoder.decode(found.latents), autoencoder(corrected.cleaned)
    values = {
        'score_clean': found.score,
        'harm_before': _over_modalities(before, truth),
        'harm_after': _over_modalities(after, truth),
        'clean_change': _over_modalities(corrected.cleaned, truth),
    }
    for name, signal in truth.items():
        values[f'skill_error/{name}'] = error_per_sample(before[name].float(), signal)
        values[f'skill_spread/{name}'] = signal.square().flatten(1).mean(dim=1)
    return values, (found, corrected)


@torch.no_grad()
def measure_gains(
    autoencoder: Autoencoder,
    faulty: tuple[Detection, Correction],
    clean: tuple[Detection, Correction],
) -> PerSample:
    """Gains of corrector and detector along the injected faults and between clean samples.

    The corrector takes the latent of the observed signals to the latent of the cleaned ones. A
    clean pair is a sample with the one half a batch further on. NaN where nothing moved.

    Args:
        autoencoder: Stage 1.
        faulty: What the block made of the observed signals.
        clean: What it made of the clean ones.
    """
    points = {
        'corrector': (
            _joint(clean[0].latents),
            _joint(faulty[0].latents),
            _joint(autoencoder.encode(clean[1].cleaned)),
            _joint(autoencoder.encode(faulty[1].cleaned)),
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
        shift = max(1, len(before) // 2)
        other, out_other = before.roll(shift, 0), out_before.roll(shift, 0)
        gains[f'{module}_clean_gain'] = pairwise_gains(before, other, out_before, out_other).float()
    return gains


def _labels(batch: Batch) -> FaultLabels:
    if batch.labels is None:
        raise ValueError('the batch has no fault labels: switch the faults of the DataModule on')
    return batch.labels


def _joint(latents: Signals) -> Tensor:
    return torch.cat([z.flatten(1).float() for z in latents.values()], dim=1)


def _over_modalities(estimate: Signals, truth: Signals) -> Tensor:
    errors = [error_per_sample(estimate[n].float(), x) for n, x in truth.items()]
    return torch.stack(errors).mean(dim=0)


def _of_faulty(estimate: Signals, truth: Signals, labels: FaultLabels) -> Tensor:
    errors = [error_per_sample(estimate[n].float(), x) for n, x in truth.items()]
    faulty = torch.stack(errors, dim=1).where(labels.modality, 0.0).sum(dim=1)
    return faulty.where(labels.faulty, torch.nan)
