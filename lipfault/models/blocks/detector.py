"""The detector: a dense embedding that faults move far and clean samples hardly at all."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from lipfault.models.layers.running_scale import RunningScale, symlog


class FaultDetector(nn.Module, ABC):
    """From features to scaled features, an embedding and one logit per modality."""

    @abstractmethod
    def scaled(self, features: Tensor, clean: Tensor | None = None) -> Tensor:
        """Features (batch, feature) in the detector's units.

        Args:
            features: (batch, feature).
            clean: (batch,) bool, in training the samples without a fault.
        """

    @abstractmethod
    def embed(self, scaled: Tensor) -> Tensor:
        """Embedding (batch, embedding) of scaled features (batch, feature)."""

    @abstractmethod
    def forward(self, embedding: Tensor) -> Tensor:
        """Logits (batch, modality), positive where a modality is faulty."""


class Detector(FaultDetector):
    """Dense layers from features to an embedding, and from there to one logit per modality.

    Args:
        features: Number of features.
        modalities: Number of modalities.
        width: Hidden units.
        embedding: Size of the embedding.
    """

    def __init__(
        self, features: int, modalities: int, width: int = 256, embedding: int = 64
    ) -> None:
        """Build the layers."""
        super().__init__()
        self.compress = RunningScale(features)
        self.scale = RunningScale(features, center=True)
        self.layers = nn.Sequential(
            nn.Linear(features, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, embedding),
        )
        self.head = nn.Linear(embedding, modalities)

    def scaled(self, features: Tensor, clean: Tensor | None = None) -> Tensor:
        """Compressed features (batch, feature), of zero mean and unit variance on clean samples.

        Args:
            features: (batch, feature).
            clean: (batch,) bool, in training the samples without a fault: they set the scale.
        """
        if clean is not None:
            self.compress.update(features, clean)
        compressed = symlog(self.compress(features))
        if clean is not None:
            self.scale.update(compressed.detach(), clean)
        scaled: Tensor = self.scale(compressed)
        return scaled

    def embed(self, scaled: Tensor) -> Tensor:
        """Embedding (batch, embedding) of scaled features (batch, feature)."""
        embedding: Tensor = self.layers(scaled)
        return embedding

    def forward(self, embedding: Tensor) -> Tensor:
        """Logits (batch, modality), positive where a modality is faulty."""
        logits: Tensor = self.head(embedding)
        return logits
