"""The detector: an embedding that faults move far and clean samples hardly at all."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from lipfault.models.layers.running_scale import RunningScale, symlog


class FaultDetector(nn.Module, ABC):
    """Maps features to scaled features, to an embedding, and to one logit per modality.

    Attributes:
        layers: The layers from scaled features to the embedding, of which Jacobians are measured;
            None for a detector without.
    """

    layers: nn.Module | None

    def __init__(self) -> None:
        """Start without layers."""
        super().__init__()
        self.layers = None

    @abstractmethod
    def scaled(self, features: Tensor, is_clean: Tensor | None = None) -> Tensor:
        """Scale features to the detector's units.

        Args:
            features: (batch, feature).
            is_clean: (batch,) bool, given in training: the samples without a fault.

        Returns:
            (batch, feature).
        """

    @abstractmethod
    def embed(self, scaled: Tensor) -> Tensor:
        """Embed scaled features.

        Args:
            scaled: (batch, feature), output of `scaled`.

        Returns:
            (batch, embedding).
        """

    @abstractmethod
    def forward(self, embedding: Tensor) -> Tensor:
        """Classify an embedding.

        Args:
            embedding: (batch, embedding).

        Returns:
            Logits (batch, modality), positive where a modality is faulty.
        """


class IdentityEmbedding(FaultDetector):
    """A detector without layers: its scaled features are the embedding."""

    def embed(self, scaled: Tensor) -> Tensor:
        """Return the scaled features.

        Args:
            scaled: (batch, feature), output of `scaled`.

        Returns:
            The same tensor, (batch, feature).
        """
        return scaled


class Detector(FaultDetector):
    """Dense layers from features to an embedding, and a linear layer to one logit per modality.

    Args:
        features: Number of features.
        modalities: Number of modalities.
        width: Hidden units.
        embedding: Dimensions of the embedding.
    """

    layers: nn.Sequential

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

    def scaled(self, features: Tensor, is_clean: Tensor | None = None) -> Tensor:
        """Compress features, then scale them to zero mean and unit variance on clean samples.

        Args:
            features: Any features, (batch, feature).
            is_clean: Given in training: these samples set the scale.

        Returns:
            Scaled features, (batch, feature).
        """
        if is_clean is not None:
            self.compress.update(features, is_clean)
        compressed = symlog(self.compress(features))
        if is_clean is not None:
            self.scale.update(compressed.detach(), is_clean)
        scaled: Tensor = self.scale(compressed)
        return scaled

    def embed(self, scaled: Tensor) -> Tensor:
        """Apply the dense layers.

        Args:
            scaled: (batch, feature).

        Returns:
            Output of the last layer, (batch, embedding).
        """
        embedding: Tensor = self.layers(scaled)
        return embedding

    def forward(self, embedding: Tensor) -> Tensor:
        """Apply the linear layer.

        Args:
            embedding: Output of `embed`.

        Returns:
            Logits (batch, modality).
        """
        logits: Tensor = self.head(embedding)
        return logits
