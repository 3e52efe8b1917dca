"""Classifiers: is this modality faulty?"""

from torch import Tensor, nn

from lipfault.models.layers.running_scale import symlog


class Classifier(nn.Module):
    """Dense layers from what is known of one modality to the logit that it is faulty.

    Args:
        inputs: Numbers it is shown.
        width: Hidden units.
    """

    def __init__(self, inputs: int, width: int = 64) -> None:
        """Build the layers."""
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, 1))

    def forward(self, shown: Tensor) -> Tensor:
        """Logit (batch, 1), positive if faulty, from (batch, inputs)."""
        logit: Tensor = self.layers(symlog(shown))
        return logit
