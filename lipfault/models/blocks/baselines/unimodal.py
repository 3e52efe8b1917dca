"""Separate networks for each modality: the value of the other modalities by their absence."""

import torch
from torch import Tensor, nn

from lipfault.modality import Signals
from lipfault.models.blocks.baselines.denoising import DenoisingBlock, refinement
from lipfault.models.blocks.interface.detector import Detector, FaultDetector
from lipfault.models.layers.per_modality import PerModality


class SeparateDetectors(FaultDetector):
    """One detector with one logit for each modality, without shared inputs.

    Args:
        features: Number of features of each modality, in order.
        width: Hidden units of each.
        embedding: Dimensions of the embedding of each.
    """

    def __init__(self, features: list[int], width: int, embedding: int) -> None:
        """Build one dense detector per modality."""
        super().__init__()
        self.features, self.embedding = features, embedding
        self.parts = nn.ModuleList(Detector(n, 1, width, embedding) for n in features)

    def scaled(self, features: Tensor, is_clean: Tensor | None = None) -> Tensor:
        """Scale the features of each modality by its own detector.

        Args:
            features: (batch, feature), those of all modalities in order.
            is_clean: (batch,) bool, given in training: these samples set the scales.

        Returns:
            (batch, feature).
        """
        pairs = zip(self._detectors(), torch.split(features, self.features, dim=1), strict=True)
        return torch.cat([part.scaled(some, is_clean) for part, some in pairs], dim=1)

    def embed(self, scaled: Tensor) -> Tensor:
        """Embed the features of each modality.

        Args:
            scaled: (batch, feature).

        Returns:
            (batch, modality x embedding).
        """
        pairs = zip(self._detectors(), torch.split(scaled, self.features, dim=1), strict=True)
        return torch.cat([part.embed(some) for part, some in pairs], dim=1)

    def forward(self, embedding: Tensor) -> Tensor:
        """Classify each embedding.

        Args:
            embedding: (batch, modality x embedding).

        Returns:
            Logits (batch, modality).
        """
        pairs = zip(self._detectors(), torch.split(embedding, self.embedding, dim=1), strict=True)
        return torch.cat([part(some) for part, some in pairs], dim=1)

    def _detectors(self) -> list[Detector]:
        return list(self.parts)  # type: ignore[arg-type]


class UnimodalBlock(DenoisingBlock):
    """One denoising autoencoder and one detector for each modality, side by side.

    Like `DenoisingBlock`, but without information exchange between modalities.
    """

    def new_corrector(self) -> nn.Module:
        """Build the layers between encoders and decoders.

        Returns:
            Dense layers on the latent of each modality.
        """
        width = self.config.corrector_width
        sizes = zip(self.latent.shapes, self.latent.sizes, strict=True)
        return PerModality({n: Refined(size, width) for n, size in sizes})

    def new_detector(self) -> FaultDetector:
        """Build the detectors.

        Returns:
            One dense detector per modality.
        """
        counts = list(self.residual_counts().values())
        return SeparateDetectors(counts, self.config.detector_width, self.config.embedding)

    def refined(self, latents: Signals) -> Signals:
        """Refine each latent by its own layers.

        Args:
            latents: Latents of all modalities.

        Returns:
            Latents of the same shapes.
        """
        refined: Signals = self.corrector(latents)
        return refined


class Refined(nn.Module):
    """Residual dense layers on a latent, the identity at the start.

    Args:
        size: Dimensions of the latent.
        width: Hidden units.
    """

    def __init__(self, size: int, width: int) -> None:
        """Build the layers."""
        super().__init__()
        self.layers = refinement(size, width)

    def forward(self, latent: Tensor) -> Tensor:
        """Refine a latent.

        Args:
            latent: (batch, ...), with `size` dimensions per sample.

        Returns:
            A tensor of the same shape.
        """
        added: Tensor = self.layers(latent.flatten(1))
        return latent + added.view_as(latent)
