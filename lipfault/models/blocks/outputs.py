"""Outputs of a compute block: a detection and a correction."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.modality import Signals


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
    """

    logits: Tensor
    embedding: Tensor
    scaled: Tensor
    map_logits: Signals
    latents: Signals
    modality_logits: Tensor | None = None

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
        latents: Latents that the corrector computes.
        inpainted: Standardized signals decoded from them, refined by the inpainters.
        signals: Corrected signals, standardized: observed outside the fault map, inpainted inside.
        map_logits: Logits of the refined fault maps, as in `Detection`; empty where the masks were
            given without logits, or the block does not locate.
    """

    latents: Signals
    inpainted: Signals
    signals: Signals
    map_logits: Signals

    @property
    def maps(self) -> Signals:
        """Refined fault maps in [0, 1], shaped as `map_logits`."""
        return _probabilities(self.map_logits)
