"""Thresholds from clean scores, and what they detect."""

import math

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_f1_score

from lipfault.errors import LipfaultError


def clean_threshold(scores: Tensor, false_alarm_rate: float) -> float:
    """Smallest threshold with at most the given false alarm rate on exchangeable clean samples.

    The split-conformal quantile: of n clean scores the ceil((n + 1)(1 - rate))-th smallest, so that
    the chance of a new clean score above it is at most `rate`.

    Args:
        scores: (sample,) anomaly scores of clean calibration samples.
        false_alarm_rate: In (0, 1).

    Raises:
        LipfaultError: If there are too few samples for this rate, it is not in (0, 1), or a score
            is not finite.

    Example:
        >>> clean_threshold(torch.arange(99.0), 0.05)
        94.0
    """
    if not 0 < false_alarm_rate < 1:
        raise LipfaultError(
            f'a false alarm rate must be above 0 and below 1, got {false_alarm_rate}'
        )
    if not torch.isfinite(scores).all():
        raise LipfaultError(
            'anomaly scores must be finite to calibrate a threshold, got NaN or Inf'
        )
    rank = math.ceil((len(scores) + 1) * (1 - false_alarm_rate))
    if rank > len(scores):
        raise LipfaultError(
            f'a false alarm rate of {false_alarm_rate} needs at least '
            f'{math.ceil(1 / false_alarm_rate) - 1} clean calibration samples, got {len(scores)}'
        )
    return float(scores.sort().values[rank - 1])


def detection_summary(
    scores: Tensor, faulty: Tensor, modality: Tensor, predicted: Tensor, threshold: float
) -> dict[str, float]:
    """Detection at a threshold; a score above it raises the alarm.

    Args:
        scores: (sample,) anomaly scores.
        faulty: (sample,) bool, the truth.
        modality: (sample,) int, the faulty modality, -1 for clean samples.
        predicted: (sample,) int, the modality that the detector blames.
        threshold: From `clean_threshold`.

    Returns:
        `f1`, `auroc`, `recall`, `false_alarm_rate` (share of clean samples above the threshold)
        and `localization_accuracy` (share of the detected faulty samples whose modality is blamed);
        NaN where a class is missing.
    """
    alarms = scores > threshold
    detected = alarms & faulty
    both = bool(faulty.any()) and not bool(faulty.all())
    nan = float('nan')
    return {
        'f1': float(binary_f1_score(alarms.int(), faulty.int())) if faulty.any() else nan,
        # Ranks instead of scores: torchmetrics squashes logits by a sigmoid, which makes ties.
        'auroc': float(binary_auroc(_ranks(scores), faulty.int())) if both else nan,
        'recall': float(detected.sum() / faulty.sum()) if faulty.any() else nan,
        'false_alarm_rate': float(alarms[~faulty].float().mean()) if not faulty.all() else nan,
        'localization_accuracy': float((predicted == modality)[detected].float().mean())
        if detected.any()
        else nan,
    }


def _ranks(scores: Tensor) -> Tensor:
    """Ranks in [0, 1], equal for equal scores."""
    _, inverse = torch.unique(scores, return_inverse=True)
    ranks: Tensor = inverse.double() / max(1, len(scores))
    return ranks
