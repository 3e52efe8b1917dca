"""Blocks that correct whole signals: one reconstruction, no fault map."""

from abc import abstractmethod

from torch import Tensor

from lipfault.modality import Signals
from lipfault.models.blocks.base import ComputeBlock
from lipfault.models.blocks.types import Correction, Detection, Masks, Observation


class WholeSignalBlock(ComputeBlock):
    """Replaces whole signals by their reconstruction.

    The block does not locate faults, so that masks have no effect on it: the reconstruction is of
    the observed signals, whatever is masked. A subclass gives `reconstruct` and `features`.
    """

    locates = False

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
