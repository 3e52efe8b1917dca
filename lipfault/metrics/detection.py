"""Alarm threshold from clean scores, and detection metrics at a threshold."""

import math

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_calibration_error,
    binary_f1_score,
)

from lipfault.errors import LipfaultError


def clean_threshold(scores: Tensor, false_alarm_rate: float) -> float:
    """Return the smallest threshold with at most the given false alarm rate on clean samples.

    The split-conformal quantile: of n clean scores the ceil((n + 1)(1 - rate))-th smallest. The
    chance that a new, exchangeable clean score exceeds it is at most `false_alarm_rate`.

    Args:
        scores: (sample,) anomaly scores of clean calibration samples.
        false_alarm_rate: In (0, 1).

    Returns:
        The threshold, one of the scores.

    Raises:
        LipfaultError: If there are too few samples for this rate, it is not in (0, 1), or a score
            is not finite.

    Reference:
        Angelopoulos & Bates 2021, A gentle introduction to conformal prediction,
        https://arxiv.org/abs/2107.07511

    Example:
        >>> clean_threshold(torch.arange(99.0), 0.05)
        94.0
    """
    if not 0 < false_alarm_rate < 1:
        raise LipfaultError(
            f'a false alarm rate must be above 0 and below 1, got {false_alarm_rate}'
        )
    finite = torch.isfinite(scores)
    if not finite.all():
        raise LipfaultError(
            'anomaly scores must be finite to calibrate a threshold, got '
            f'{int((~finite).sum())} of {len(scores)} NaN or infinite'
        )
    rank = math.ceil((len(scores) + 1) * (1 - false_alarm_rate))
    # Beyond the largest score the quantile is infinite: no sample could raise the alarm.
    if rank > len(scores):
        raise LipfaultError(
            f'a false alarm rate of {false_alarm_rate} needs at least '
            f'{math.ceil(1 / false_alarm_rate) - 1} clean calibration samples, got {len(scores)}'
        )
    return float(scores.sort().values[rank - 1])


def detection_summary(
    scores: Tensor, faulty: Tensor, modality: Tensor, predicted: Tensor, threshold: float
) -> dict[str, float]:
    """Compute detection metrics at a threshold; a score above it raises the alarm.

    Args:
        scores: (sample,) anomaly scores.
        faulty: (sample,) bool, ground truth.
        modality: (sample,) int, the faulty modality, -1 for clean samples.
        predicted: (sample,) int, the modality that is predicted to be faulty.
        threshold: From `clean_threshold`.

    Returns:
        `f1`, `auroc`, `recall`, `false_alarm_rate` (share of clean samples above the threshold),
        `localization_accuracy` (share of the detected faulty samples whose faulty modality is
        predicted) and `calibration_error` (expected calibration error of the sigmoid of the score,
        15 bins); NaN where a class is missing.

    Reference:
        Fawcett 2006, An introduction to ROC analysis,
        https://doi.org/10.1016/j.patrec.2005.10.010; Guo et al. 2017, On calibration of modern
        neural networks, https://arxiv.org/abs/1706.04599
    """
    alarms = scores > threshold
    detected = alarms & faulty
    both = bool(faulty.any()) and not bool(faulty.all())
    nan = float('nan')
    return {
        'f1': float(binary_f1_score(alarms.int(), faulty.int())) if faulty.any() else nan,
        # Ranks instead of scores: torchmetrics applies a sigmoid to logits, which makes ties.
        'auroc': float(binary_auroc(_ranks(scores), faulty.int())) if both else nan,
        'recall': float(detected.sum() / faulty.sum()) if faulty.any() else nan,
        'false_alarm_rate': float(alarms[~faulty].float().mean()) if not faulty.all() else nan,
        'localization_accuracy': float((predicted == modality)[detected].float().mean())
        if detected.any()
        else nan,
        'calibration_error': float(binary_calibration_error(scores.sigmoid(), faulty.int()))
        if both
        else nan,
    }


def _ranks(scores: Tensor) -> Tensor:
    """Return ranks in [0, 1], equal for equal scores."""
    _, inverse = torch.unique(scores, return_inverse=True)
    ranks: Tensor = inverse.double() / max(1, len(scores))
    return ranks
