"""Inputs and outputs of a compute block: observations, masks, detections, corrections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from lipfault.modality import Signals


@dataclass
class SideInfo:
    """Information about observed signals beside their values.

    Args:
        missing: Bool maps, true where no value arrived, shaped as the fault maps: series
            (batch, channel, time), images (batch, 1, height, width).
        stillness: For images (batch,) in [0, 1], 1 where a frame repeats the frame before bit by
            bit, see `lipfault.data.stillness`; an absent image counts as moving, 0.
        previous: For images the standardized frame before, shaped as the image, NaN where a value
            is missing; images may be absent.
    """

    missing: Signals = field(default_factory=dict)
    stillness: Signals = field(default_factory=dict)
    previous: Signals = field(default_factory=dict)

    def rows(self, rows: Tensor) -> 'SideInfo':
        """Select samples.

        Args:
            rows: (n,) int64 indices into the batch.

        Returns:
            The side information of these samples, in this order.
        """
        parts = (self.missing, self.stillness, self.previous)
        return SideInfo(*({n: x[rows] for n, x in each.items()} for each in parts))


@dataclass
class Observation:
    """One batch as a compute block receives it.

    Args:
        signals: Standardized signals, finite, float32.
        side_info: Missing values, stillness, and the frames before.
        is_clean: (batch,) bool, the samples without a fault. Given in training only: these samples
            set the running scales of the block.
        faulty: (batch, M) bool, the faulty modalities, in the order of the signals. Given in
            training only, to select the samples on which a correction is trained.
    """

    signals: Signals
    side_info: SideInfo = field(default_factory=SideInfo)
    is_clean: Tensor | None = None
    faulty: Tensor | None = None

    def stillness(self, name: str) -> Tensor:
        """Return the stillness of an image as a column.

        Args:
            name: Name of the modality.

        Returns:
            (batch, 1) in [0, 1], 0 where it is unknown.
        """
        signal = self.signals[name]
        if name not in self.side_info.stillness:
            return torch.zeros(signal.shape[0], 1, dtype=signal.dtype, device=signal.device)
        return self.side_info.stillness[name][:, None].to(signal.dtype)


@dataclass
class Masks:
    """What the corrector must do without, and what it replaces.

    Args:
        maps: For each modality a map in [0, 1], shaped as the fault maps; 1 masks. Masked values
            do not reach the corrector.
        map_logits: Logits of the fault maps of `detect`. The map refiner updates them, and the
            refined map decides what is replaced. Without them what is masked is replaced.
        opaque: (batch,) bool, samples whose masked pixels may not even be used as a degraded
            image. Given in training for clean samples, whose masked pixels are the solution.
    """

    maps: Signals
    map_logits: Signals | None = None
    opaque: Tensor | None = None


def _probabilities(map_logits: Signals) -> Signals:
    """Logits to probabilities, float32."""
    return {n: m.float().sigmoid() for n, m in map_logits.items()}


@dataclass
class Detection:
    """Scores, embedding and fault maps of a batch of M modalities.

    Args:
        logits: (batch, M), positive where a modality is classified as faulty.
        embedding: (batch, embedding) of the detector.
        scaled: (batch, feature), the detector's input, mean 0 and variance 1 on clean samples.
        map_logits: Logits of the fault map of each modality: series (batch, channel, time), images
            (batch, 1, height, width). Empty for a block that does not locate.
        latents: Latents of the observed signals.
        modality_logits: (batch, M), the part of the logits that a block trains by a term of its
            own; None for a block without.
        correction: The correction, of a block that detects by what it corrects; None for the
            others, which correct after the detection.
    """

    logits: Tensor
    embedding: Tensor
    scaled: Tensor
    map_logits: Signals
    latents: Signals
    modality_logits: Tensor | None = None
    correction: 'Correction | None' = None

    @property
    def score(self) -> Tensor:
        """(batch,) anomaly score: the logit that at least one modality is faulty, float32."""
        return torch.logsumexp(self.logits.float(), dim=1)

    @property
    def maps(self) -> Signals:
        """Fault maps in [0, 1], shaped as `map_logits`."""
        return _probabilities(self.map_logits)


@dataclass
class Correction:
    """Corrected signals of a batch.

    Args:
        latents: Latents that the corrector computes; empty for a corrector without.
        inpainted: Standardized signals decoded from them, refined by the inpainters; empty for a
            block without.
        signals: Corrected signals, standardized: observed outside the fault map, inpainted inside.
        map_logits: Logits of the refined fault maps, as in `Detection`; empty where the masks were
            given without logits, or the block does not locate.
        rounds: Corrected signals of the earlier rounds, each trained by a term of its own; empty
            for a block without.
        log_sizes: Logarithms of the fault sizes in every round, (batch, channel, chunk), of series
            only; empty for a block without.
    """

    latents: Signals
    inpainted: Signals
    signals: Signals
    map_logits: Signals
    rounds: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)
    log_sizes: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)

    @property
    def maps(self) -> Signals:
        """Refined fault maps in [0, 1], shaped as `map_logits`."""
        return _probabilities(self.map_logits)


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
