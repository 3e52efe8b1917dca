"""Detect, reject, correct: cross-modal compensation of a corrupted sensor."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lipfault.modality import Modality, Signals
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.blocks.baselines.base import ClosedFormBlock
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.blocks.interface.types import Correction, Masks, Observation
from lipfault.models.relations.relations import Relations

STEEPNESS = 8.0
"""Slope of the rejection gate at its limit, per standard deviation of clean scores."""

QUANTILE = 0.99
"""Share of clean windows in which a modality is kept."""


class DetectRejectCorrectBlock(ClosedFormBlock):
    """Rejects a modality that stage 1 cannot reconstruct; the others predict it.

    The error of the unimodal reconstruction detects; the cross-modal predictors of stage 1
    compensate. A modality is rejected as a whole, by a steep but smooth gate, so that gradients and
    bounds exist. A single modality is replaced by its mean. With masks given, the masked modalities
    are rejected.

    Args:
        autoencoder: Stage 1, see `ComputeBlock`.
        modalities: Description of each modality.
        config: Without effect: there are no layers.
        relations: Predictors of stage 1; frozen, a submodule.

    Reference:
        CCM: Lee et al. 2020, https://arxiv.org/abs/2012.00201.
    """

    limits: Tensor

    def __init__(
        self,
        autoencoder: Autoencoder,
        modalities: Mapping[str, Modality],
        config: BlockConfig | None = None,
        *,
        relations: Relations,
    ) -> None:
        """Take the predictors; nothing is trained."""
        super().__init__(autoencoder, modalities, config)
        self.relations = relations.requires_grad_(False)
        self.register_buffer('limits', torch.zeros(len(modalities)))

    @torch.no_grad()
    def fit_start(self, standardized: Signals) -> None:
        """Fit standard scores, and the limits of rejection, on clean windows.

        Args:
            standardized: Clean signals, standardized.
        """
        residuals = self.clean_residuals(standardized)
        self.detector.fit(residuals)
        self.limits.copy_(self.detector.scaled(residuals).quantile(QUANTILE, dim=0))

    def correct(self, observation: Observation, masks: Masks) -> Correction:
        """Replace rejected modalities by the prediction of the others.

        Args:
            observation: The batch, standardized.
            masks: Modalities with a masked value are rejected; without maps the gate rejects.

        Returns:
            Corrected signals with the latents of the observed ones.
        """
        signals = observation.signals
        latents, reconstructed = self.reconstruct(signals)
        gates = _masked(masks.maps) if masks.maps else self._gates(signals, reconstructed)
        kept = {n: x * (1 - gates[n]) for n, x in signals.items()}
        predicted = self.autoencoder.decode(self.relations.predicted(kept))
        inpainted = {n: predicted.get(n, torch.zeros_like(x)) for n, x in signals.items()}
        corrected = {n: kept[n].float() + gates[n] * inpainted[n].float() for n in signals}
        return Correction(latents, inpainted, corrected, {})

    def _gates(self, signals: Signals, reconstructed: Signals) -> Signals:
        """Share of each modality that is rejected, (batch, 1 ...)."""
        scores = self.detector.scaled(self.residual_features(signals, reconstructed))
        gates = (STEEPNESS * (scores - self.limits)).sigmoid()
        each = zip(signals.items(), gates.unbind(dim=1), strict=True)
        return {n: gate.view(-1, *[1] * (x.dim() - 1)) for (n, x), gate in each}


def _masked(maps: Signals) -> Signals:
    """1 for the samples of which any value is masked, (batch, 1 ...)."""
    return {n: m.amax(dim=tuple(range(1, m.dim())), keepdim=True) for n, m in maps.items()}
