"""The compute block that corrects inside its fault map only."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lipfault.modality import Signals
from lipfault.models.blocks.fault_map.corrector import Corrector
from lipfault.models.blocks.fault_map.features import mean_over_positions
from lipfault.models.blocks.fault_map.inpainter import Inpainter
from lipfault.models.blocks.fault_map.locating import LocatingBlock
from lipfault.models.blocks.fault_map.locator import Locator
from lipfault.models.blocks.fault_map.map_refiner import MapRefiner
from lipfault.models.blocks.fault_map.modality_parts import ModalityParts, PartSizes
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.blocks.interface.types import Correction, Masks, Observation


class CorrectingParts(ModalityParts):
    """Parts of one modality with inpainter and map refiner.

    Args:
        sizes: Sizes of the parts.
        locator: Fault map from the views.
        inpainter: Local detail for the decoded signal.
        map_refiner: Refined fault map from the inpainted signal.
    """

    def __init__(
        self, sizes: PartSizes, locator: Locator, inpainter: Inpainter, map_refiner: MapRefiner
    ) -> None:
        """Take the networks of the correction."""
        super().__init__(sizes, locator)
        self.inpainter, self.map_refiner = inpainter, map_refiner


class FaultMapBlock(LocatingBlock):
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
    """

    corrector: Corrector

    def build_parts(
        self, sizes: Mapping[str, PartSizes], locators: Mapping[str, Locator], config: BlockConfig
    ) -> dict[str, ModalityParts]:
        """Build inpainters, map refiners and the corrector beside the parts of the detection.

        Args:
            sizes: Sizes of the parts of each modality.
            locators: Their locators.
            config: Sizes of the block.

        Returns:
            The parts of each modality.
        """
        inpainters = {n: s.inpainter() for n, s in sizes.items()}
        map_refiners = {n: s.map_refiner() for n, s in sizes.items()}
        self.corrector = Corrector(
            {n: s.latent_shape for n, s in sizes.items()},
            {n: s.map_size for n, s in sizes.items()},
            config.corrector_width,
        )
        return {
            n: CorrectingParts(s, locators[n], inpainters[n], map_refiners[n])
            for n, s in sizes.items()
        }

    def _correcting(self, name: str) -> CorrectingParts:
        part: CorrectingParts = self.parts[name]  # type: ignore[assignment]
        return part

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
        inpainted: Tensor = self._correcting(name).inpainter(
            kept, degraded, masked, decoded.to(x.dtype)
        )
        if not self.training:  # a clamp has no gradient outside the range
            low, high = self.autoencoder.limits(name)
            inpainted = torch.minimum(torch.maximum(inpainted, low), high)
        return inpainted

    def _refined(
        self, observation: Observation, masks: Masks, masked: Signals, inpainted: Signals
    ) -> Signals:
        """Logits of the refined fault maps; empty without logits to refine."""
        return {
            n: self._correcting(n).map_refiner(
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


def _select(rows: Tensor, chosen: Tensor, other: Tensor) -> Tensor:
    """`chosen` in the samples of (batch,) bool `rows`, `other` elsewhere."""
    return torch.where(rows.view(-1, *[1] * (other.dim() - 1)), chosen, other)
