"""How far a latent is from what the other modalities predict, in units of what is normal."""

import torch
from torch import Tensor, nn

from lipfault.models.autoencoder.pca import fit_pca


class LatentResidual(nn.Module):
    """Whitened difference of a latent from its prediction, in closed form.

    The difference is taken in the leading components of the latent and whitened by its covariance
    on clean windows that neither autoencoder nor predictor has seen; its square norm is a
    Mahalanobis distance.

    Args:
        latent_shape: (latent channel, position ...).
        size: Components looked at.
    """

    gain: Tensor
    projection: Tensor

    def __init__(self, latent_shape: tuple[int, ...], size: int = 64) -> None:
        """Start without knowledge: zero everywhere."""
        super().__init__()
        numbers = torch.Size(latent_shape).numel()
        self.size = min(size, numbers)
        self.register_buffer('gain', torch.ones(latent_shape))
        self.register_buffer('projection', torch.zeros(self.size, numbers))

    @torch.no_grad()
    def fit(self, latents: Tensor, predicted: Tensor, importance: Tensor) -> None:
        """Take shrinkage, components and covariance from clean windows.

        Args:
            latents: (window, latent channel, position ...).
            predicted: Shaped as `latents`.
            importance: What each number of the latent does to the signal, shaped as the latent.
        """
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
        covariance += 1e-4 * covariance.diagonal().mean() * torch.eye(size).to(covariance)
        whitener = torch.linalg.inv(torch.linalg.cholesky(covariance)).to(basis)
        self.projection.zero_()
        self.projection[:size] = whitener @ basis

    def shrunk(self, predicted: Tensor) -> Tensor:
        """The prediction, each number scaled down as far as it cannot be trusted."""
        return self.gain * predicted

    def forward(self, latents: Tensor, predicted: Tensor) -> Tensor:
        """(batch, size) of unit variance on clean windows.

        Args:
            latents: (batch, latent channel, position ...).
            predicted: Shaped as `latents`.
        """
        difference = latents.float() - self.shrunk(predicted.float())
        return difference.flatten(1) @ self.projection.T
