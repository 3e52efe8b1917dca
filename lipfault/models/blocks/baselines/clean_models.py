"""Closed-form models of clean windows: regressions whose residuals reveal faults."""

import torch
from torch import Tensor, nn
from torch.nn import functional

RIDGE = 1e-4
"""Ridge of the linear regressions, relative to the mean square of an input."""

KERNEL_RIDGE = 1.0
"""Ridge of the kernel regression; its residuals on fitted windows are 10 % below new ones."""

SHIFT = 4
"""Time steps between a sample and the earlier and later ones that predict another channel."""

SAMPLES = 20_000
"""Time steps, evenly spread, on which a channel regression is fitted."""


def with_angles(standardized: Tensor, physical: Tensor, angles: Tensor) -> Tensor:
    """Append sine and cosine of the channels that are angles.

    Args:
        standardized: (batch, channel, time).
        physical: The same signals in physical units.
        angles: (channel,) bool, the channels whose unit is `rad`.

    Returns:
        (batch, channel + 2 x angle, time), float32.
    """
    turned = physical[:, angles].float()
    return torch.cat([standardized.float(), turned.sin(), turned.cos()], dim=1)


class Autoregression(nn.Module):
    """Residual of each sample given the samples of its channel before it, by linear regression.

    Args:
        channels: Channels of the series.
        order: Samples from which the next one is predicted.
    """

    weight: Tensor

    def __init__(self, channels: int, order: int) -> None:
        """Start with the prediction zero."""
        super().__init__()
        self.order = order
        self.register_buffer('weight', torch.zeros(channels, order, dtype=torch.float64))

    @torch.no_grad()
    def fit(self, series: Tensor) -> None:
        """Fit the weights on clean windows.

        Args:
            series: (window, channel, time), longer than the order.
        """
        taps = self.order + 1
        for channel in range(series.shape[1]):
            lagged = series[:, channel].double().unfold(1, taps, 1).reshape(-1, taps)
            self.weight[channel] = _ridge(lagged[:, :-1], lagged[:, -1:], RIDGE * 1e-4)[:, 0]

    def forward(self, series: Tensor) -> Tensor:
        """Compute the residuals.

        Args:
            series: (batch, channel, time).

        Returns:
            (batch, channel, time - order), float32.
        """
        predicted = functional.conv1d(
            series[..., :-1].double(), self.weight[:, None], groups=len(self.weight)
        )
        return (series[..., self.order :].double() - predicted).float()


class ChannelRegression(nn.Module):
    """Residual of each channel given all other channels at the same time, by ridge regression.

    Inputs are the other channels, sine and cosine of angles, all products of two of them, and the
    other channels `SHIFT` time steps before and after, which hold derivatives. No input contains
    the channel that is predicted.

    Args:
        angles: (channel,) bool, the channels whose unit is `rad`.
    """

    angles: Tensor
    first: Tensor
    second: Tensor
    weight: Tensor

    def __init__(self, angles: Tensor) -> None:
        """Start with the prediction zero."""
        super().__init__()
        channels = len(angles)
        inputs = channels + 2 * int(angles.sum())
        first, second = torch.triu_indices(inputs, inputs)
        own = torch.arange(channels)
        self.sources = torch.cat([own, own[angles], own[angles]])
        self.register_buffer('angles', angles, persistent=False)
        self.register_buffer('first', first, persistent=False)
        self.register_buffer('second', second, persistent=False)
        count = 1 + inputs + len(first) + 2 * channels
        self.register_buffer('weight', torch.zeros(count, channels, dtype=torch.float64))

    @torch.no_grad()
    def fit(self, standardized: Tensor, physical: Tensor) -> None:
        """Fit the weights on clean windows.

        Args:
            standardized: (window, channel, time).
            physical: The same signals in physical units.
        """
        stride = max(1, standardized.shape[0] * standardized.shape[2] // SAMPLES)
        # An odd stride meets all positions in the window.
        every = slice(None, None, stride | 1)
        targets = _samples(standardized)[every]
        expanded = self._expanded(standardized, physical, every)
        gram, moment = expanded.T @ expanded, expanded.T @ targets
        self.weight.zero_()
        for channel in range(len(self.angles)):
            kept = self._without(channel)
            chosen = gram[kept][:, kept]
            chosen.diagonal().add_(RIDGE * len(targets))
            self.weight[kept, channel] = torch.linalg.solve(chosen, moment[kept, channel])

    def forward(self, standardized: Tensor, physical: Tensor) -> Tensor:
        """Compute the residuals.

        Args:
            standardized: (batch, channel, time).
            physical: The same signals in physical units.

        Returns:
            (batch, channel, time), float32.
        """
        expanded = self._expanded(standardized, physical)
        predicted = (expanded @ self.weight).view(len(standardized), -1, len(self.angles))
        return (standardized.double() - predicted.transpose(1, 2)).float()

    def _expanded(
        self, standardized: Tensor, physical: Tensor, every: slice = slice(None)
    ) -> Tensor:
        """A constant, the inputs, their products, and shifted channels, (sample, input)."""
        inputs = _samples(with_angles(standardized, physical, self.angles))[every]
        products = inputs[:, self.first] * inputs[:, self.second]
        padded = functional.pad(standardized, (SHIFT, SHIFT), mode='replicate')
        shifted = [
            _samples(x)[every] for x in (padded[..., : -2 * SHIFT], padded[..., 2 * SHIFT :])
        ]
        return torch.cat([torch.ones_like(inputs[:, :1]), inputs, products, *shifted], dim=1)

    def _without(self, channel: int) -> Tensor:
        """Indices of the expanded inputs that do not contain a channel."""
        other = self.sources.to(self.first.device) != channel
        always = torch.ones_like(other[:1])
        shifted = other[: len(self.angles)].repeat(2)
        kept = torch.cat([always, other, other[self.first] & other[self.second], shifted])
        return kept.nonzero()[:, 0]


class KernelRegression(nn.Module):
    """Kernel ridge regression with a Gaussian kernel and relevance weights of the inputs.

    An input is weighted by the norm of its coefficients in a linear ridge regression of the
    targets, so that inputs without influence do not separate similar samples. The squared width of
    the kernel is the median squared distance of fitted samples.

    Args:
        inputs: Number of inputs.
        targets: Number of targets.
        centers: Largest number of samples that are kept as centers.

    Reference:
        Saunders, Gammerman and Vovk 1998, *Ridge Regression Learning Algorithm in Dual Variables*.
    """

    mean: Tensor
    scale: Tensor
    offset: Tensor
    centers: Tensor
    weight: Tensor

    def __init__(self, inputs: int, targets: int, centers: int) -> None:
        """Start with the prediction zero."""
        super().__init__()
        self.register_buffer('mean', torch.zeros(inputs))
        self.register_buffer('scale', torch.ones(inputs))
        self.register_buffer('offset', torch.zeros(targets))
        self.register_buffer('centers', torch.zeros(centers, inputs))
        self.register_buffer('weight', torch.zeros(centers, targets))

    @torch.no_grad()
    def fit(self, inputs: Tensor, targets: Tensor) -> None:
        """Fit relevance weights, kernel width and coefficients.

        Args:
            inputs: (sample, input).
            targets: (sample, target).
        """
        count = min(len(inputs), len(self.centers))
        some = torch.linspace(0, len(inputs) - 1, count, device=inputs.device).long()
        self.mean.copy_(inputs.mean(dim=0))
        self.offset.copy_(targets.mean(dim=0))
        deviation = inputs.std(dim=0).clamp_min(1e-6)
        scaled, aims = (inputs - self.mean) / deviation, targets - self.offset
        relevance = _ridge(scaled.double(), aims.double(), 1e-2).norm(dim=1).float()
        self.scale.copy_(relevance / deviation)
        centers = (inputs[some] - self.mean) * self.scale
        self.scale /= torch.pdist(centers).median().clamp_min(1e-6)
        self.centers.zero_()[:count] = (inputs[some] - self.mean) * self.scale
        kernel = self._kernel(self.centers[:count])[:, :count].double()
        kernel.diagonal().add_(KERNEL_RIDGE)
        self.weight.zero_()[:count] = torch.linalg.solve(kernel, aims[some].double()).float()

    def forward(self, inputs: Tensor) -> Tensor:
        """Predict the targets.

        Args:
            inputs: (batch, input).

        Returns:
            (batch, target), float32.
        """
        scaled = (inputs.float() - self.mean) * self.scale
        return self._kernel(scaled) @ self.weight + self.offset

    def _kernel(self, scaled: Tensor) -> Tensor:
        """(batch, center) values of the kernel."""
        return torch.exp(-torch.cdist(scaled, self.centers).square())


def _samples(series: Tensor) -> Tensor:
    """(batch x time, channel), float64."""
    return series.transpose(1, 2).flatten(0, 1).double()


def _ridge(inputs: Tensor, targets: Tensor, strength: float) -> Tensor:
    """(input, target) weights of a ridge regression, relative to the mean square of the inputs."""
    gram = inputs.T @ inputs
    gram.diagonal().add_(strength * gram.diagonal().mean().clamp_min(1e-12))
    weights: Tensor = torch.linalg.solve(gram, inputs.T @ targets)
    return weights
