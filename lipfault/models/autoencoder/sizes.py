"""Sizes of the coder of each modality, derived from its shape."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lipfault.domains import Width, validated
from lipfault.errors import LipfaultError
from lipfault.modality import Modality
from lipfault.models.layers.padding import whole_patches

LARGEST_GRID = 10
"""Most latent positions of an image in each direction: predictors and corrector are dense over all
positions. Frames of 64 pixels have 8 positions, patches of 8 x 8 pixels."""

LARGEST_LATENT = 4096
"""Most latent dimensions of an image, those of 64 x 64 positions of the shipped sets at 256 px."""

LONGEST_PATCH = 128
"""Most time steps of a patch: a longer window is divided, so that the kernels stay small."""

SERIES_LATENT, KEPT_SHARE = 256, 2 / 3
"""Most latent channels of a series, and most as a share of the values of a patch: with as many as
values nothing would be left for the residual of the reconstruction. 6 channels of 64 samples, the
smallest series of the shipped sets, have 256."""


@validated
@dataclass
class CoderConfig:
    """Sizes of the autoencoder; those not given are derived from the shape of each modality.

    Args:
        image_latent: Most latent channels of an image, and with `image_kept` the largest number at
            a position; by default 16 for patches of 8 pixels, and twice as many for patches of
            twice the side.
        image_widths: Channels after each halving of the image; three halvings give 8x8 patches. By
            default as many halvings, three at least, as leave 10 positions in each direction.
        series_latent: Most latent channels of a series; by default 256, and at most two thirds of
            the values of a patch.
        series_patch: Most time steps per latent position, an even number; by default 128. Where
            the window is not longer, as in the shipped configurations, the latent has one position.
        series_width: Channels of the nonlinear path of a series.
        image_kept: If given, each position has a linear basis of its own, and the latent of an
            image keeps so many dimensions in all, those of the largest variance.

    Raises:
        LipfaultError: If the patch of a series is not an even number.
    """

    image_latent: Width | None = None
    image_widths: tuple[Width, ...] | None = None
    series_latent: Width | None = None
    series_patch: Width | None = None
    series_width: Width = 128
    image_kept: Width | None = None

    def __post_init__(self) -> None:
        """Check the patch of a series."""
        patch = self.series_patch
        if patch is not None and (patch < 2 or patch % 2):
            raise LipfaultError(
                f'series_patch must be an even number of samples, got {patch}: a coder looks half '
                'a patch beyond each patch'
            )


@dataclass(frozen=True)
class ImageSizes:
    """Sizes of the coder of an image.

    Args:
        latent: Latent channels.
        widths: Channels after each halving.
    """

    latent: int
    widths: tuple[int, ...]

    @property
    def patch(self) -> int:
        """Pixels of a patch in each direction."""
        return int(2 ** len(self.widths))


@dataclass(frozen=True)
class SeriesSizes:
    """Sizes of the coder of a series.

    Args:
        latent: Latent channels.
        patch: Time steps per latent position, even.
    """

    latent: int
    patch: int


def image_sizes(modality: Modality, config: CoderConfig) -> ImageSizes:
    """Derive the sizes of the coder of an image.

    Args:
        modality: Description of the image.
        config: Sizes that are given.

    Returns:
        Latent channels, at most the values of a patch, and channels after each halving.
    """
    height, width = modality.size or (1, 1)
    widths = config.image_widths
    if widths is None:
        widths = _widths(max(3, math.ceil(math.log2(max(height, width) / LARGEST_GRID))))
    patch = 2 ** len(widths)
    positions = whole_patches(height, patch) * whole_patches(width, patch)
    latent = config.image_latent
    if latent is None:
        latent = max(1, min(2 * patch, LARGEST_LATENT // positions))
    return ImageSizes(min(latent, len(modality.channels) * patch**2), tuple(widths))


def series_sizes(modality: Modality, steps: int, config: CoderConfig) -> SeriesSizes:
    """Derive the sizes of the coder of a series.

    Args:
        modality: Description of the series.
        steps: Length of the window, in samples.
        config: Sizes that are given.

    Returns:
        Latent channels, at most the values of a patch, and the smallest even patch that covers the
        window in as many positions as the largest patch.
    """
    positions = whole_patches(steps, config.series_patch or LONGEST_PATCH)
    patch = 2 * math.ceil(steps / positions / 2)
    values = len(modality.channels) * min(patch, steps)
    latent = config.series_latent
    if latent is None:
        latent = max(1, min(SERIES_LATENT, round(values * KEPT_SHARE)))
    return SeriesSizes(min(latent, values), patch)


def sizes_in_words(
    modalities: Mapping[str, Modality], steps: Mapping[str, int], config: CoderConfig
) -> list[str]:
    """State the sizes of each coder.

    Args:
        modalities: Description of each modality.
        steps: Length of the window of each series, in samples.
        config: Sizes that are given.

    Returns:
        One line for each modality.
    """
    lines = []
    for name, modality in modalities.items():
        if modality.size is not None:
            image = image_sizes(modality, config)
            grid = [whole_patches(side, image.patch) for side in modality.size]
            pad = [n * image.patch - side for n, side in zip(grid, modality.size, strict=True)]
            text = f'{grid[0]} x {grid[1]} patches of {image.patch} pixels'
            text += f', {pad[0]} rows and {pad[1]} columns of them padding' if any(pad) else ''
            lines.append(f'{name}: {text}, {image.latent} latent channels')
            continue
        series = series_sizes(modality, steps[name], config)
        count = whole_patches(steps[name], series.patch)
        pad_steps = count * series.patch - steps[name]
        text = f'{count} patch{"es" if count > 1 else ""} of {series.patch} samples'
        text += f', {pad_steps} of them padding' if pad_steps else ''
        lines.append(f'{name}: {text}, {series.latent} latent channels')
    return lines


def _widths(halvings: int) -> tuple[int, ...]:
    """Channels after each halving: those of the shipped sets at 64 and 256 px, and between."""
    if halvings <= 3:
        return (24, 48, 64)
    return (*(16,) * (halvings - 5), *(24, 32, 48, 64, 96)[: min(5, halvings)])
