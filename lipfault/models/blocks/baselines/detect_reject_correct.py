"""Detect, reject, correct: cross-modal compensation of a corrupted sensor."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lipfault.modality import Modality
from lipfault.models.autoencoder.autoencoder import Autoencoder, Signals
from lipfault.models.blocks.base import BlockConfig, Correction
from lipfault.models.blocks.baselines.base import ClosedFormBlock
from lipfault.models.relations.relations import Relations

STEEPNESS = 8.0
"""How fast trust ends, per standard deviation of clean scores, around the limit."""

QUANTILE = 0.99
"""Share of clean windows in which a modality is trusted."""


class DetectRejectCorrectBlock(ClosedFormBlock):
    """Rejects a modality that stage 1 cannot reconstruct; the others predict it.

    After CCM (Lee et al. 2020, arXiv 2012.00201): the error of the unimodal reconstruction detects,
    the other modalities compensate, here through the cross-modal predictors of stage 1. A modality
    is rejected as a whole, by a steep but smooth gate, for the sake of gradients and bounds. Where
    there is no other modality the mean takes its place. Told the place of a fault, it rejects the
    modalities concerned.

    Args:
        autoencoder: Stage 1; frozen, and not a part of this module.
        relations: Stage 1; frozen, a part of this module.
        modalities: What is known of each modality.
        config: Sizes.
    """

    limits: Tensor

    def __init__(
        self,
        autoencoder: Autoencoder,
        relations: Relations,
        modalities: Mapping[str, Modality],
        config: BlockConfig | None = None,
    ) -> None:
        """Take the predictors; nothing is trained."""
        super().__init__(autoencoder, modalities, config)
        self.relations = relations.requires_grad_(False)
        self.register_buffer('limits', torch.zeros(len(modalities)))

    def restore(self, autoencoder: Autoencoder, observed: Signals) -> tuple[Signals, Signals]:
        """Reconstruct each modality from itself."""
        latents = self.latent.split(self.corrector(self.latent.join(autoencoder.encode(observed))))
        return latents, autoencoder.decode(latents)

    @torch.no_grad()
    def fit_start(self, autoencoder: Autoencoder, standardized: Signals) -> None:
        """Take from clean windows which error is normal, and from which on none is trusted."""
        errors = self.clean_errors(autoencoder, standardized)
        self.detector.fit(errors)
        self.limits.copy_(self.detector.scaled(errors).quantile(QUANTILE, dim=0))

    def correct(
        self,
        autoencoder: Autoencoder,
        observed: Signals,
        hide: Signals,
        located: Signals | None = None,
        blind: Tensor | None = None,
    ) -> Correction:
        """Replace what is rejected by what the modalities that are left predict."""
        latents, restored = self.restore(autoencoder, observed)
        rejected = _told(hide) if hide else self._rejected(observed, restored)
        kept = {n: x * (1 - rejected[n]) for n, x in observed.items()}
        predicted = autoencoder.decode(self.relations.predicted(kept))
        inferred = {n: predicted.get(n, torch.zeros_like(x)) for n, x in observed.items()}
        cleaned = {n: kept[n].float() + rejected[n] * inferred[n].float() for n in observed}
        return Correction(latents, inferred, cleaned, {})

    def _rejected(self, observed: Signals, restored: Signals) -> Signals:
        """Share of each modality that is not trusted, (batch, 1 ...)."""
        scores = self.detector.scaled(self.features(observed, restored))
        gates = (STEEPNESS * (scores - self.limits)).sigmoid()
        return {
            n: gates[:, i].view(-1, *[1] * (x.dim() - 1))
            for i, (n, x) in enumerate(observed.items())
        }


def _told(hide: Signals) -> Signals:
    """1 for the samples of which anything is hidden, (batch, 1 ...)."""
    return {n: m.amax(dim=tuple(range(1, m.dim())), keepdim=True) for n, m in hide.items()}
