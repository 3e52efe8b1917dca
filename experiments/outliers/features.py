"""A few numbers for each window, for detectors that cannot take whole signals."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.modality import Modality
from lipfault.models.autoencoder.pca import Pca, fit_pca
from lipfault.models.autoencoder.standardize import Standardize

COMPONENTS = 32


@dataclass(frozen=True)
class Features:
    """Principal components of a modality's windows, and what they leave unexplained.

    Args:
        standardize: Units.
        pca: Of standardized windows.
        spread: (component,) standard deviations.
    """

    standardize: Standardize
    pca: Pca
    spread: Tensor

    @classmethod
    def fit(cls, signals: Tensor, modality: Modality) -> 'Features':
        """Take units and components from clean windows in physical units."""
        standardize = Standardize(modality)
        standardize.fit(signals)
        flat = standardize(signals).flatten(1)
        pca = fit_pca(flat, min(COMPONENTS, *flat.shape))
        return cls(standardize, pca, pca.encode(flat).std(dim=0).clamp_min(1e-6))

    def __call__(self, signals: Tensor) -> Tensor:
        """(window, feature): whitened components, and the log of the residual of each channel."""
        standardized = self.standardize(signals)
        flat = standardized.flatten(1)
        rest = (flat - self.pca.reconstruct(flat)).view_as(standardized)
        residual = rest.flatten(2).square().mean(dim=2).clamp_min(1e-12).log()
        return torch.cat([self.pca.encode(flat) / self.spread, residual], dim=1)
