"""A detector without training: how unusually large is what could not be explained?"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipfault.models.blocks.detector import FaultDetector
from lipfault.models.layers.running_scale import RunningScale

Signals = dict[str, Tensor]


def errors(observed: Signals, restored: Signals) -> Tensor:
    """(batch, M) mean squared residual of each modality, float32."""
    squares = [(x.float() - restored[n].float()).square() for n, x in observed.items()]
    return torch.stack([s.flatten(1).mean(dim=1) for s in squares], dim=1)


def looks(observed: Signals, restored: Signals, places: Mapping[str, tuple[int, int]]) -> Tensor:
    """(batch, number) mean squared residuals: of each channel of a series, of parts of an image.

    Args:
        observed: Standardized signals.
        restored: What they should be.
        places: (row, column) of the parts of each image.
    """
    parts = []
    for name, signal in observed.items():
        square = (signal.float() - restored[name].float()).square()
        if square.dim() == 4:
            parts.append(functional.adaptive_avg_pool2d(square.mean(dim=1), places[name]))
        else:
            parts.append(square.mean(dim=2))
    return torch.cat([p.flatten(1) for p in parts], dim=1)


class ResidualScore(FaultDetector):
    """One standard score per modality: its residual compared with those of clean windows.

    Residuals are compared by their logarithms. Nothing is trained, no fault is ever looked at.

    Args:
        modalities: Number of modalities.
    """

    def __init__(self, modalities: int) -> None:
        """Know nothing until `fit`."""
        super().__init__()
        self.scale = RunningScale(modalities, center=True)
        self.layers = nn.Identity()

    def fit(self, errors: Tensor) -> None:
        """Take what is normal from the (window, modality) errors of clean windows."""
        everything = torch.ones(len(errors), dtype=torch.bool, device=errors.device)
        self.scale.updates.zero_()
        self.scale.update(_logarithm(errors), everything)

    def scaled(self, errors: Tensor, clean: Tensor | None = None) -> Tensor:
        """Standard scores of (batch, modality) errors; `clean` changes nothing."""
        scores: Tensor = self.scale(_logarithm(errors))
        return scores

    def embed(self, scaled: Tensor) -> Tensor:
        """The scores themselves."""
        embedding: Tensor = self.layers(scaled)
        return embedding

    def forward(self, embedding: Tensor) -> Tensor:
        """The scores themselves, as logits (batch, modality)."""
        return embedding


def _logarithm(errors: Tensor) -> Tensor:
    return errors.float().clamp_min(1e-12).log()
