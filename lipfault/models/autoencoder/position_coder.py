"""The linear path of an image coder with a basis of its own at each place."""

import torch
from einops import rearrange
from torch import Tensor, nn


class PositionCoder(nn.Module):
    """Encodes each patch of an image in a basis of its own, and decodes it.

    Before a camera that does not move, one place sees the machine in many poses and another only
    background: the numbers of the latent go where the variance is. A latent position still depends
    on its patch alone.

    Args:
        channels: Channels of the image.
        grid: Rows and columns of patches.
        patch: Pixels of a patch in each direction.
        latent_channels: Most numbers kept at a place.
        kept: Numbers kept in all.
    """

    active: Tensor

    def __init__(
        self, channels: int, grid: tuple[int, int], patch: int, latent_channels: int, kept: int
    ) -> None:
        """Build the layers; `start_from_pca` or a checkpoint gives them sense."""
        super().__init__()
        self.grid, self.patch, self.kept = grid, patch, kept
        places, pixels = grid[0] * grid[1], channels * patch**2
        self.analysis = nn.Conv1d(
            places * pixels, places * latent_channels, 1, groups=places, bias=False
        )
        self.synthesis = nn.Conv1d(
            places * latent_channels, places * pixels, 1, groups=places, bias=False
        )
        self.register_buffer('active', torch.ones(latent_channels, *grid))

    def encode(self, images: Tensor) -> Tensor:
        """Latent (batch, latent channel, row, column) of images (batch, channel, height, width)."""
        latent = self.analysis(self._patches(images).flatten(1)[..., None])
        rows, columns = self.grid
        placed: Tensor = rearrange(latent, 'b (h w m) 1 -> b m h w', h=rows, w=columns)
        return placed

    def decode(self, latent: Tensor) -> Tensor:
        """Images (batch, channel, height, width) of latents (batch, channel, row, column)."""
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
        """(latent channel, row, column), what each number of the latent does to the image."""
        places = torch.Size(self.grid).numel()
        square = rearrange(self.synthesis.weight.detach()[..., 0], '(k d) m -> k d m', k=places)
        rows, columns = self.grid
        return rearrange(square.square().sum(dim=1), '(h w) m -> m h w', h=rows, w=columns)

    @torch.no_grad()
    def start_from_pca(self, images: Tensor) -> None:
        """Take the basis of each place, and what is worth keeping, from the PCA of its patches.

        Latent numbers are scaled to unit variance.

        Args:
            images: (sample, channel, height, width), of zero mean at each pixel.
        """
        patches = self._patches(images)
        covariance = torch.einsum('nkd,nke->kde', patches, patches).double() / len(images)
        variances, vectors = torch.linalg.eigh(covariance)
        most = self.active.shape[0]
        variances, vectors = variances[:, -most:].flip(1), vectors[:, :, -most:].flip(2)
        order = variances.flatten().sort(descending=True).values
        worth = variances >= order[min(self.kept, order.numel()) - 1]
        spread = variances.clamp_min(1e-8).sqrt()
        analysis = vectors * (worth / spread)[:, None]
        synthesis = vectors * (worth * spread)[:, None]
        self.analysis.weight.copy_(rearrange(analysis, 'k d m -> (k m) d 1'))
        self.synthesis.weight.copy_(rearrange(synthesis, 'k d m -> (k d) m 1'))
        rows, columns = self.grid
        self.active.copy_(rearrange(worth, '(h w) m -> m h w', h=rows, w=columns))

    def _patches(self, images: Tensor) -> Tensor:
        """(batch, place, pixel of the patch)."""
        return rearrange(images, 'b c (h p) (w q) -> b (h w) (c p q)', p=self.patch, q=self.patch)
