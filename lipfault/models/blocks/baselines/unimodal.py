"""Each modality on its own: what is lost without the others?"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lipfault.modality import Modality
from lipfault.models.autoencoder.autoencoder import Signals
from lipfault.models.blocks.baselines.denoising import DenoisingBlock, refinement
from lipfault.models.blocks.detector import Detector, FaultDetector
from lipfault.models.layers.per_modality import PerModality


class SeparateDetectors(FaultDetector):
    """A detector for each modality, of one logit; none sees what the others see.

    Args:
        features: Number of features of each modality, in order.
        width: Hidden units of each.
        embedding: Size of the embedding of each.
    """

    def __init__(self, features: list[int], width: int, embedding: int) -> None:
        """Build one dense detector after the other."""
        super().__init__()
        self.features, self.embedding = features, embedding
        self.parts = nn.ModuleList(Detector(n, 1, width, embedding) for n in features)

    def scaled(self, features: Tensor, clean: Tensor | None = None) -> Tensor:
        """Features (batch, feature) in the units of their detector."""
        pairs = zip(self._detectors(), torch.split(features, self.features, dim=1), strict=True)
        return torch.cat([part.scaled(some, clean) for part, some in pairs], dim=1)

    def embed(self, scaled: Tensor) -> Tensor:
        """The embeddings of all detectors, (batch, modality x embedding)."""
        pairs = zip(self._detectors(), torch.split(scaled, self.features, dim=1), strict=True)
        return torch.cat([part.embed(some) for part, some in pairs], dim=1)

    def forward(self, embedding: Tensor) -> Tensor:
        """One logit of each detector, (batch, modality)."""
        pairs = zip(self._detectors(), torch.split(embedding, self.embedding, dim=1), strict=True)
        return torch.cat([part(some) for part, some in pairs], dim=1)

    def _detectors(self) -> list[Detector]:
        return list(self.parts)  # type: ignore[arg-type]


class UnimodalBlock(DenoisingBlock):
    """One denoising autoencoder and one detector for each modality, side by side.

    The same as `DenoisingBlock` but for what passes from one modality to another: nothing.
    """

    def new_corrector(self) -> nn.Module:
        """Dense layers on the latent of each modality."""
        width = self.config.corrector_width
        sizes = zip(self.latent.shapes, self.latent.sizes, strict=True)
        return PerModality({n: Refined(size, width) for n, size in sizes})

    def new_detector(self, modalities: Mapping[str, Modality]) -> FaultDetector:
        """A dense detector for each modality."""
        return SeparateDetectors(
            list(self.looks_of(modalities).values()),
            self.config.detector_width,
            self.config.embedding,
        )

    def refined(self, latents: Signals) -> Signals:
        """Each latent refined by what it says itself."""
        refined: Signals = self.corrector(latents)
        return refined


class Refined(nn.Module):
    """A latent, and what dense layers add to it; nothing at the start.

    Args:
        size: Numbers in the latent.
        width: Hidden units.
    """

    def __init__(self, size: int, width: int) -> None:
        """Build the layers."""
        super().__init__()
        self.layers = refinement(size, width)

    def forward(self, latent: Tensor) -> Tensor:
        """A latent (batch, ...) of the same shape."""
        added: Tensor = self.layers(latent.flatten(1))
        return latent + added.view_as(latent)
