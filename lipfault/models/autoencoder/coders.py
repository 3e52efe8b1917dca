"""Convolutional encoders and decoders whose latent keeps positions.

Each coder is the sum of a linear and a nonlinear path. The linear path is a patch PCA as a strided
convolution; the nonlinear path starts at zero, so that training starts from the patch PCA. Both
paths are convolutions: a fault changes only the latent positions whose receptive field it touches
(docs/theory.md, section 3).
"""

from itertools import pairwise

import torch
from einops import rearrange
from torch import Tensor, nn

from lipfault.models.autoencoder.patch_conv import (
    ImagePatchConv,
    ImagePatchConvTranspose,
    PatchConv1d,
    PatchConvTranspose1d,
    initialize_inner,
)
from lipfault.models.autoencoder.pca import fit_pca_padded
from lipfault.models.autoencoder.position_coder import PositionCoder
from lipfault.models.layers.padding import cropped, padded, whole_patches

_MOST_FEATURES, _MOST_PATCHES = 4096, 2048
"""Patches of an image with more values than the first are so many that the covariance of all of
them takes minutes; the basis is then fitted on the second number of patches, evenly spread."""


def _zero(layer: nn.Conv1d | nn.Conv2d) -> nn.Conv1d | nn.Conv2d:
    """The layer with weights of zero."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _count(shape: tuple[int, ...]) -> int:
    """Elements of a shape."""
    return torch.Size(shape).numel()


def _bias(layer: nn.ConvTranspose1d) -> Tensor:
    """Bias of a layer, (channel, 1), zero if it has none."""
    return layer.weight.new_zeros(1, 1) if layer.bias is None else layer.bias[:, None]


class ImageCoder(nn.Module):
    """Encoder and decoder of standardized images.

    Args:
        channels: Channels of the image.
        size: (height, width) in pixels; zeros are appended to a whole number of patches.
        latent_channels: Latent channels.
        widths: Channels of the nonlinear path after each halving of the resolution; the patch is
            2 to the power of their number.
        kept: If given, the linear path has a basis of its own at each position, and the latent
            keeps so many dimensions in all, those of the largest variance; the others are zero.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        latent_channels: int,
        widths: tuple[int, ...] = (24, 48, 64),
        kept: int | None = None,
    ) -> None:
        """Build both paths, the nonlinear one at zero."""
        super().__init__()
        self.patch, self.size = 2 ** len(widths), size
        grid = (whole_patches(size[0], self.patch), whole_patches(size[1], self.patch))
        self.latent_shape = (latent_channels, *grid)
        self.linear = (
            PatchCoder(channels, self.patch, latent_channels)
            if kept is None
            else PositionCoder(channels, grid, self.patch, latent_channels, kept)
        )
        halvings: list[nn.Module] = []
        for before, after in pairwise((channels, *widths)):
            halvings += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GELU()]
        self.encoder = nn.Sequential(
            *halvings, _zero(nn.Conv2d(widths[-1], latent_channels, 3, padding=1))
        )
        # Position embedding: in the frames of a fixed camera a pixel has a meaning of its own.
        self.position = nn.Parameter(torch.zeros(widths[-1], *self.latent_shape[1:]))
        self.decoder_start = nn.Conv2d(latent_channels, widths[-1], 3, padding=1)
        doublings: list[nn.Module] = []
        for before, after in pairwise(reversed(widths)):
            doublings += [nn.GELU(), nn.Conv2d(before, 4 * after, 3, padding=1), nn.PixelShuffle(2)]
        last = _zero(nn.Conv2d(widths[0], 4 * channels, 3, padding=1))
        self.decoder = nn.Sequential(*doublings, nn.GELU(), last, nn.PixelShuffle(2))

    @property
    def latent_size(self) -> int:
        """Latent dimensions in use."""
        return (
            self.linear.kept
            if isinstance(self.linear, PositionCoder)
            else _count(self.latent_shape)
        )

    def encode(self, images: Tensor) -> Tensor:
        """Encode images.

        Args:
            images: (batch, channel, height, width), standardized.

        Returns:
            Latent (batch, latent channel, row, column).
        """
        images = padded(images, self.patch, 'constant')
        latent: Tensor = self.linear.encode(images) + self.encoder(images)
        return latent * self.linear.active if isinstance(self.linear, PositionCoder) else latent

    def decode(self, latent: Tensor) -> Tensor:
        """Decode latents.

        Args:
            latent: (batch, latent channel, row, column).

        Returns:
            Images (batch, channel, height, width).
        """
        images: Tensor = self.linear.decode(latent) + self.decoder(
            self.decoder_start(latent) + self.position
        )
        return cropped(images, self.size)

    def synthesized(self, change: Tensor) -> Tensor:
        """Decode a change of the latent by the linear path alone.

        Args:
            change: (batch, latent channel, position ...).

        Returns:
            The change of the signal, shaped as the signal.
        """
        return cropped(self.linear.decode(change), self.size)

    def importance(self) -> Tensor:
        """Return the squared effect of each latent dimension on the image.

        Returns:
            Squared norms, (latent channel, row, column) or broadcastable to it.
        """
        return self.linear.importance()

    def start_from_pca(self, images: Tensor) -> None:
        """Set the linear path to the PCA of image patches, scaled to a latent of unit variance.

        Args:
            images: (sample, channel, height, width), standardized.
        """
        self.linear.start_from_pca(padded(images, self.patch, 'constant'))


class PatchCoder(nn.Module):
    """Linear coder with one basis for all patches of an image.

    Args:
        channels: Channels of the image.
        patch: Pixels of a patch in each direction.
        latent_channels: Latent channels.
    """

    def __init__(self, channels: int, patch: int, latent_channels: int) -> None:
        """Build the layers."""
        super().__init__()
        self.patch = patch
        self.analysis = ImagePatchConv(channels, latent_channels, patch)
        self.synthesis = ImagePatchConvTranspose(latent_channels, channels, patch)

    def encode(self, images: Tensor) -> Tensor:
        """Apply the analysis kernels to every patch.

        Args:
            images: (batch, channel, height, width).

        Returns:
            One coefficient per kernel and patch, (batch, latent channel, row, column).
        """
        latent: Tensor = self.analysis(images)
        return latent

    def decode(self, latent: Tensor) -> Tensor:
        """Sum the synthesis kernels of every patch.

        Args:
            latent: Coefficients, (batch, latent channel, row, column).

        Returns:
            The images, (batch, channel, height, width).
        """
        images: Tensor = self.synthesis(latent)
        return images

    def importance(self) -> Tensor:
        """Return the squared effect of each latent channel on the image.

        Returns:
            Squared norms of the kernels, (latent channel, 1, 1).
        """
        weight = self.synthesis.weight.detach()
        return weight.square().flatten(1).sum(dim=1)[:, None, None]

    @torch.no_grad()
    def start_from_pca(self, images: Tensor) -> None:
        """Set the basis to the PCA of all image patches.

        Args:
            images: (sample, channel, height, width), of zero mean at each pixel.
        """
        patches = rearrange(
            images, 'n c (h p) (w q) -> (n h w) (c p q)', p=self.patch, q=self.patch
        )
        if patches.shape[1] > _MOST_FEATURES:
            rows = torch.linspace(0, len(patches) - 1, min(len(patches), _MOST_PATCHES))
            patches = patches[rows.long()]
        pca = fit_pca_padded(patches, self.analysis.out_channels)
        spread = pca.encode(patches).std(dim=0).clamp_min(1e-4)
        self.analysis.weight.copy_((pca.components / spread[:, None]).view_as(self.analysis.weight))
        self.synthesis.weight.copy_(
            (pca.components * spread[:, None]).view_as(self.synthesis.weight)
        )


class SeriesCoder(nn.Module):
    """Encoder and decoder of standardized series.

    The kernels of the linear path overlap by half a patch on either side, so that training can turn
    the patch PCA into a lapped transform.

    Args:
        channels: Channels of the series.
        steps: Length of the window; zeros are appended to a whole number of patches.
        latent_channels: Latent channels.
        patch: Time steps per latent position, even.
        width: Channels of the nonlinear path.
    """

    def __init__(
        self, channels: int, steps: int, latent_channels: int, patch: int = 8, width: int = 128
    ) -> None:
        """Build both paths, the nonlinear one at zero."""
        super().__init__()
        self.patch, self.steps = patch, steps
        self.latent_shape = (latent_channels, whole_patches(steps, patch))
        self.linear_encoder = PatchConv1d(channels, latent_channels, patch)
        self.linear_decoder = PatchConvTranspose1d(latent_channels, channels, patch)
        self.encoder = nn.Sequential(
            PatchConv1d(channels, width, patch),
            nn.GELU(),
            nn.Conv1d(width, width, 3, padding=1),
            nn.GELU(),
            _zero(nn.Conv1d(width, latent_channels, 1)),
        )
        self.decoder = nn.Sequential(
            nn.Conv1d(latent_channels, 2 * width, 3, padding=1),
            nn.GELU(),
            nn.Conv1d(2 * width, 2 * width, 3, padding=1),
            nn.GELU(),
            _zero(nn.Conv1d(2 * width, channels * patch, 3, padding=1)),
        )

    @property
    def latent_size(self) -> int:
        """Latent dimensions."""
        return _count(self.latent_shape)

    def synthesized(self, change: Tensor) -> Tensor:
        """Decode a change of the latent by the linear path alone.

        Args:
            change: (batch, latent channel, position ...).

        Returns:
            The change of the signal, shaped as the signal.
        """
        signal: Tensor = self.linear_decoder(change) - _bias(self.linear_decoder)
        return cropped(signal, (self.steps,))

    def importance(self) -> Tensor:
        """Return the squared effect of each latent channel on the series.

        Returns:
            Squared norms of the kernels, (latent channel, 1).
        """
        return self.linear_decoder.weight.detach().square().flatten(1).sum(dim=1)[:, None]

    def encode(self, series: Tensor) -> Tensor:
        """Encode series, always in float32.

        Args:
            series: (batch, channel, time), standardized.

        Returns:
            Latent (batch, latent channel, position), float32.
        """
        # The error of a quiet sensor is below the resolution of bfloat16.
        with torch.autocast(series.device.type, enabled=False):
            series = padded(series.float(), self.patch, 'constant')
            latent: Tensor = self.linear_encoder(series) + self.encoder(series)
        return latent

    def decode(self, latent: Tensor) -> Tensor:
        """Decode latents, always in float32.

        Args:
            latent: (batch, latent channel, position).

        Returns:
            Series (batch, channel, time), standardized, float32.
        """
        with torch.autocast(latent.device.type, enabled=False):
            latent = latent.float()
            detail = rearrange(self.decoder(latent), 'b (c p) t -> b c (t p)', p=self.patch)
            series: Tensor = self.linear_decoder(latent) + detail
        return cropped(series, (self.steps,))

    @torch.no_grad()
    def start_from_pca(self, series: Tensor) -> None:
        """Set the linear path to the PCA of all patches, scaled to a latent of unit variance.

        Args:
            series: (sample, channel, time), standardized.
        """
        whole = padded(series, self.patch, 'constant')
        patches = rearrange(whole, 'n c (t p) -> (n t) (c p)', p=self.patch)
        pca = fit_pca_padded(patches, self.latent_shape[0])
        spread = pca.encode(patches).std(dim=0).clamp_min(1e-4)
        kernels = rearrange(pca.components, 'm (c p) -> m c p', p=self.patch)
        initialize_inner(self.linear_encoder, kernels / spread[:, None, None])
        initialize_inner(self.linear_decoder, kernels * spread[:, None, None])
        # The mean of each time step of a patch: a bias of the linear path has one for all of them.
        centre = pca.components @ pca.mean / spread
        self.linear_encoder.bias.copy_(-centre)  # type: ignore[union-attr]
        self.decoder[-1].bias.copy_(pca.mean)  # type: ignore[operator]
