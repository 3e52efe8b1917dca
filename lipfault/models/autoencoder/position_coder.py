"""The linear path of an image coder with a basis of its own at each position."""

import torch
from einops import rearrange
from torch import Tensor, nn


class PositionCoder(nn.Module):
    """Linear coder with a basis of its own for each patch of an image.

    In the frames of a fixed camera one position shows the machine in many poses, another only
    background: the latent dimensions are spent on the positions of large variance. A latent
    position still depends on its patch alone.

    Args:
        channels: Channels of the image.
        grid: Rows and columns of patches.
        patch: Pixels of a patch in each direction.
        latent_channels: Latent channels, the largest number of dimensions at a position.
        kept: Latent dimensions in all.
    """

    active: Tensor

    def __init__(
        self, channels: int, grid: tuple[int, int], patch: int, latent_channels: int, kept: int
    ) -> None:
        """Build the layers, which `start_from_pca` or a checkpoint sets."""
        super().__init__()
        self.grid, self.patch, self.kept = grid, patch, kept
        positions, pixels = grid[0] * grid[1], channels * patch**2
        # Grouped convolutions over one position: a matrix of its own for each patch.
        self.analysis = nn.Conv1d(
            positions * pixels, positions * latent_channels, 1, groups=positions, bias=False
        )
        self.synthesis = nn.Conv1d(
            positions * latent_channels, positions * pixels, 1, groups=positions, bias=False
        )
        self.register_buffer('active', torch.ones(latent_channels, *grid))

    def encode(self, images: Tensor) -> Tensor:
        """Encode images.

        Args:
            images: (batch, channel, height, width), standardized.

        Returns:
            Latent (batch, latent channel, row, column).
        """
        latent = self.analysis(self._patches(images).flatten(1)[..., None])
        rows, columns = self.grid
        grid: Tensor = rearrange(latent, 'b (h w m) 1 -> b m h w', h=rows, w=columns)
        return grid

    def decode(self, latent: Tensor) -> Tensor:
        """Decode latents.

        Args:
            latent: (batch, latent channel, row, column).

        Returns:
            Images (batch, channel, height, width).
        """
        patches = self.synthesis(rearrange(latent, 'b m h w -> b (h w m) 1'))
        rows, columns = self.grid
        images: Tensor = rearrange(
            patches,
            'b (h w c p q) 1 -> b c (h p) (w q)',
            h=rows,
            w=columns,
            p=self.patch,
            q=self.patch,
        )
        return images

    def importance(self) -> Tensor:
        """Return the squared effect of each latent dimension on the image.

        Returns:
            Squared norms, (latent channel, row, column).
        """
        count = torch.Size(self.grid).numel()
        square = rearrange(self.synthesis.weight.detach()[..., 0], '(k d) m -> k d m', k=count)
        rows, columns = self.grid
        return rearrange(square.square().sum(dim=1), '(h w) m -> m h w', h=rows, w=columns)

    @torch.no_grad()
    def start_from_pca(self, images: Tensor) -> None:
        """Set the basis of each position to the PCA of its patches, and select the dimensions.

        The latent is scaled to unit variance.

        Args:
            images: (sample, channel, height, width), of zero mean at each pixel.
        """
        patches = self._patches(images)
        covariance = torch.einsum('nkd,nke->kde', patches, patches).double() / len(images)
        variances, vectors = torch.linalg.eigh(covariance)
        most = self.active.shape[0]
        variances, vectors = variances[:, -most:].flip(1), vectors[:, :, -most:].flip(2)
        order = variances.flatten().sort(descending=True).values
        selected = variances >= order[min(self.kept, order.numel()) - 1]
        spread = variances.clamp_min(1e-8).sqrt()
        analysis = vectors * (selected / spread)[:, None]
        synthesis = vectors * (selected * spread)[:, None]
        self.analysis.weight.copy_(rearrange(analysis, 'k d m -> (k m) d 1'))
        self.synthesis.weight.copy_(rearrange(synthesis, 'k d m -> (k d) m 1'))
        rows, columns = self.grid
        self.active.copy_(rearrange(selected, '(h w) m -> m h w', h=rows, w=columns))

    def _patches(self, images: Tensor) -> Tensor:
        """Patches of images, (batch, position, channel x pixel)."""
        return rearrange(images, 'b c (h p) (w q) -> b (h w) (c p q)', p=self.patch, q=self.patch)
