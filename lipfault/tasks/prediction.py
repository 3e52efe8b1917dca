"""The result of a trained model on a user's arrays."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, repr=False)
class Prediction:
    """Detection and correction of one window, or of a batch.

    Arrays are of the kind of the input, numpy or torch. The fields of one window have no batch
    dimension: `score` is a float, `alarm` a bool, `faulty_modality` a name or None.

    Args:
        score: (batch,) anomaly score, the logit that at least one modality is faulty.
        alarm: (batch,) bool, whether the score is above the calibrated threshold.
        faulty_modality: Name of the modality with the largest logit in each window with an alarm,
            None in the others.
        modality_scores: (batch,) logit that a modality is faulty, by modality.
        fault_maps: Probability of a fault in [0, 1], series (batch, channel, time), images
            (batch, 1, height, width); empty for a block that does not locate.
        corrected: Corrected signals in physical units, shaped as the input; also those of an absent
            modality.
        missing: Share of missing values of each modality that has any; 1 for an absent modality.
    """

    score: Any
    alarm: Any
    faulty_modality: Any
    modality_scores: dict[str, Any]
    fault_maps: dict[str, Any]
    corrected: dict[str, Any]
    missing: dict[str, float]

    def __repr__(self) -> str:
        """Describe the result without its arrays."""
        shapes = ', '.join(f'{n} {tuple(x.shape)}' for n, x in self.corrected.items())
        found = (
            f'score={self.score!r}, alarm={self.alarm!r}, faulty_modality={self.faulty_modality!r}'
        )
        return f'Prediction({found}, missing={self.missing!r}, corrected: {shapes})'
