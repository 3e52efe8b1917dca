"""Features of windows for closed-form statistics: logarithms of residuals of clean models."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipfault.modality import Modality
from lipfault.models.blocks.baselines.clean_models import (
    Autoregression,
    ChannelRegression,
    with_angles,
)
from lipfault.models.blocks.baselines.projection import Projection
from lipfault.models.layers.chunks import CHUNK

CENTERS = 1500
"""Windows kept as centers of a kernel regression."""

COMPONENTS = 64
"""Principal components of an image, which the kernel regression predicts."""

ORDER = 8
"""Samples from which the autoregression predicts the next one; fewer in a short window."""

PATCH = 8
"""Time steps of a patch, the shortest stretch that has a feature of its own."""

GRID = 8
"""Rows and columns of the cells of an image."""

FLOOR = 1e-3
"""Smallest residual that counts, relative to the root mean square on clean windows."""


def log_magnitude(values: Tensor) -> Tensor:
    """Return the logarithm of magnitudes, bounded below by that of `FLOOR`.

    Args:
        values: Values relative to the root mean square on clean windows.

    Returns:
        A tensor of the same shape.
    """
    return values.abs().clamp_min(FLOOR).log()


class ModalityFeatures(nn.Module, ABC):
    """Features of one modality.

    Attributes:
        count: Number of features.
        summary_count: Size of the summary from which other modalities are predicted.
        target_count: Size of the target that the other modalities predict.
    """

    count: int
    summary_count: int
    target_count: int

    @abstractmethod
    def fit(self, standardized: Tensor, physical: Tensor) -> None:
        """Fit the models on clean windows.

        Args:
            standardized: (window, ...), the modality standardized.
            physical: The same signals in physical units.
        """

    @abstractmethod
    def fit_scale(self, standardized: Tensor, physical: Tensor, predicted: Tensor | None) -> None:
        """Fit the scales of the residuals.

        Args:
            standardized: Clean windows that the models were not fitted on.
            physical: The same signals in physical units.
            predicted: (window, target_count) as predicted from the other modalities, if there are
                any.
        """

    @abstractmethod
    def summary(self, standardized: Tensor, physical: Tensor) -> Tensor:
        """Summarize a window for the prediction of other modalities.

        Args:
            standardized: (batch, ...), the modality standardized.
            physical: The same signals in physical units.

        Returns:
            (batch, summary_count).
        """

    @abstractmethod
    def target(self, standardized: Tensor) -> Tensor:
        """Return what the other modalities predict.

        Args:
            standardized: (batch, ...), the modality standardized.

        Returns:
            (batch, target_count).
        """

    @abstractmethod
    def forward(self, standardized: Tensor, physical: Tensor, predicted: Tensor | None) -> Tensor:
        """Compute the features.

        Args:
            standardized: (batch, ...), the modality standardized.
            physical: The same signals in physical units.
            predicted: (batch, target_count) as predicted from the other modalities, if there are
                any.

        Returns:
            (batch, count), float32.
        """


class SeriesFeatures(ModalityFeatures):
    """Features of the channels of a series: residuals given other channels and given the past.

    The other modalities predict the mean of each channel over the window.

    Args:
        modality: The series.
        steps: Time steps of a window.
        predicted: Whether other modalities predict the series.
    """

    scale: Tensor
    mean_scale: Tensor

    def __init__(self, modality: Modality, steps: int, predicted: bool) -> None:
        """Build the unfitted models."""
        super().__init__()
        channels = len(modality.channels)
        angles = torch.tensor([unit == 'rad' for unit in modality.units])
        self.channel_regression = ChannelRegression(angles)
        self.autoregression = Autoregression(channels, min(ORDER, max(1, steps // 4)))
        self.register_buffer('scale', torch.ones(2, channels, 1))
        self.register_buffer('mean_scale', torch.ones(channels))
        self.count = (9 if predicted else 8) * channels
        self.summary_count = channels + 2 * int(angles.sum())
        self.target_count = channels

    def fit(self, standardized: Tensor, physical: Tensor) -> None:
        """Fit both regressions on clean windows.

        Args:
            standardized: (window, ...), the modality standardized.
            physical: The same signals in physical units.
        """
        self.channel_regression.fit(standardized, physical)
        self.autoregression.fit(standardized)

    def fit_scale(self, standardized: Tensor, physical: Tensor, predicted: Tensor | None) -> None:
        """Fit the root mean square of the residuals of each channel.

        Args:
            standardized: (window, ...), the modality standardized.
            physical: The same signals in physical units.
            predicted: (window, target_count) as predicted from the other modalities, if there are
                any.
        """
        parts = zip(torch.split(standardized, CHUNK), torch.split(physical, CHUNK), strict=True)
        total = torch.zeros_like(self.scale)
        for part in parts:
            squares = [r.square().mean(dim=2).sum(dim=0) for r in self._residuals(*part)]
            total += torch.stack(squares)[..., None]
        self.scale.copy_((total / len(standardized)).sqrt().clamp_min(1e-6))
        if predicted is not None:
            errors = predicted - self.target(standardized)
            self.mean_scale.copy_(errors.square().mean(dim=0).sqrt().clamp_min(1e-6))

    def summary(self, standardized: Tensor, physical: Tensor) -> Tensor:
        """Average the end of the window, with sine and cosine of angles.

        Args:
            standardized: (batch, ...), the modality standardized.
            physical: The same signals in physical units.

        Returns:
            (batch, summary_count).
        """
        last, turned = (
            x[..., -PATCH // 2 :].mean(dim=2, keepdim=True) for x in (standardized, physical)
        )
        return with_angles(last, turned, self.channel_regression.angles).flatten(1)

    def target(self, standardized: Tensor) -> Tensor:
        """Return the mean of each channel.

        Args:
            standardized: (batch, channel, time), the modality standardized.

        Returns:
            (batch, channel).
        """
        return standardized.float().mean(dim=2)

    def forward(self, standardized: Tensor, physical: Tensor, predicted: Tensor | None) -> Tensor:
        """Compute the features.

        Args:
            standardized: (batch, ...), the modality standardized.
            physical: The same signals in physical units.
            predicted: (batch, target_count) as predicted from the other modalities, if there are
                any.

        Returns:
            (batch, count), float32.
        """
        pairs = zip(self._residuals(standardized, physical), self.scale, strict=True)
        given_others, given_past = (r / s for r, s in pairs)
        means = _patch_means(given_others, 2 * PATCH)
        parts = [*_sizes(given_others), *_sizes(given_past)]
        parts += [given_others.mean(dim=2), means.abs().amax(dim=2)]
        if predicted is not None:
            parts.append((predicted - self.target(standardized)) / self.mean_scale)
        return log_magnitude(torch.cat(parts, dim=1))

    def _residuals(self, standardized: Tensor, physical: Tensor) -> list[Tensor]:
        """Residuals given other channels and given the past, (batch, channel, time) each."""
        return [self.channel_regression(standardized, physical), self.autoregression(standardized)]


def _sizes(residual: Tensor) -> list[Tensor]:
    """Root mean square, maximum, and rms of the quietest patch, (batch, channel) each."""
    square = residual.square()
    quietest = _patch_means(square, PATCH).amin(dim=2)
    return [square.mean(dim=2).sqrt(), residual.abs().amax(dim=2), quietest.sqrt()]


def _patch_means(values: Tensor, length: int) -> Tensor:
    """Means of patches that overlap by half, (batch, channel, patch)."""
    length = min(length, values.shape[2])
    return functional.avg_pool1d(values, length, max(1, length // 2))


class ImageFeatures(ModalityFeatures):
    """Features of an image: residuals of its principal components, of a prediction, of neighbours.

    Each residual is divided by its root mean square at each pixel on clean windows, the camera
    being fixed.

    Args:
        modality: The image.
        predicted: Whether other modalities predict the image.
    """

    scale: Tensor

    def __init__(self, modality: Modality, predicted: bool) -> None:
        """Build the unfitted models."""
        super().__init__()
        self.shape = (len(modality.channels), *(modality.size or (1, 1)))
        pixels = torch.Size(self.shape).numel()
        self.projection = Projection(pixels, COMPONENTS)
        streams = 3 if predicted else 2
        self.register_buffer('scale', torch.ones(streams, *self.shape))
        self.grid = (min(GRID, self.shape[1]), min(GRID, self.shape[2]))
        self.count = streams * (2 * self.grid[0] * self.grid[1] + 2 * self.shape[0] + 1)
        self.summary_count = self.target_count = COMPONENTS

    def fit(self, standardized: Tensor, physical: Tensor) -> None:
        """Fit the principal components on clean windows.

        Args:
            standardized: (window, ...), the modality standardized.
            physical: The same signals in physical units.
        """
        some = torch.linspace(0, len(standardized) - 1, min(CENTERS, len(standardized))).long()
        self.projection.fit(standardized[some].float().flatten(1))

    def fit_scale(self, standardized: Tensor, physical: Tensor, predicted: Tensor | None) -> None:
        """Fit the root mean square of the residuals at each pixel.

        Args:
            standardized: (window, ...), the modality standardized.
            physical: The same signals in physical units.
            predicted: (window, target_count) as predicted from the other modalities, if there are
                any.
        """
        total = torch.zeros_like(self.scale)
        for start in range(0, len(standardized), CHUNK):
            rows = slice(start, start + CHUNK)
            given = None if predicted is None else predicted[rows]
            residuals = self._residuals(standardized[rows].float(), given)
            total += torch.stack([r.square().sum(dim=0) for r in residuals])
        rms = (total / len(standardized)).sqrt()
        # A pixel that never changes has the scale of the quietest tenth of the pixels.
        least = rms.flatten(1).quantile(0.1, dim=1).clamp_min(1e-6)
        self.scale.copy_(rms.maximum(least.view(-1, 1, 1, 1)))

    def summary(self, standardized: Tensor, physical: Tensor) -> Tensor:
        """Return the principal components.

        Args:
            standardized: (batch, ...), the modality standardized.
            physical: The same signals in physical units.

        Returns:
            (batch, component).
        """
        return self.target(standardized)

    def target(self, standardized: Tensor) -> Tensor:
        """Return the principal components.

        Args:
            standardized: (batch, channel, height, width), the modality standardized.

        Returns:
            (batch, component).
        """
        centered = standardized.float().flatten(1) - self.projection.mean
        return functional.linear(centered, self.projection.components)

    def forward(self, standardized: Tensor, physical: Tensor, predicted: Tensor | None) -> Tensor:
        """Compute the features.

        Args:
            standardized: (batch, ...), the modality standardized.
            physical: The same signals in physical units.
            predicted: (batch, target_count) as predicted from the other modalities, if there are
                any.

        Returns:
            (batch, count), float32.
        """
        parts = []
        for residual, scale in zip(
            self._residuals(standardized.float(), predicted), self.scale, strict=True
        ):
            scaled = residual / scale
            square = scaled.square()
            cells = functional.adaptive_avg_pool2d(square.mean(dim=1), self.grid).flatten(1)
            parts += [cells.sqrt(), square.mean(dim=(2, 3)).sqrt(), scaled.mean(dim=(2, 3))]
            parts.append(scaled.flatten(1).abs().amax(dim=1, keepdim=True))
            # A geometric mean reveals weak noise, which an arithmetic one hides behind edges.
            logs = log_magnitude(scaled).mean(dim=1)
            parts.append(functional.adaptive_avg_pool2d(logs, self.grid).flatten(1).exp())
        return log_magnitude(torch.cat(parts, dim=1))

    def _residuals(self, image: Tensor, predicted: Tensor | None) -> list[Tensor]:
        """Residuals of neighbours, components and prediction, shaped as the image."""
        around = functional.avg_pool2d(image, 3, 1, 1, count_include_pad=False)
        found = [image - around, image - self.projection(image.flatten(1)).view_as(image)]
        if predicted is not None:
            decoded = predicted @ self.projection.components + self.projection.mean
            found.append(image - decoded.view_as(image))
        return found
