"""Whitened residual of a latent given the other modalities."""

import torch
from torch import Tensor, nn

from lipfault.models.autoencoder.pca import fit_pca


class LatentResidual(nn.Module):
    """Whitened difference between a latent and its cross-modal prediction, in closed form.

    The difference is projected on the leading components of the latent and whitened by its
    covariance on clean windows on which neither autoencoder nor predictor was trained. Its squared
    norm is a Mahalanobis distance.

    Args:
        latent_shape: (latent channel, position ...).
        size: Number of components.

    Reference:
        Mahalanobis distance as anomaly score: Lee et al. 2018, https://arxiv.org/abs/1807.03888.
    """

    gain: Tensor
    projection: Tensor

    def __init__(self, latent_shape: tuple[int, ...], size: int = 64) -> None:
        """Start with a projection on zero."""
        super().__init__()
        dimensions = torch.Size(latent_shape).numel()
        self.size = min(size, dimensions)
        self.register_buffer('gain', torch.ones(latent_shape))
        self.register_buffer('projection', torch.zeros(self.size, dimensions))

    @torch.no_grad()
    def fit(self, latents: Tensor, predicted: Tensor, importance: Tensor) -> None:
        """Fit shrinkage, components and covariance on clean windows.

        Args:
            latents: (window, latent channel, position ...).
            predicted: Predicted latents, shaped as `latents`.
            importance: Squared effect of each latent dimension on the signal, shaped as the latent,
                see `Autoencoder.importance`.
        """
        # Least squares slope of latent on prediction, dimension by dimension: an uncertain
        # prediction is shrunk towards the mean, zero.
        gain = (latents * predicted).sum(dim=0) / predicted.square().sum(dim=0).clamp_min(1e-12)
        self.gain.copy_(gain.clamp(0, 1))
        weight = importance.sqrt().flatten()
        used = weight.nonzero()[:, 0]
        size = min(self.size, len(latents) - 1, len(used))
        basis = latents.new_zeros(size, len(weight))
        leading = fit_pca(latents.flatten(1)[:, used] * weight[used], size).components
        basis[:, used] = leading * weight[used]
        residual = ((latents - self.shrunk(predicted)).flatten(1) @ basis.T).double()
        covariance = residual.T @ residual / len(residual)
        # A ridge of 1e-4 of the mean variance keeps the factorization stable with few windows.
        covariance += 1e-4 * covariance.diagonal().mean() * torch.eye(size).to(covariance)
        whitener = torch.linalg.inv(torch.linalg.cholesky(covariance)).to(basis)
        self.projection.zero_()
        self.projection[:size] = whitener @ basis

    def shrunk(self, predicted: Tensor) -> Tensor:
        """Shrink a prediction by its reliability on clean windows.

        Args:
            predicted: (batch, latent channel, position ...).

        Returns:
            The prediction times a gain in [0, 1] for each dimension, of the same shape.
        """
        return self.gain * predicted

    def forward(self, latents: Tensor, predicted: Tensor) -> Tensor:
        """Compute the whitened residual.

        Args:
            latents: (batch, latent channel, position ...).
            predicted: Predicted latents, shaped as `latents`.

        Returns:
            (batch, size), float32, of unit variance on clean windows.
        """
        difference = latents.float() - self.shrunk(predicted.float())
        return difference.flatten(1) @ self.projection.T
