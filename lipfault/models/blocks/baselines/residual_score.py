"""A detector without training: standard scores of reconstruction residuals."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from lipfault.modality import Signals
from lipfault.models.blocks.interface.detector import IdentityEmbedding
from lipfault.models.layers.running_scale import RunningScale


def mean_squared_residuals(observed: Signals, reconstructed: Signals) -> Tensor:
    """Compute the mean squared residual of each modality.

    Args:
        observed: Standardized signals.
        reconstructed: Their reconstruction.

    Returns:
        (batch, M), float32.
    """
    squares = [(x.float() - reconstructed[n].float()).square() for n, x in observed.items()]
    return torch.stack([s.flatten(1).mean(dim=1) for s in squares], dim=1)


def pooled_residuals(
    observed: Signals, reconstructed: Signals, grids: Mapping[str, tuple[int, int]]
) -> Tensor:
    """Compute mean squared residuals of each channel of a series and each cell of an image.

    Args:
        observed: Standardized signals.
        reconstructed: Their reconstruction.
        grids: (rows, columns) of the cells of each image.

    Returns:
        (batch, feature), float32.
    """
    parts = []
    for name, signal in observed.items():
        square = (signal.float() - reconstructed[name].float()).square()
        if square.dim() == 4:
            parts.append(functional.adaptive_avg_pool2d(square.mean(dim=1), grids[name]))
        else:
            parts.append(square.mean(dim=2))
    return torch.cat([p.flatten(1) for p in parts], dim=1)


class ResidualScore(IdentityEmbedding):
    """One standard score per modality: the log residual relative to clean windows.

    Args:
        modalities: Number of modalities.
    """

    def __init__(self, modalities: int) -> None:
        """Start at a mean of zero and a scale of one."""
        super().__init__()
        self.scale = RunningScale(modalities, center=True)

    def fit(self, residuals: Tensor) -> None:
        """Fit mean and scale on clean windows.

        Args:
            residuals: (window, modality) mean squared residuals.
        """
        everything = torch.ones(len(residuals), dtype=torch.bool, device=residuals.device)
        self.scale.updates.zero_()
        self.scale.update(_logarithm(residuals), everything)

    def scaled(self, features: Tensor, is_clean: Tensor | None = None) -> Tensor:
        """Compute standard scores.

        Args:
            features: (batch, modality) mean squared residuals.
            is_clean: Without effect: the scale is fitted before training.

        Returns:
            (batch, modality).
        """
        scores: Tensor = self.scale(_logarithm(features))
        return scores

    def forward(self, embedding: Tensor) -> Tensor:
        """Return the scores as logits.

        Args:
            embedding: (batch, modality).

        Returns:
            The same tensor, (batch, modality).
        """
        return embedding


def _logarithm(residuals: Tensor) -> Tensor:
    # The distribution of a mean square is skewed; its logarithm is nearly normal.
    return residuals.float().clamp_min(1e-12).log()
