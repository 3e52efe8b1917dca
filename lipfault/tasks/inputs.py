"""Inputs of the compute block: standardized observations and true fault maps of a batch."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lipfault.batch import Batch
from lipfault.errors import LipfaultError
from lipfault.faults.labels import FaultLabels
from lipfault.faults.presence import split_missing
from lipfault.modality import Modality, Signals
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.blocks.interface.types import Observation, SideInfo

LARGEST_DISTANCE = 1e6
"""Distance from the middle of the physical range, in widths of it, beyond which a value is no
reading: the square of a residual of such a value would leave float32."""


def labels_of(batch: Batch) -> FaultLabels:
    """Return the labels of a batch with injected faults.

    Args:
        batch: A batch of stage 2.

    Returns:
        Its labels.

    Raises:
        LipfaultError: If the batch has none.
    """
    if batch.labels is None:
        raise LipfaultError(
            'stage 2 needs faults, and the data have none: set data.faults, as '
            'configs/finetune.yaml does (`--config finetune`)'
        )
    return batch.labels


def fault_masks(labels: FaultLabels) -> Signals:
    """Return the true fault map of each modality.

    Args:
        labels: Labels of a batch.

    Returns:
        Bool maps, (batch, channel, time) with the faulty channels of a series only, or
        (batch, 1, height, width).
    """
    return {
        n: m & labels.channels[n][:, :, None] if m.dim() == 3 else m for n, m in labels.mask.items()
    }


def observed(
    autoencoder: Autoencoder,
    batch: Batch,
    modalities: Mapping[str, Modality],
    is_clean: Tensor | None = None,
) -> Observation:
    """Return the observed signals of a batch with their side information.

    Args:
        autoencoder: Stage 1, which standardizes.
        batch: Observed signals; NaN marks missing values.
        modalities: Description of each modality.
        is_clean: (batch,) bool, given in training: the samples without a fault.

    Returns:
        Standardized finite signals, missing values, stillness, and the frames before.
    """
    observation = finite(autoencoder, batch.observed, modalities)
    observation.side_info.stillness = batch.stillness
    observation.side_info.previous = autoencoder.standardized(batch.previous)
    observation.is_clean = is_clean
    return observation


def finite(
    autoencoder: Autoencoder, signals: Signals, modalities: Mapping[str, Modality]
) -> Observation:
    """Return signals with their missing values as side information.

    Args:
        autoencoder: Stage 1, which standardizes.
        signals: Signals in physical units; NaN marks missing values. Infinite values, and those
            far out of any physical range, are missing, too.
        modalities: Description of each modality.

    Returns:
        Standardized finite signals and missing values.
    """
    filled, present = split_missing(readings(signals, modalities), modalities)
    missing = {n: ~p if p.dim() == 3 else ~p.all(dim=1, keepdim=True) for n, p in present.items()}
    return Observation(autoencoder.standardized(filled), SideInfo(missing))


def readings(signals: Signals, modalities: Mapping[str, Modality]) -> Signals:
    """Replace what is no reading by NaN: infinite values, and those far out of any physical range.

    Args:
        signals: Signals in physical units.
        modalities: Description of each modality.

    Returns:
        Signals of the same shapes.
    """
    return {n: _readings(x, modalities[n]) for n, x in signals.items()}


def _readings(signal: Tensor, modality: Modality) -> Tensor:
    """The signal with NaN in place of what is no reading."""
    width, middle = (
        torch.tensor(values, device=signal.device).view(-1, *[1] * (signal.dim() - 2))
        for values in (
            [high - low for low, high in zip(modality.low, modality.high, strict=True)],
            [(high + low) / 2 for low, high in zip(modality.low, modality.high, strict=True)],
        )
    )
    return signal.where((signal - middle).abs() <= LARGEST_DISTANCE * width, torch.nan)


def worst_faulty(labels: FaultLabels) -> Tensor:
    """Return the faulty modality with the largest damage.

    Args:
        labels: Labels of a batch.

    Returns:
        (batch,) int64 index of the modality, -1 for clean samples.
    """
    damage = labels.damage.where(labels.modality, -1.0)
    return torch.where(labels.faulty, damage.argmax(dim=1), -1)
