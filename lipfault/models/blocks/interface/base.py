"""The contract of every compute block of stage 2, and the base of those without a fault map."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from lipfault.modality import Modality, Signals
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.blocks.interface.detector import FaultDetector
from lipfault.models.blocks.interface.types import (
    Correction,
    Detection,
    Masks,
    Observation,
    StepData,
)


class ComputeBlock(nn.Module, ABC):
    """A detector and a corrector on top of a frozen autoencoder.

    A block answers two questions: `detect(observation)` and `correct(observation, masks)`.

    Args:
        autoencoder: Stage 1, frozen. It is used, but not registered as a submodule: its weights are
            saved once, by the task, and the task moves it between devices.
        modalities: Description of each modality.

    Reference:
        Altinses and Schwung, *Layer-Specific Lipschitz Modulation for Fault-Tolerant Multimodal
        Representation Learning*, https://arxiv.org/abs/2603.25103.
    """

    locates: bool
    rounds: int = 1
    corrector: nn.Module | None
    detector: FaultDetector

    def __init__(self, autoencoder: Autoencoder, modalities: Mapping[str, Modality]) -> None:
        """Keep the autoencoder and the kind of each modality."""
        super().__init__()
        # In a tuple, since nn.Module would register a module as a submodule.
        self._stage_one = (autoencoder,)
        self.kinds = {n: m.kind for n, m in modalities.items()}
        self.corrector = None

    @property
    def autoencoder(self) -> Autoencoder:
        """The autoencoder of stage 1."""
        return self._stage_one[0]

    @abstractmethod
    def detect(self, observation: Observation) -> Detection:
        """Score a batch for faults, classify the faulty modality, and locate the fault.

        Args:
            observation: The batch, standardized.

        Returns:
            Logits, embedding and fault maps.
        """

    @abstractmethod
    def correct(self, observation: Observation, masks: Masks) -> Correction:
        """Infer the clean signals.

        Args:
            observation: The batch, standardized.
            masks: What may not be used, and what is replaced.

        Returns:
            Corrected signals with their latents.
        """

    def forward(
        self, observation: Observation, oracle_maps: Signals | None = None
    ) -> tuple[Detection, Correction]:
        """Detect, locate and correct the faults in a batch.

        Args:
            observation: The batch, standardized.
            oracle_maps: True fault maps, used in place of the located ones; they give the ceiling
                of the corrector.

        Returns:
            The detection and the correction.
        """
        detection = self.detect(observation)
        if oracle_maps:
            return detection, self.correct(observation, Masks(oracle_maps))
        return detection, self.correct_in_rounds(observation, detection.map_logits)

    def correct_in_rounds(self, observation: Observation, map_logits: Signals) -> Correction:
        """Correct repeatedly, masked by the refined fault map of the round before.

        Args:
            observation: The batch, standardized.
            map_logits: Logits of the fault maps of `detect`.

        Returns:
            The correction of the last of `rounds` rounds.
        """
        maps = {n: m.float().sigmoid() for n, m in map_logits.items()}
        correction = self.correct(observation, Masks(maps, map_logits))
        for _ in range(self.rounds - 1):
            correction = self.correct(observation, Masks(correction.maps, map_logits))
        return correction

    def impute(self, signals: Signals) -> Signals:
        """Return corrected signals.

        Args:
            signals: Observed signals, standardized, finite.

        Returns:
            Corrected signals, standardized, of the same shapes.
        """
        corrected: Signals = self(Observation(signals))[1].signals
        return corrected

    def fit_start(self, standardized: Signals) -> None:
        """Fit the closed-form parts on clean windows; a block without such parts does nothing.

        Args:
            standardized: Clean signals, standardized, of windows that stage 1 was not trained on.
        """

    def own_terms(self, step_data: StepData) -> dict[str, Tensor]:
        """Return the terms of the objective that this block alone has.

        Args:
            step_data: Inputs, targets and outputs of the training step.

        Returns:
            Scalars, weighted against each other, by the name under which they are logged; empty by
            default.
        """
        return {}

    def monitored(self) -> dict[str, nn.Module]:
        """Return the modules whose norms and gains are measured.

        Returns:
            `corrector` and `detector`, those that the block has.
        """
        found = {'corrector': self.corrector, 'detector': self.detector}
        return {name: module for name, module in found.items() if module is not None}

    def frozen(self) -> torch.set_grad_enabled:
        """Switch gradients off in training; keep the caller's grad mode in evaluation.

        Returns:
            A context manager for the parts of stage 1, which are not trained. In evaluation the
            whole path stays differentiable, for attacks and Jacobians.
        """
        return torch.set_grad_enabled(torch.is_grad_enabled() and not self.training)


class WholeSignalBlock(ComputeBlock):
    """Replaces whole signals by their reconstruction.

    The block does not locate faults, so that masks have no effect on it: the reconstruction is of
    the observed signals, whatever is masked. A subclass gives `reconstruct` and `features`,
    and builds its layers in `build`.

    Args:
        autoencoder: Stage 1, see `ComputeBlock`.
        modalities: Description of each modality.
        config: Sizes; those of `default_config` if not given.
    """

    locates = False
    default_config: ClassVar[BlockConfig] = BlockConfig()

    def __init__(
        self,
        autoencoder: Autoencoder,
        modalities: Mapping[str, Modality],
        config: BlockConfig | None = None,
    ) -> None:
        """Keep the sizes, then build the layers of the subclass."""
        super().__init__(autoencoder, modalities)
        self.config = config or self.default_config
        self.modalities = dict(modalities)
        self.build()

    def build(self) -> None:
        """Build the layers; none by default, for a subclass with a constructor of its own."""

    @abstractmethod
    def reconstruct(self, signals: Signals) -> tuple[Signals, Signals]:
        """Reconstruct the clean signals.

        Args:
            signals: Observed signals, standardized.

        Returns:
            Latents of the corrected signals, and the corrected signals, standardized.
        """

    @abstractmethod
    def features(self, signals: Signals, latents: Signals) -> Tensor:
        """Compute the detector's input.

        Args:
            signals: Observed signals, standardized.
            latents: Their latents.

        Returns:
            (batch, feature), float32.
        """

    def detect(self, observation: Observation) -> Detection:
        """Embed the features of the observed signals.

        Args:
            observation: The batch, standardized.

        Returns:
            Logits and embedding, without fault maps.
        """
        with self.frozen():
            latents = self.autoencoder.encode(observation.signals)
        features = self.features(observation.signals, latents)
        scaled = self.detector.scaled(features, observation.is_clean)
        embedding = self.detector.embed(scaled)
        return Detection(self.detector(embedding), embedding, scaled, {}, latents)

    def correct(self, observation: Observation, masks: Masks) -> Correction:
        """Reconstruct all signals.

        Args:
            observation: The batch, standardized.
            masks: Without effect, see the class.

        Returns:
            The reconstruction as corrected signals, float32.
        """
        latents, signals = self.reconstruct(observation.signals)
        return Correction(latents, signals, {n: x.float() for n, x in signals.items()}, {})

    def impute(self, signals: Signals) -> Signals:
        """Return corrected signals, without the detector.

        Args:
            signals: Observed signals, standardized, finite.

        Returns:
            Corrected signals, standardized, of the same shapes.
        """
        return self.correct(Observation(signals), Masks({})).signals
