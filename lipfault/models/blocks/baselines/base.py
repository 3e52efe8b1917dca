"""Base classes of the baselines: reconstruct all signals, and detect by the residual."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lipfault.modality import Modality, Signals
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.blocks.baselines.residual_score import (
    ResidualScore,
    mean_squared_residuals,
    pooled_residuals,
)
from lipfault.models.blocks.interface.base import WholeSignalBlock
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.blocks.interface.detector import Detector, FaultDetector
from lipfault.models.blocks.interface.joint_latent import JointLatent
from lipfault.models.layers.chunks import features_in_chunks
from lipfault.models.layers.mlp import mlp

CLEAN_CHUNK = 500
"""Clean windows evaluated together before training."""


class ReconstructionBlock(WholeSignalBlock):
    """Reconstructs whole signals; the detector's input is the residual.

    In training the reconstruction is detached from the detector's gradient.

    Args:
        autoencoder: Stage 1; frozen, not a submodule.
        modalities: Description of each modality.
        config: Sizes.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        modalities: Mapping[str, Modality],
        config: BlockConfig | None = None,
    ) -> None:
        """Build the detector, then the layers of the subclass."""
        super().__init__(autoencoder, modalities)
        self.config = config or BlockConfig()
        self.modalities = dict(modalities)
        self.latent = JointLatent.of(autoencoder, modalities)
        self.grids = {
            n: (shape[1], shape[2])
            for n, shape in self.latent.shapes.items()
            if self.kinds[n] == 'image'
        }
        self.detector = self.new_detector()
        self.build()

    def build(self) -> None:
        """Build the layers of the reconstruction; a baseline without layers builds none."""

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
        """Compute the pooled residuals, in training without gradients.

        Args:
            signals: Observed signals, standardized.
            latents: Without effect.

        Returns:
            (batch, feature), float32.
        """
        with self.frozen():
            return self.residual_features(signals, self.reconstruct(signals)[1])

    def residual_features(self, signals: Signals, reconstructed: Signals) -> Tensor:
        """Pool the residuals.

        Args:
            signals: Observed signals, standardized.
            reconstructed: Reconstructed signals, standardized.

        Returns:
            (batch, feature), float32.
        """
        return pooled_residuals(signals, reconstructed, self.grids)


class LatentMlpBlock(ReconstructionBlock):
    """Maps the joint latent to the corrected one by dense layers, and decodes it."""

    corrector: nn.Sequential

    def build(self) -> None:
        """Build the dense layers."""
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
    """A baseline without training, scored by its residual in standard scores of clean windows."""

    detector: ResidualScore

    def new_detector(self) -> ResidualScore:
        """Build the detector.

        Returns:
            Standard scores.
        """
        return ResidualScore(len(self.modalities))

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
