"""Findings of a trained model: alarm, p-value, predicted modality and its faulty channels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lipfault.modality import Modality
from lipfault.models.blocks.interface.types import Correction, Detection, Observation

MARKED = 0.5
"""Probability of a fault above which a channel counts as faulty."""


@dataclass(frozen=True)
class Findings:
    """Alarms of a batch.

    Args:
        score: (batch,) anomaly score, finite.
        p_value: (batch,) share of clean calibration windows, this one included, with a score at
            least as large; the least possible share where values are missing; NaN for a run that
            keeps no clean scores.
        alarm: (batch,) bool: the score is above the threshold, or values are missing.
        modality: (batch,) int64, the modality with the largest logit; where values are missing, the
            one that lacks most, if it lacks all or the score alone gives no alarm.
        missing: (batch,) share of missing values by modality.
    """

    score: Tensor
    p_value: Tensor
    alarm: Tensor
    modality: Tensor
    missing: dict[str, Tensor]


def findings(
    detection: Detection,
    observation: Observation,
    names: Sequence[str],
    threshold: Tensor,
    clean_scores: Tensor,
) -> Findings:
    """Derive the alarms of a batch; absent and non-finite data always give one.

    Args:
        detection: Output of the compute block.
        observation: The batch, with its missing values.
        names: Names of the modalities, in the order of the logits.
        threshold: Scalar; a higher score is an alarm.
        clean_scores: (window,) scores of the clean calibration windows, ascending; empty if they
            are not known.

    Returns:
        The alarms.

    Reference:
        Conformal p-value: Vovk, Gammerman and Shafer 2005, *Algorithmic Learning in a Random
        World*, https://doi.org/10.1007/b106715.
    """
    score = detection.score
    count, maps = len(score), observation.side_info.missing
    missing = {
        n: maps[n].flatten(1).float().mean(dim=1) if n in maps else score.new_zeros(count)
        for n in names
    }
    shares = torch.stack(list(missing.values()), dim=1)  # (batch, modality)
    largest, lacking = shares.max(dim=1)
    # Written as `not <=`, so that a score of NaN is an alarm, too.
    scored = ~(score <= threshold)
    of_missing = (largest > 0) & (~scored | (largest == 1))
    return Findings(
        score=torch.nan_to_num(score, nan=torch.finfo(score.dtype).max),
        p_value=_p_values(score, clean_scores).where(
            largest == 0, _least_p_value(clean_scores).to(score)
        ),
        alarm=scored | (largest > 0),
        modality=torch.where(of_missing, lacking, detection.logits.argmax(dim=1)),
        missing=missing,
    )


def faulty_channels(
    found: Findings,
    correction: Correction,
    observation: Observation,
    modalities: Mapping[str, Modality],
) -> list[list[str]]:
    """Name the faulty channels of the predicted modality.

    Args:
        found: Alarms of the batch.
        correction: Correction of the batch, with its fault maps.
        observation: The batch, with its missing values.
        modalities: Description of each modality, in the order of the logits.

    Returns:
        For each window the channels of a series that the fault map marks, at least the one that it
        marks most, or those without values; empty without an alarm, for an image, and for a block
        that does not locate.
    """
    names = list(modalities)
    maps: dict[str, Tensor] = dict(correction.maps)
    for name, lost in observation.side_info.missing.items():
        maps[name] = torch.maximum(maps[name], lost.float()) if name in maps else lost.float()
    peaks = {n: m.amax(dim=2).tolist() for n, m in maps.items() if m.dim() == 3}
    listed = []
    for row, (alarm, index) in enumerate(
        zip(found.alarm.tolist(), found.modality.tolist(), strict=True)
    ):
        name = names[index]
        listed.append(
            _marked(modalities[name].channels, peaks[name][row]) if alarm and name in peaks else []
        )
    return listed


def _marked(channels: Sequence[str], peaks: Sequence[float]) -> list[str]:
    """Channels above `MARKED`, or the largest one; none if nothing is marked at all."""
    least = min(MARKED, max(peaks))
    return [c for c, p in zip(channels, peaks, strict=True) if p >= least and p > 0]


def _p_values(score: Tensor, clean: Tensor) -> Tensor:
    """Conformal p-value of each score."""
    if not len(clean):
        return torch.full_like(score, torch.nan)
    # A score of NaN sorts behind all others: the least p-value.
    below = torch.searchsorted(clean.to(score), score.contiguous())
    return (1 + len(clean) - below).to(score) / (1 + len(clean))


def _least_p_value(clean: Tensor) -> Tensor:
    """The least possible p-value, NaN without clean scores."""
    return torch.tensor(1 / (1 + len(clean)) if len(clean) else torch.nan)


@dataclass(frozen=True, repr=False)
class Prediction:
    """Detection and correction of one window, or of a batch.

    Arrays are of the kind of the input, numpy or torch. The fields of one window have no batch
    dimension: `score` is a float, `alarm` a bool, `faulty_modality` a name or None.

    Args:
        score: (batch,) anomaly score, the logit that at least one modality is faulty.
        alarm: (batch,) bool, whether the score is above the calibrated threshold, or values are
            missing.
        faulty_modality: Name of the modality with the largest logit in each window with an alarm,
            None in the others.
        modality_scores: (batch,) logit that a modality is faulty, by modality.
        fault_maps: Probability of a fault in [0, 1], series (batch, channel, time), images
            (batch, 1, height, width); empty for a block that does not locate.
        corrected: Corrected signals in physical units, shaped as the input; also those of an absent
            modality.
        missing: Share of missing values of each modality that has any; 1 for an absent modality.
        p_value: (batch,) share of clean calibration windows with a score at least as large; NaN for
            a run that keeps no clean scores.
        faulty_channels: Names of the faulty channels of the predicted series in each window with an
            alarm.
    """

    score: Any
    alarm: Any
    faulty_modality: Any
    modality_scores: dict[str, Any]
    fault_maps: dict[str, Any]
    corrected: dict[str, Any]
    missing: dict[str, float]
    p_value: Any = float('nan')
    faulty_channels: Any = ()

    def __repr__(self) -> str:
        """Describe the result without its arrays."""
        shapes = ', '.join(f'{n} {tuple(x.shape)}' for n, x in self.corrected.items())
        found = (
            f'score={self.score!r}, alarm={self.alarm!r}, faulty_modality={self.faulty_modality!r}'
        )
        return f'Prediction({found}, missing={self.missing!r}, corrected: {shapes})'
