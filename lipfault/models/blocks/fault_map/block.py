"""The compute block that corrects inside its fault map only."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from lipfault.losses import attribution
from lipfault.modality import Modality, Signals
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.blocks.fault_map.corrector import Corrector
from lipfault.models.blocks.fault_map.features import mean_over_positions
from lipfault.models.blocks.fault_map.modality_parts import ModalityParts, PartSizes, Residuals
from lipfault.models.blocks.interface.base import ComputeBlock
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.blocks.interface.detector import Detector
from lipfault.models.blocks.interface.types import (
    Correction,
    Detection,
    Masks,
    Observation,
    StepData,
)
from lipfault.models.layers.chunks import CHUNK, in_chunks
from lipfault.models.layers.patch_net import require_patches
from lipfault.models.relations.relations import Relations

CERTAIN = 16.0
"""Logit of the fault map where no value arrived; its probability is 1 to seven digits."""

SCALE_WINDOWS = 1500
"""Clean windows on which the pixel scale of image residuals is fitted: independent windows would
give each root mean square to 1 / sqrt(2 x 1500) = 2 %."""

WIDTHS: Mapping[str, int] = {'series': 192, 'image': 48}
"""Hidden channels of locators and inpainters unless configured."""


class FaultMapBlock(ComputeBlock):
    """Locates faults, and corrects what it has located.

    1. The relations of stage 1 give residuals of each channel given the others of its series, and
       of each modality given the other modalities.
    2. A locator per modality takes these residuals, the observed signal and the residual of the
       reconstruction, and for an image its stillness. Its output is a soft fault map over channel
       and time, or over pixels.
    3. A classifier per modality takes the pooled features of the locator and standard scores of the
       residuals. The detector embeds the inputs and logits of all classifiers, and adds its logits
       to theirs. The contrastive gradient is detached from the classifiers: it is far larger than
       theirs.
    4. The corrector infers the latent of what the fault map masks; in evaluation the inpainted
       signal is clamped to the sensor's range, which bounds the effect of any fault.
    5. A map refiner per modality updates the fault map by the difference between observed and
       inpainted signal. The corrected signal is the observed one outside the refined map, the
       inpainted one inside.

    Args:
        autoencoder: Stage 1; frozen, not a submodule.
        relations: Stage 1; frozen, a submodule.
        modalities: Description of each modality.
        config: Sizes.

    Raises:
        LipfaultError: If a window or an image is not a whole number of patches of the locators.
    """

    locates = True
    corrector: Corrector

    def __init__(
        self,
        autoencoder: Autoencoder,
        relations: Relations,
        modalities: Mapping[str, Modality],
        config: BlockConfig | None = None,
    ) -> None:
        """Build the parts for the latent shapes of the autoencoder."""
        super().__init__(autoencoder, modalities)
        for name, modality in modalities.items():
            require_patches(modality, autoencoder.steps.get(name))
        config = config or BlockConfig()
        self.rounds = config.rounds
        self.modalities = dict(modalities)
        self.relations = relations.requires_grad_(False)
        sizes = {n: self._sizes(n, config.local_widths or WIDTHS) for n in modalities}
        # Kind of part by kind of part, not modality by modality: the order of the random numbers
        # from which the weights of version 0.1 were initialized, so that a seed gives the same run.
        locators = {n: s.locator() for n, s in sizes.items()}
        inpainters = {n: s.inpainter() for n, s in sizes.items()}
        map_refiners = {n: s.map_refiner() for n, s in sizes.items()}
        self.corrector = Corrector(
            {n: s.latent_shape for n, s in sizes.items()},
            {n: s.map_size for n, s in sizes.items()},
            config.corrector_width,
        )
        self.parts = nn.ModuleDict(
            {
                n: ModalityParts(s, locators[n], inpainters[n], map_refiners[n], s.classifier())
                for n, s in sizes.items()
            }
        )
        features = sum(s.classifier_inputs for s in sizes.values()) + len(modalities)
        self.detector = Detector(features, len(modalities), config.detector_width, config.embedding)

    def _sizes(self, name: str, widths: Mapping[str, int]) -> PartSizes:
        """Sizes of the parts of one modality."""
        is_predicted = name in self.relations.predictors
        residuals = 1 + is_predicted + self.relations.residual_count(name)
        modality, shape = self.modalities[name], self.autoencoder.latent_shape(name)
        return PartSizes(modality, shape, residuals, is_predicted, widths[modality.kind])

    def _part(self, name: str) -> ModalityParts:
        part: ModalityParts = self.parts[name]  # type: ignore[assignment]
        return part

    def fit_start(self, standardized: Signals) -> None:
        """Fit latent whitening and pixel scales in closed form on clean windows.

        Args:
            standardized: Clean signals, standardized, of windows that stage 1 was not trained on.
        """
        latents, predicted = in_chunks(
            standardized, self.autoencoder.encode, self.relations.predicted
        )
        for name in predicted:
            whitening = self._part(name).latent_residual
            if whitening is not None:
                importance = self.autoencoder.importance(name)
                whitening.fit(latents[name], predicted[name], importance)
        count = len(next(iter(standardized.values())))
        some = torch.linspace(0, count - 1, min(SCALE_WINDOWS, count)).long()
        for name, modality in self.modalities.items():
            scale = self._part(name).pixel_scale
            if scale is not None:
                scale.reset()
                noise = self.autoencoder.noise(name, modality)
                scale.fit(self._unscaled_residuals(name, standardized, some), noise)

    def _unscaled_residuals(
        self, name: str, standardized: Signals, rows: Tensor
    ) -> Iterator[list[Tensor]]:
        """Residuals of one modality on some windows, chunk by chunk."""
        for chunk in torch.split(rows, CHUNK):
            windows = {n: x[chunk] for n, x in standardized.items()}
            yield self.residuals(windows)[name].signals

    def detect(self, observation: Observation) -> Detection:
        """Compute residuals, fault maps, classifier logits and the detector's embedding.

        Args:
            observation: The batch, standardized.

        Returns:
            Logits, embedding and fault maps.
        """
        residuals = self.residuals(observation.signals)
        located = self._locate(observation, residuals)
        inputs = {
            n: self._part(n).classifier_inputs(n, observation, r, located[n])
            for n, r in residuals.items()
        }
        modality_logits = torch.cat([self._part(n).classifier(x) for n, x in inputs.items()], dim=1)
        features = self._detached(torch.cat([*inputs.values(), modality_logits], dim=1))
        scaled = self.detector.scaled(features, observation.is_clean)
        embedding = self.detector.embed(scaled)
        return Detection(
            self._detached(modality_logits) + self.detector(embedding),
            embedding,
            scaled,
            {n: logits for n, (logits, _) in located.items()},
            {n: r.latent for n, r in residuals.items()},
            modality_logits,
        )

    def _locate(
        self, observation: Observation, residuals: Mapping[str, Residuals]
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Logits of the fault maps, certain where no value arrived, and pooled features."""
        located = {n: self._part(n).locate(n, observation, r) for n, r in residuals.items()}
        for name, missing in observation.side_info.missing.items():
            logits, pooled = located[name]
            located[name] = logits.float().masked_fill(missing, CERTAIN), pooled
        return located

    def residuals(self, signals: Signals) -> dict[str, Residuals]:
        """Compute the residuals of each modality; in training without gradients.

        Args:
            signals: Observed signals, standardized.

        Returns:
            For each modality, shaped as its signal: observed minus reconstructed; the part of the
            signal that the other modalities do not predict; for a series the whitened residuals of
            each channel given the others; those of an image divided by their pixel scale. Beside
            them the latent and its whitened residual.
        """
        with self.frozen():
            latents = self.autoencoder.encode(signals)
            reconstructed = self.autoencoder.decode(latents)
            predicted = self.relations.predicted(signals)
            return {
                n: self._residuals_of(n, x, latents[n], x - reconstructed[n], predicted.get(n))
                for n, x in signals.items()
            }

    def _residuals_of(
        self, name: str, signal: Tensor, latent: Tensor, residual: Tensor, predicted: Tensor | None
    ) -> Residuals:
        """Residuals of one modality, from the residual of its reconstruction."""
        part, found, whitened = self._part(name), [residual], None
        if part.latent_residual is not None and predicted is not None:
            whitened = part.latent_residual(latent, predicted)
            difference = latent - part.latent_residual.shrunk(predicted)
            found.append(self.autoencoder.synthesized(name, difference))
        found += self.relations.residuals(name, signal)
        if part.pixel_scale is not None:
            found = part.pixel_scale(found)
        return Residuals(latent, found, whitened)

    def own_terms(self, step_data: StepData) -> dict[str, Tensor]:
        """Return the classification term, which trains the classifiers and the locators.

        Args:
            step_data: Inputs, targets and outputs of the training step.

        Returns:
            The scalar `class`.

        Raises:
            ValueError: If the detection is of another block.
        """
        logits = step_data.detection.modality_logits
        if logits is None:
            raise ValueError('own_terms needs a detection of this block: it has no modality_logits')
        return {'class': attribution(logits, step_data.modality, step_data.visible)}

    def correct(self, observation: Observation, masks: Masks) -> Correction:
        """Inpaint what is masked, and blend it with the observed signal by the refined map.

        Gradients reach the corrector and `masks.map_logits`; `masks.maps` are detached.

        Args:
            observation: The batch, standardized.
            masks: What may not be used, and what is replaced.

        Returns:
            Corrected signals with their latents.
        """
        with self.frozen():
            masked = {n: m.detach() for n, m in masks.maps.items()}
            kept = {n: x * (1 - masked[n]) for n, x in observation.signals.items()}
            latents = self.autoencoder.encode(kept)
            summaries = {n: mean_over_positions(masked[n], z) for n, z in latents.items()}
            guesses = self._guesses(kept, latents, masked)
        corrected = self.corrector(latents, guesses, summaries)
        decoded = self.autoencoder.decode(corrected)
        inpainted = {
            n: self._inpaint(n, observation, masks, (kept[n], masked[n], decoded[n]))
            for n in observation.signals
        }
        logits = self._refined(observation, masks, masked, inpainted)
        signals = {}
        for name, x in observation.signals.items():
            replaced = logits[name].float().sigmoid() if logits else masked[name]
            signals[name] = x + replaced * (inpainted[name].float() - x)
        return Correction(corrected, inpainted, signals, logits)

    def _inpaint(
        self,
        name: str,
        observation: Observation,
        masks: Masks,
        tensors: tuple[Tensor, Tensor, Tensor],
    ) -> Tensor:
        """Refine the decoded signal by local detail."""
        (kept, masked, decoded), x = tensors, observation.signals[name]
        degraded = x if masks.opaque is None else _select(masks.opaque, kept, x)
        inpainted: Tensor = self._part(name).inpainter(kept, degraded, masked, decoded.to(x.dtype))
        if not self.training:  # a clamp has no gradient outside the range
            low, high = self.autoencoder.limits(name)
            inpainted = torch.minimum(torch.maximum(inpainted, low), high)
        return inpainted

    def _refined(
        self, observation: Observation, masks: Masks, masked: Signals, inpainted: Signals
    ) -> Signals:
        """Logits of the refined fault maps; empty without logits to refine."""
        return {
            n: self._part(n).map_refiner(
                logits,
                masked[n],
                observation.signals[n] - inpainted[n].detach(),
                observation.is_clean,
            )
            for n, logits in (masks.map_logits or {}).items()
        }

    def impute(self, signals: Signals) -> Signals:
        """Return corrected signals, without classifiers and detector.

        Args:
            signals: Observed signals, standardized, finite.

        Returns:
            Corrected signals, standardized, of the same shapes.
        """
        observation = Observation(signals)
        located = self._locate(observation, self.residuals(signals))
        map_logits = {n: logits for n, (logits, _) in located.items()}
        return self.correct_in_rounds(observation, map_logits).signals

    def _guesses(self, kept: Signals, latents: Signals, masked: Signals) -> Signals:
        """Latents from which the corrector starts: predicted in proportion to the masked share."""
        guesses, predicted = dict(latents), self.relations.predicted(kept)
        for name, prediction in predicted.items():
            residual = self._part(name).latent_residual
            if residual is None:
                continue
            latent, share = latents[name], masked[name].mean(dim=1, keepdim=True)
            # (batch, position) to (batch, 1, position ...), which broadcasts over latent channels
            share = mean_over_positions(share, latent).view(len(latent), 1, *latent.shape[2:])
            guess = residual.shrunk(prediction)
            guesses[name] = latent + share * (guess.to(latent.dtype) - latent)
        return guesses

    def _detached(self, inputs: Tensor) -> Tensor:
        """The detector's inputs, from which no gradient flows back in training."""
        return inputs.detach() if self.training else inputs


def _select(rows: Tensor, chosen: Tensor, other: Tensor) -> Tensor:
    """`chosen` in the samples of (batch,) bool `rows`, `other` elsewhere."""
    return torch.where(rows.view(-1, *[1] * (other.dim() - 1)), chosen, other)
