"""Base classes of the baselines: reconstruct all signals, and detect by the residual."""

import torch
from torch import Tensor, nn

from lipfault.modality import Signals
from lipfault.models.blocks.baselines.residual_score import (
    ResidualScore,
    mean_squared_residuals,
    pooled_residuals,
)
from lipfault.models.blocks.interface.base import WholeSignalBlock
from lipfault.models.blocks.interface.detector import Detector, FaultDetector
from lipfault.models.blocks.interface.joint_latent import JointLatent
from lipfault.models.layers.chunks import features_in_chunks
from lipfault.models.layers.mlp import mlp

CLEAN_CHUNK = 500
"""Clean windows evaluated together before training."""


class ReconstructionBlock(WholeSignalBlock):
    """Reconstructs whole signals; the detector's input is the residual.

    In training the reconstruction is detached from the detector's gradient.
    """

    def build(self) -> None:
        """Build the detector; a subclass then builds the layers of its reconstruction."""
        self.latent = JointLatent.of(self.autoencoder, self.modalities)
        self.grids = {
            n: (shape[1], shape[2])
            for n, shape in self.latent.shapes.items()
            if self.kinds[n] == 'image'
        }
        self.detector = self.new_detector()

    def new_detector(self) -> FaultDetector:
        """Build the detector.

        Returns:
            A dense detector of the pooled residuals.
        """
        count = sum(self.residual_counts().values())
        return Detector(
            count, len(self.modalities), self.config.detector_width, self.config.embedding
        )

    def residual_counts(self) -> dict[str, int]:
        """Count the pooled residuals of each modality.

        Returns:
            Latent positions of an image, channels of a series, by modality.
        """
        return {
            n: torch.Size(self.grids[n]).numel() if n in self.grids else len(m.channels)
            for n, m in self.modalities.items()
        }

    def features(self, signals: Signals, latents: Signals) -> Tensor:
        """Compute the residual features, in training without gradients.

        Args:
            signals: Observed signals, standardized.
            latents: Without effect: `reconstruct` encodes the signals itself.

        Returns:
            Output of `residual_features`, (batch, feature) float32.
        """
        with self.frozen():
            return self.residual_features(signals, self.reconstruct(signals)[1])

    def residual_features(self, signals: Signals, reconstructed: Signals) -> Tensor:
        """Pool the residuals over the channels of series and the latent positions of images.

        Args:
            signals: Observed signals, standardized.
            reconstructed: Output of `reconstruct`.

        Returns:
            (batch, feature), float32.
        """
        return pooled_residuals(signals, reconstructed, self.grids)


class LatentMlpBlock(ReconstructionBlock):
    """Maps the joint latent to the corrected one by dense layers, and decodes it."""

    corrector: nn.Sequential

    def build(self) -> None:
        """Build the detector, then the dense layers."""
        super().build()
        size, width = self.latent.size, self.config.corrector_width
        self.corrector = mlp(size, width, width, width, size)

    def reconstruct(self, signals: Signals) -> tuple[Signals, Signals]:
        """Correct the joint latent, and decode it.

        Args:
            signals: Observed signals, standardized.

        Returns:
            Corrected latents, and the signals decoded from them.
        """
        with self.frozen():
            joint = self.latent.join(self.autoencoder.encode(signals))
        latents = self.latent.split(self.corrector(joint))
        return latents, self.autoencoder.decode(latents)


class ClosedFormBlock(ReconstructionBlock):
    """A baseline without training, scored by its residual in standard scores of clean windows.

    Unless a subclass overrides `reconstruct`, the reconstruction is that of stage 1.
    """

    detector: ResidualScore

    def new_detector(self) -> ResidualScore:
        """Build the detector.

        Returns:
            Standard scores.
        """
        return ResidualScore(len(self.modalities))

    def reconstruct(self, signals: Signals) -> tuple[Signals, Signals]:
        """Reconstruct each modality from itself, by the autoencoder of stage 1.

        Args:
            signals: Observed signals, standardized.

        Returns:
            Latents, and the signals decoded from them.
        """
        latents = self.autoencoder.encode(signals)
        return latents, self.autoencoder.decode(latents)

    def residual_features(self, signals: Signals, reconstructed: Signals) -> Tensor:
        """Compute the mean squared residual of each modality.

        Args:
            signals: Observed signals, standardized.
            reconstructed: Reconstructed signals, standardized.

        Returns:
            (batch, M), float32.
        """
        return mean_squared_residuals(signals, reconstructed)

    @torch.no_grad()
    def fit_start(self, standardized: Signals) -> None:
        """Fit the standard scores on clean windows.

        Args:
            standardized: Clean signals, standardized.
        """
        self.detector.fit(self.clean_residuals(standardized))

    def clean_residuals(self, standardized: Signals) -> Tensor:
        """Compute the mean squared residuals of clean windows.

        Args:
            standardized: Clean signals, standardized.

        Returns:
            (window, M), float32.
        """

        def residuals(windows: Signals) -> Tensor:
            return self.residual_features(windows, self.reconstruct(windows)[1])

        return features_in_chunks(standardized, residuals, CLEAN_CHUNK)
