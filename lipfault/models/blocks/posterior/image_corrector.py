"""Correction of an image by its pixels, the median scene, and the other modalities."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipfault.models.layers.padding import cropped, whole_patches
from lipfault.models.layers.patch_net import PATCH, PatchNet

WIDTH = 64
"""Hidden channels at each patch."""

_BEFORE = 2
"""Place of the frame before among the sources."""

_FINE = 24
"""Hidden channels at each pixel."""


class ImageCorrector(nn.Module):
    """Blends each pixel with the median scene and with the prediction from other modalities.

    In the frames of a fixed camera most pixels show the same background at all times: where a
    difference from the median of clean frames is a fault and not the machine, the median is the
    clean value. A further source is the frame before, whose noise is another one. A network over
    patches, with a correction at each pixel, gives the weights of the blend, which add up to one,
    and a change of the observed pixel (deblurring, denoising, colours). A missing or unknown pixel
    has the weight zero.

    Args:
        channels: Channels of the image.
        size: (height, width) in pixels.
        is_predicted: Whether other modalities predict the image.
        width: Hidden channels at each patch.
        patch: Pixels of a patch in each direction.

    Reference:
        Kernel prediction by weights at each pixel: Mildenhall et al. 2018, Burst denoising with
        kernel prediction networks, https://arxiv.org/abs/1712.02327
    """

    median: Tensor
    deviation: Tensor
    level: Tensor

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        is_predicted: bool,
        width: int = WIDTH,
        patch: int = PATCH,
    ) -> None:
        """Build the layers; the output starts as the observed pixels, nearly."""
        super().__init__()
        self.channels, self.sources = channels, 4 if is_predicted else 3
        self.register_buffer('median', torch.zeros(channels, *size))
        self.register_buffer('deviation', torch.ones(channels, *size))
        self.register_buffer('level', torch.zeros(channels, *size))
        # Pixels, differences from their neighbours and from the other sources, their deviation.
        views = (2 + self.sources) * channels + 1
        self.patch = patch
        grid = (whole_patches(size[0], patch), whole_patches(size[1], patch))
        self.position = nn.Parameter(torch.zeros(width, *grid))
        self.net = PatchNet('image', views, width, 3, patch, conditioned=True)
        self.second = PatchNet('image', width, width, 3, patch=1)
        outputs = (self.sources + 1) * channels
        self.end = nn.Conv2d(width, outputs * patch**2, 1)
        self.fine = nn.Conv2d(outputs + views, _FINE, 3, padding=1)
        self.fine_end = nn.Conv2d(_FINE, outputs, 3, padding=1)
        for layer in (self.end, self.fine_end):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    @torch.no_grad()
    def fit(self, frames: Tensor, level: Tensor, noise: Tensor) -> None:
        """Fit median and deviation of each pixel on clean frames.

        Args:
            frames: (frame, channel, height, width), standardized.
            level: (channel, height, width), mean of each pixel in units of the standard deviation,
                which standardization has subtracted.
            noise: (channel,) sensor noise, standardized, the least deviation.
        """
        self.level.copy_(level)
        self.median.copy_(frames.median(dim=0).values)
        deviation = (frames - self.median).square().mean(dim=0).sqrt()
        self.deviation.copy_(deviation.maximum(noise.to(deviation)[:, None, None]))

    def forward(
        self,
        frame: Tensor,
        predicted: Tensor | None,
        previous: Tensor | None,
        stillness: Tensor,
        missing: Tensor | None = None,
    ) -> Tensor:
        """Correct a batch of frames.

        Args:
            frame: (batch, channel, height, width), standardized, finite.
            predicted: Prediction from the other modalities, shaped as the frame; None without.
            previous: The frame before, shaped as the frame, NaN where a value is missing; None
                where it is not known.
            stillness: (batch, 1), see `SideInfo.stillness`.
            missing: (batch, 1, height, width) bool, where no value arrived.

        Returns:
            The corrected frames, (batch, channel, height, width), standardized.
        """
        # An unknown pixel shows no change, and has no weight.
        before = frame if previous is None else torch.where(previous.isnan(), frame, previous)
        sources = [frame, self.median.expand(len(frame), -1, -1, -1), before]
        sources += [] if predicted is None else [predicted]
        views = self._views(frame, sources)
        hidden = self.second(self.net(views, stillness) + self.position)
        out = cropped(functional.pixel_shuffle(self.end(hidden), self.patch), frame.shape[2:])
        out = out + self.fine_end(functional.gelu(self.fine(torch.cat([out, views], dim=1))))
        *logits, change = out.chunk(self.sources + 1, dim=1)
        logits[0] = logits[0] + 3.0  # a weight of about 0.9 at the start
        if missing is not None:
            logits[0] = logits[0].masked_fill(missing, -torch.inf)
        sources[0] = frame + change
        if previous is None:
            del sources[_BEFORE], logits[_BEFORE]
        else:
            logits[_BEFORE] = logits[_BEFORE].masked_fill(previous.isnan(), -torch.inf)
        weights = torch.stack(logits, dim=1).softmax(dim=1)
        return (weights * torch.stack(sources, dim=1)).sum(dim=1)

    def _views(self, frame: Tensor, sources: list[Tensor]) -> Tensor:
        """Inputs of the networks, (batch, view, height, width)."""
        padded = functional.pad(frame, (1, 1, 1, 1), mode='replicate')
        smooth = functional.avg_pool2d(padded, 3, 1)
        differences = [frame - other for other in sources[1:]]
        largest = differences[0].abs().amax(dim=1, keepdim=True)
        return torch.cat(
            [
                frame + self.level,
                *differences,
                4 * (frame - smooth),
                (differences[0] / self.deviation).clamp(-4, 4),
                largest,
            ],
            dim=1,
        )
