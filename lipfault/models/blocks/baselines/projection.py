"""Projection on principal components, shrunk by the noise."""

import torch
from torch import Tensor, nn

from lipfault.models.autoencoder.pca import fit_pca


class Projection(nn.Module):
    """Shrinks samples onto their principal components.

    Args:
        features: Features of a sample.
        components: Largest number of components.
    """

    mean: Tensor
    components: Tensor
    shrink: Tensor

    def __init__(self, features: int, components: int) -> None:
        """Start with a projection on zero."""
        super().__init__()
        self.register_buffer('mean', torch.zeros(features))
        self.register_buffer('components', torch.zeros(components, features))
        self.register_buffer('shrink', torch.zeros(components))

    def fit(self, samples: Tensor) -> None:
        """Fit components and noise variance.

        Args:
            samples: (window, feature); fewer windows than components give fewer components.
        """
        size = min(len(self.components), *samples.shape)
        pca = fit_pca(samples, size)
        variance = pca.encode(samples).var(dim=0)
        rest = (samples.var(dim=0).sum() - variance.sum()).clamp_min(0)
        noise = rest / max(1, samples.shape[1] - size)
        self.mean.copy_(pca.mean)
        self.components.zero_()[:size] = pca.components
        self.shrink.zero_()[:size] = (1 - noise / variance.clamp_min(1e-12)).clamp(0, 1)

    def forward(self, samples: Tensor) -> Tensor:
        """Compute the posterior mean, always in float32.

        Args:
            samples: (batch, feature).

        Returns:
            (batch, feature), float32.
        """
        # The residual of a quiet sensor is below the resolution of bfloat16.
        with torch.autocast(samples.device.type, enabled=False):
            centered = samples - self.mean
            coefficients = nn.functional.linear(centered, self.components) * self.shrink
            return nn.functional.linear(coefficients, self.components.T) + self.mean
