"""Inputs, targets and outputs of one training step of a compute block."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from lipfault.modality import Signals
from lipfault.models.blocks.observation import Masks, Observation
from lipfault.models.blocks.outputs import Correction, Detection


class SampleDraws(Protocol):
    """Random numbers of each sample, a function of seed, epoch and sample id."""

    def uniform(self, name: str, shape: Sequence[int] = ()) -> Tensor:
        """Draw uniform numbers.

        Args:
            name: Name of the draw; other names give independent numbers.
            shape: Shape for each sample.

        Returns:
            (batch, *shape) in [0, 1), float32.
        """

    def normal(self, name: str, shape: Sequence[int] = ()) -> Tensor:
        """Draw standard normal numbers.

        Args:
            name: Name of the draw.
            shape: Shape for each sample.

        Returns:
            (batch, *shape), float32.
        """

    def integers(self, name: str, low: int, high: Tensor | int) -> Tensor:
        """Draw integers.

        Args:
            name: Name of the draw.
            low: Smallest value.
            high: Largest value, included.

        Returns:
            (batch,) int64.
        """


@dataclass
class StepData:
    """Inputs, targets and outputs of one training step.

    Args:
        observation: The observed batch.
        clean: Standardized clean signals, the targets of the correction.
        true_masks: True fault maps, bool, shaped as in `Detection`.
        modality: (batch, M) bool, the faulty modalities.
        visible: (batch,) bool, samples that train the detector: clean ones, and those whose damage
            is above the sensor noise.
        masks: The masks under which the observation was corrected.
        detection: Output of `detect`.
        correction: Output of `correct`.
        draws: Random numbers for the terms of a block of its own.
    """

    observation: Observation
    clean: Signals
    true_masks: Signals
    modality: Tensor
    visible: Tensor
    masks: Masks
    detection: Detection
    correction: Correction
    draws: SampleDraws
