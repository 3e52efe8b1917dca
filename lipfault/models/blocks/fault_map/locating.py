"""Detection by residuals and fault maps, shared by the blocks that locate faults."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from lipfault.losses import attribution
from lipfault.modality import Modality, Signals
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.blocks.fault_map.locator import Locator
from lipfault.models.blocks.fault_map.modality_parts import ModalityParts, PartSizes, Residuals
from lipfault.models.blocks.fault_map.repeats import LONG_WINDOW
from lipfault.models.blocks.interface.base import ComputeBlock
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.blocks.interface.detector import Detector
from lipfault.models.blocks.interface.types import Correction, Detection, Observation, StepData
from lipfault.models.layers.chunks import CHUNK, in_chunks
from lipfault.models.relations.relations import Relations

CERTAIN = 16.0
"""Logit of the fault map where no value arrived; its probability is 1 to seven digits."""

SCALE_WINDOWS = 1500
"""Clean windows on which the pixel scale of image residuals is fitted: independent windows would
give each root mean square to 1 / sqrt(2 x 1500) = 2 %."""

WIDTHS: Mapping[str, int] = {'series': 192, 'image': 48}
"""Hidden channels of locators and inpainters unless configured."""


class LocatingBlock(ComputeBlock):
    """Scores, classifies and locates faults; a subclass corrects them.

    1. The relations of stage 1 give residuals of each channel given the others of its series, and
       of each modality given the other modalities.
    2. A locator per modality takes these residuals, the observed signal and the residual of the
       reconstruction, and for an image its stillness. Its output is a soft fault map over channel
       and time, or over pixels.
    3. A classifier per modality takes the pooled features of the locator and standard scores of the
       residuals. The detector embeds the inputs and logits of all classifiers, and adds its logits
       to theirs. The contrastive gradient is detached from the classifiers: it is far larger than
       theirs.

    Args:
        autoencoder: Stage 1; frozen, not a submodule.
        relations: Stage 1; frozen, a submodule.
        modalities: Description of each modality.
        config: Sizes.
    """

    locates = True
    evidence = 0
    detector: Detector

    def __init__(
        self,
        autoencoder: Autoencoder,
        relations: Relations,
        modalities: Mapping[str, Modality],
        config: BlockConfig | None = None,
    ) -> None:
        """Build the parts for the latent shapes of the autoencoder."""
        super().__init__(autoencoder, modalities)
        config = config or BlockConfig()
        self.rounds = config.rounds
        self.modalities = dict(modalities)
        self.relations = relations.requires_grad_(False)
        sizes = {n: self._sizes(n, config) for n in modalities}
        # Kind of part by kind of part, not modality by modality: the order of the random numbers
        # from which the weights of version 0.1 were initialized, so that a seed gives the same run.
        locators = {n: s.locator() for n, s in sizes.items()}
        self.parts = nn.ModuleDict(self.build_parts(sizes, locators, config))
        features = sum(s.classifier_inputs for s in sizes.values()) + len(modalities)
        self.detector = Detector(features, len(modalities), config.detector_width, config.embedding)

    def _sizes(self, name: str, config: BlockConfig) -> PartSizes:
        """Sizes of the parts of one modality."""
        is_predicted = name in self.relations.predictors
        residuals = 1 + is_predicted + self.relations.residual_count(name)
        residuals += self.own_residual_count(name)
        modality, shape = self.modalities[name], self.autoencoder.latent_shape(name)
        width = (config.local_widths or WIDTHS)[modality.kind]
        step = self._step(name) if self._counts_repeats(name, config) else None
        return PartSizes(modality, shape, residuals, is_predicted, width, self.evidence, step)

    def _counts_repeats(self, name: str, config: BlockConfig) -> bool:
        """Whether repeated values of a modality are evidence: by default in short windows."""
        if self.modalities[name].size is not None:
            return False
        short = self.autoencoder.steps[name] < LONG_WINDOW
        return short if config.repeats is None else config.repeats

    def _step(self, name: str) -> Tensor:
        """(channel,) step of the values of a series, standardized."""
        modality = self.modalities[name]
        noise = self.autoencoder.noise(name, modality)
        return (
            noise * torch.tensor(modality.steps).to(noise) / torch.tensor(modality.noise).to(noise)
        )

    def own_residual_count(self, name: str) -> int:
        """Count the residuals of one modality that a subclass adds.

        Args:
            name: Name of the modality.

        Returns:
            Number of the `own_residuals`, 0 by default.
        """
        return 0

    def own_residuals(self, name: str, signal: Tensor, previous: Tensor | None) -> list[Tensor]:
        """Compute the residuals of one modality that a subclass adds.

        Args:
            name: Name of the modality.
            signal: Observed signal, standardized.
            previous: The frame before, of an image whose frame before is known.

        Returns:
            Tensors shaped as the signal, none by default.
        """
        return []

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

    @abstractmethod
    def build_parts(
        self, sizes: Mapping[str, PartSizes], locators: Mapping[str, Locator], config: BlockConfig
    ) -> Mapping[str, ModalityParts]:
        """Build the parts of each modality, and those of the correction.

        Args:
            sizes: Sizes of the parts of each modality.
            locators: Their locators.
            config: Sizes of the block.

        Returns:
            The parts of each modality.
        """

    def correct_first(
        self,
        observation: Observation,
        residuals: Mapping[str, Residuals],
        map_logits: Signals,
    ) -> tuple[Correction | None, Signals]:
        """Correct before the classification, of which the correction is evidence.

        Args:
            observation: The batch, standardized.
            residuals: Residuals of each modality.
            map_logits: Logits of the fault maps.

        Returns:
            The correction and, for each modality, features of it for the classifier, (batch,
            `PartSizes.evidence`); nothing by default.
        """
        return None, {}

    def detect(self, observation: Observation) -> Detection:
        """Compute residuals, fault maps, classifier logits and the detector's embedding.

        Args:
            observation: The batch, standardized.

        Returns:
            Logits, embedding and fault maps.
        """
        residuals = self.residuals(observation.signals, observation.side_info.previous)
        located = self._locate(observation, residuals)
        map_logits = {n: logits for n, (logits, _) in located.items()}
        correction, evidence = self.correct_first(observation, residuals, map_logits)
        inputs = {
            n: self._part(n).classifier_inputs(n, observation, r, located[n])
            for n, r in residuals.items()
        }
        inputs |= {n: torch.cat([inputs[n], self._detached(e)], dim=1) for n, e in evidence.items()}
        modality_logits = torch.cat([self._part(n).logit(x) for n, x in inputs.items()], dim=1)
        features = self._detached(torch.cat([*inputs.values(), modality_logits], dim=1))
        scaled = self.detector.scaled(features, observation.is_clean)
        embedding = self.detector.embed(scaled)
        return Detection(
            self._detached(modality_logits) + self.detector(embedding),
            embedding,
            scaled,
            map_logits,
            {n: r.latent for n, r in residuals.items()},
            modality_logits,
            correction,
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

    def residuals(
        self, signals: Signals, previous: Mapping[str, Tensor] | None = None
    ) -> dict[str, Residuals]:
        """Compute the residuals of each modality; in training without gradients.

        Args:
            signals: Observed signals, standardized.
            previous: Frames before, (batch, channel, height, width), of images; any may be absent.

        Returns:
            For each modality, shaped as its signal: observed minus reconstructed; the part of the
            signal that the other modalities do not predict; for a series the whitened residuals of
            each channel given the others; those that a subclass adds; those of an image divided by
            their pixel scale. Beside them the latent and its whitened residual.
        """
        with self.frozen():
            latents = self.autoencoder.encode(signals)
            reconstructed = self.autoencoder.decode(latents)
            predicted = self.relations.predicted(signals)
            own = {n: self.own_residuals(n, x, (previous or {}).get(n)) for n, x in signals.items()}
            return {
                n: self._residuals_of(
                    n, x, latents[n], x - reconstructed[n], predicted.get(n), own[n]
                )
                for n, x in signals.items()
            }

    def _residuals_of(
        self,
        name: str,
        signal: Tensor,
        latent: Tensor,
        residual: Tensor,
        predicted: Tensor | None,
        own: list[Tensor],
    ) -> Residuals:
        """Residuals of one modality, from the residual of its reconstruction."""
        part, found, whitened = self._part(name), [residual], None
        expected = None
        if part.latent_residual is not None and predicted is not None:
            whitened = part.latent_residual(latent, predicted)
            expected = part.latent_residual.shrunk(predicted)
            found.append(self.autoencoder.synthesized(name, latent - expected))
        found += [*self.relations.residuals(name, signal), *own]
        if part.pixel_scale is not None:
            found = part.pixel_scale(found)
        return Residuals(latent, found, whitened, expected)

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

    def _detached(self, inputs: Tensor) -> Tensor:
        """The detector's inputs, from which no gradient flows back in training."""
        return inputs.detach() if self.training else inputs
