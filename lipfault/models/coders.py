"""Convolutional encoders and decoders whose latent keeps positions.

Each is a linear path plus a nonlinear one. The linear path is a patch PCA written as a strided
convolution; the nonlinear path starts at zero, so that training starts from the patch PCA and can
only improve on it. Both paths are convolutions: a fault changes only latent positions whose
receptive field it touches.
"""

from itertools import pairwise

import torch
from einops import rearrange
from torch import Tensor, nn

from lipfault.models.patch_conv import PatchConv1d, PatchConvTranspose1d, initialize_inner
from lipfault.models.pca import fit_pca


def _zero(layer: nn.Conv1d | nn.Conv2d) -> nn.Conv1d | nn.Conv2d:
    """The layer, giving zero until it is trained."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ImageCoder(nn.Module):
    """Encoder and decoder of standardized images.

    Args:
        channels: Channels of the image.
        size: (height, width) in pixels, multiples of the patch.
        latent_channels: Numbers kept at each latent position.
        widths: Channels of the nonlinear path after each halving of the resolution; the patch is
            2 to the power of their number.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        latent_channels: int,
        widths: tuple[int, ...] = (24, 48, 64),
    ) -> None:
        """Build both paths, the nonlinear one at zero."""
        super().__init__()
        self.patch = 2 ** len(widths)
        self.latent_shape = (latent_channels, size[0] // self.patch, size[1] // self.patch)
        self.linear_encoder = nn.Conv2d(channels, latent_channels, self.patch, self.patch)
        self.linear_decoder = nn.ConvTranspose2d(latent_channels, channels, self.patch, self.patch)
        halvings: list[nn.Module] = []
        for before, after in pairwise((channels, *widths)):
            halvings += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GELU()]
        self.encoder = nn.Sequential(
            *halvings, _zero(nn.Conv2d(widths[-1], latent_channels, 3, padding=1))
        )
        self.place = nn.Parameter(torch.zeros(widths[-1], *self.latent_shape[1:]))
        self.decoder_start = nn.Conv2d(latent_channels, widths[-1], 3, padding=1)
        doublings: list[nn.Module] = []
        for before, after in pairwise(reversed(widths)):
            doublings += [nn.GELU(), nn.Conv2d(before, 4 * after, 3, padding=1), nn.PixelShuffle(2)]
        last = _zero(nn.Conv2d(widths[0], 4 * channels, 3, padding=1))
        self.decoder = nn.Sequential(*doublings, nn.GELU(), last, nn.PixelShuffle(2))

    def encode(self, images: Tensor) -> Tensor:
        """Latent (batch, latent channel, row, column) of images (batch, channel, height, width)."""
        latent: Tensor = self.linear_encoder(images) + self.encoder(images)
        return latent

    def decode(self, latent: Tensor) -> Tensor:
        """Images (batch, channel, height, width) of a latent (batch, latent channel, row, column).

        A learned map of places tells the nonlinear path where it is: the camera does not move.
        """
        images: Tensor = self.linear_decoder(latent) + self.decoder(
            self.decoder_start(latent) + self.place
        )
        return images

    @torch.no_grad()
    def start_from_pca(self, images: Tensor) -> None:
        """Set the linear path to the PCA of all patches of images (sample, channel, height, width).

        Latent channels are scaled to unit variance.
        """
        patches = rearrange(
            images, 'n c (h p) (w q) -> (n h w) (c p q)', p=self.patch, q=self.patch
        )
        pca = fit_pca(patches, self.latent_shape[0])
        spread = pca.encode(patches).std(dim=0).clamp_min(1e-4)
        self._set_linear(
            pca.components / spread[:, None], pca.components * spread[:, None], pca.mean
        )

    def _set_linear(self, analysis: Tensor, synthesis: Tensor, mean: Tensor) -> None:
        encoder, decoder = self.linear_encoder, self.linear_decoder
        encoder.weight.copy_(analysis.view_as(encoder.weight))
        decoder.weight.copy_(synthesis.view_as(decoder.weight))
        if encoder.bias is not None and decoder.bias is not None:
            encoder.bias.copy_(-(analysis @ mean))
            channels = rearrange(mean, '(c p) -> c p', c=decoder.weight.shape[1])
            decoder.bias.copy_(channels.mean(dim=1))


class SeriesCoder(nn.Module):
    """Encoder and decoder of standardized series.

    The linear path looks half a patch beyond each patch, so that training can turn the patch PCA
    into a lapped transform.

    Args:
        channels: Channels of the series.
        steps: Length of the window, a multiple of `patch`.
        latent_channels: Numbers kept at each latent position.
        patch: Time steps per latent position, even.
        width: Channels of the nonlinear path.
    """

    def __init__(
        self, channels: int, steps: int, latent_channels: int, patch: int = 8, width: int = 128
    ) -> None:
        """Build both paths, the nonlinear one at zero."""
        super().__init__()
        self.patch = patch
        self.latent_shape = (latent_channels, steps // patch)
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

    def encode(self, series: Tensor) -> Tensor:
        """Latent (batch, latent channel, position) of series (batch, channel, time).

        Always in float32: a quiet sensor's error is below the resolution of bfloat16.
        """
        with torch.autocast(series.device.type, enabled=False):
            series = series.float()
            latent: Tensor = self.linear_encoder(series) + self.encoder(series)
        return latent

    def decode(self, latent: Tensor) -> Tensor:
        """Series (batch, channel, time) of a latent (batch, latent channel, position)."""
        with torch.autocast(latent.device.type, enabled=False):
            latent = latent.float()
            detail = rearrange(self.decoder(latent), 'b (c p) t -> b c (t p)', p=self.patch)
            series: Tensor = self.linear_decoder(latent) + detail
        return series

    @torch.no_grad()
    def start_from_pca(self, series: Tensor) -> None:
        """Set the linear path to the PCA of all patches of series (sample, channel, time).

        Latent channels are scaled to unit variance.
        """
        patches = rearrange(series, 'n c (t p) -> (n t) (c p)', p=self.patch)
        pca = fit_pca(patches, self.latent_shape[0])
        spread = pca.encode(patches).std(dim=0).clamp_min(1e-4)
        kernels = rearrange(pca.components, 'm (c p) -> m c p', p=self.patch)
        initialize_inner(self.linear_encoder, kernels / spread[:, None, None])
        initialize_inner(self.linear_decoder, kernels * spread[:, None, None])
