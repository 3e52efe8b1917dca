"""Strided convolutions over patches, computed as one matrix product.

Parameters, result and operator are those of torch's own convolutions; with kernels of this size
the product and its gradients are faster on a CPU.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from lipfault.lipschitz.norms.same_map import same_map


class PatchConv1d(nn.Conv1d):
    """Convolution whose kernel extends half a patch beyond each patch of the series.

    Args:
        channels: Channels of the series.
        out: Channels of the output.
        patch: Time steps per output position, even; the kernel has twice as many.
    """

    def __init__(self, channels: int, out: int, patch: int) -> None:
        """Fix kernel, stride and padding to the patch."""
        super().__init__(channels, out, 2 * patch, stride=patch, padding=patch // 2)
        self.patch = patch

    @same_map
    def forward(self, input: Tensor) -> Tensor:
        """Apply the convolution.

        Args:
            input: (batch, channel, time).

        Returns:
            (batch, out, position).
        """
        padded = functional.pad(input, (self.patch // 2, self.patch // 2))
        # (batch, channel, position, 2 x patch)
        patches = padded.unfold(2, 2 * self.patch, self.patch)
        rows = rearrange(patches, 'b c t k -> b t (c k)')
        return functional.linear(rows, self.weight.flatten(1), self.bias).transpose(1, 2)


class PatchConvTranspose1d(nn.ConvTranspose1d):
    """Adjoint of `PatchConv1d`: the sum of overlapping patches.

    Args:
        channels: Channels of the latent.
        out: Channels of the series.
        patch: Time steps per latent position, even.
    """

    def __init__(self, channels: int, out: int, patch: int) -> None:
        """Fix kernel, stride and padding to the patch."""
        super().__init__(channels, out, 2 * patch, stride=patch, padding=patch // 2)
        self.patch = patch

    @same_map
    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Apply the transposed convolution.

        Args:
            input: (batch, channel, position).
            output_size: Without effect; part of the signature of torch.

        Returns:
            (batch, out, time).
        """
        rows = input.transpose(1, 2) @ self.weight.flatten(1)
        # Each kernel covers two patches: its halves are added with a shift of one position.
        halves = rearrange(rows, 'b t (c h p) -> h b c t p', h=2, p=self.patch)
        first = functional.pad(halves[0], (0, 0, 0, 1))
        second = functional.pad(halves[1], (0, 0, 1, 0))
        whole = rearrange(first + second, 'b c t p -> b c (t p)')
        series = whole[:, :, self.patch // 2 : -(self.patch - self.patch // 2)]
        return series if self.bias is None else series + self.bias[:, None]


class ImagePatchConv(nn.Conv2d):
    """Convolution over non-overlapping patches, without bias.

    Args:
        channels: Channels of the image.
        out: Channels of the output.
        patch: Pixels of a patch in each direction.
    """

    def __init__(self, channels: int, out: int, patch: int) -> None:
        """Fix kernel and stride to the patch."""
        super().__init__(channels, out, patch, stride=patch, bias=False)
        self.patch = patch

    @same_map
    def forward(self, input: Tensor) -> Tensor:
        """Apply the convolution.

        Args:
            input: (batch, channel, height, width).

        Returns:
            (batch, out, row, column).
        """
        rows = rearrange(input, 'b c (h p) (w q) -> b h w (c p q)', p=self.patch, q=self.patch)
        return rearrange(functional.linear(rows, self.weight.flatten(1)), 'b h w m -> b m h w')


class ImagePatchConvTranspose(nn.ConvTranspose2d):
    """Adjoint of `ImagePatchConv`, without bias.

    Args:
        channels: Channels of the latent, the output of `ImagePatchConv`.
        out: Channels of the image.
        patch: Rows and columns of a patch; one latent position gives one patch.
    """

    def __init__(self, channels: int, out: int, patch: int) -> None:
        """Fix kernel and stride to the patch."""
        super().__init__(channels, out, patch, stride=patch, bias=False)
        self.patch = patch

    @same_map
    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Apply the transposed convolution.

        Args:
            input: (batch, channel, row, column).
            output_size: Without effect; part of the signature of torch.

        Returns:
            (batch, out, height, width).
        """
        kernels = rearrange(self.weight, 'm c p q -> m (p q c)')
        rows = rearrange(input, 'b m h w -> b h w m') @ kernels
        pixels = rearrange(rows, 'b h w (p q c) -> b (h p) (w q) c', p=self.patch, q=self.patch)
        return rearrange(pixels, 'b h w c -> b c h w')


def initialize_inner(layer: PatchConv1d | PatchConvTranspose1d, kernels: Tensor) -> None:
    """Set the kernel to zero outside the patch itself, and the bias to zero.

    Args:
        layer: The layer, modified in place.
        kernels: (latent channel, series channel, patch).
    """
    inner = slice(layer.patch // 2, layer.patch // 2 + layer.patch)
    with torch.no_grad():
        nn.init.zeros_(layer.weight)
        layer.weight[:, :, inner] = kernels
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
