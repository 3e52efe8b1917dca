"""Inputs of the compute block: standardized signals, missing values, fault masks."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lipfault.batch import Batch, Signals
from lipfault.faults.labels import FaultLabels
from lipfault.faults.presence import split_missing
from lipfault.modality import Modality
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.blocks.base import SideInfo


def fault_masks(labels: FaultLabels) -> Signals:
    """True fault maps of each modality, bool, (batch, channel, time) or (batch, 1, height, width).

    A series is touched only in the channels of the fault; an image in all its channels.
    """
    return {
        n: m & labels.channels[n][:, :, None] if m.dim() == 3 else m for n, m in labels.mask.items()
    }


def observed_signals(
    autoencoder: Autoencoder, batch: Batch, modalities: Mapping[str, Modality]
) -> tuple[Signals, SideInfo]:
    """Standardized observed signals, finite, and what is known besides.

    Args:
        autoencoder: Standardizes.
        batch: Observed signals may hold NaN: truly missing values.
        modalities: What is known of each modality.

    Returns:
        The signals, and where no value arrived and how still the images are.
    """
    signals, known = finite_signals(autoencoder, batch.observed, modalities)
    return signals, replace(known, stillness=batch.stillness)


def finite_signals(
    autoencoder: Autoencoder, signals: Signals, modalities: Mapping[str, Modality]
) -> tuple[Signals, SideInfo]:
    """Standardized signals, finite, and where no value arrived.

    Args:
        autoencoder: Standardizes.
        signals: Physical units; may hold NaN: truly missing values.
        modalities: What is known of each modality.
    """
    finite, present = split_missing(signals, modalities)
    missing = {n: ~p if p.dim() == 3 else ~p.all(dim=1, keepdim=True) for n, p in present.items()}
    return autoencoder.standardized(finite), SideInfo(missing)


def worst_faulty(labels: FaultLabels) -> Tensor:
    """(batch,) int64 index of the faulty modality with the largest damage, -1 for clean samples."""
    damage = labels.damage.where(labels.modality, -1.0)
    return torch.where(labels.faulty, damage.argmax(dim=1), -1)
