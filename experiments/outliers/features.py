"""Low-dimensional features of a window, for detectors that do not scale to whole signals."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.modality import Modality
from lipfault.models.autoencoder.pca import Pca, fit_pca
from lipfault.models.autoencoder.standardize import Standardize

COMPONENTS = 32
"""Principal components per modality."""


@dataclass(frozen=True)
class Features:
    """Principal components of a modality's windows, and the residual of each channel.

    Args:
        standardize: Standardizes physical units.
        pca: PCA of standardized windows.
        spread: Standard deviations of the components, (component,).
    """

    standardize: Standardize
    pca: Pca
    spread: Tensor

    @classmethod
    def fit(cls, signals: Tensor, modality: Modality) -> 'Features':
        """Fit standardization and components on clean windows.

        Args:
            signals: Clean windows in physical units, (window, channel, ...).
            modality: Description of the modality.
        """
        standardize = Standardize(modality)
        standardize.fit(signals)
        flat = standardize(signals).flatten(1)
        pca = fit_pca(flat, min(COMPONENTS, *flat.shape))
        return cls(standardize, pca, pca.encode(flat).std(dim=0).clamp_min(1e-6))

    def __call__(self, signals: Tensor) -> Tensor:
        """Return whitened components, and the logarithm of each channel's residual.

        Args:
            signals: Windows in physical units, (window, channel, ...).

        Returns:
            Features, (window, component + channel).
        """
        standardized = self.standardize(signals)
        flat = standardized.flatten(1)
        rest = (flat - self.pca.reconstruct(flat)).view_as(standardized)
        # Mean square over time or pixels; the logarithm makes its distribution less skewed.
        residual = rest.flatten(2).square().mean(dim=2).clamp_min(1e-12).log()
        return torch.cat([self.pca.encode(flat) / self.spread, residual], dim=1)
