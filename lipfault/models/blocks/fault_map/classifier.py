"""Classifiers: one logit that a modality is faulty."""

from torch import Tensor, nn

from lipfault.models.layers.running_scale import symlog


class Classifier(nn.Module):
    """Dense layers from the features of one modality to the logit that it is faulty.

    Args:
        inputs: Number of input features.
        width: Hidden units.
    """

    def __init__(self, inputs: int, width: int = 64) -> None:
        """Build the layers."""
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Classify a modality.

        Args:
            features: (batch, inputs), see `ModalityParts.classifier_inputs`.

        Returns:
            Logit (batch, 1), positive if faulty.
        """
        logit: Tensor = self.layers(symlog(features))
        return logit
