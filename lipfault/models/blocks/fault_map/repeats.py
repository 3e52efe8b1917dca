"""Repeated values, mean and spread of a short series: evidence that its residuals do not give."""

import torch
from torch import Tensor, nn

from lipfault.models.layers.running_scale import RunningScale

LONG_WINDOW = 64
"""Samples of a window from which the residuals of neighbouring samples are enough: shorter windows
leave these residuals few samples, since they are zero within their reach of either end."""

SIZE = 5
"""Features of `RepeatedValues`."""

CLEAN, WEIGHT = 6.0, 3.0
"""Standard score that clean windows do not reach, and weight in the logit of what is above it: at
half a window of repeated values the sum is beyond the scores of any clean window."""

LEAST_SPREAD = 1e-3
"""Least standard deviation before a logarithm, standardized."""

_SHARPNESS = 3.0
"""A change by one step of the sensor counts exp(-3), 5 % of a repeated value."""


class RepeatedValues(nn.Module):
    """Share of repeated samples, mean and spread of each channel, compared with clean windows.

    A sample counts exp(-3 d) with d its change from the sample before, in steps of the sensor: 1 if
    it is repeated bit by bit, next to nothing in a live sensor. Some sensors repeat values when
    they are in order, such as coarsely quantized ones: the share is compared with its mean and
    standard deviation over clean windows.

    Args:
        step: (channel,) step of the values of each channel, standardized.
    """

    step: Tensor

    def __init__(self, step: Tensor) -> None:
        """Build the running scale."""
        super().__init__()
        self.register_buffer('step', step.clone())
        self.scale = RunningScale(3 * len(step), center=True)

    def share(self, series: Tensor) -> Tensor:
        """Compute the share of repeated samples.

        Args:
            series: (batch, channel, time), standardized.

        Returns:
            (batch, channel) in [0, 1], float32; 0 for a single sample.
        """
        if series.shape[2] < 2:
            return torch.zeros(series.shape[:2], device=series.device)
        change = series.float().diff(dim=2).abs() / self.step[:, None]
        return (-_SHARPNESS * change).exp().mean(dim=2)

    def forward(self, series: Tensor, is_clean: Tensor | None = None) -> Tensor:
        """Compute the evidence of repeated values.

        Args:
            series: (batch, channel, time), standardized.
            is_clean: (batch,) bool, given in training: these samples set the scale.

        Returns:
            (batch, 5): largest and mean standard score of the shares of the channels, their largest
            share, and the largest magnitude of a standard score of mean and of logarithmic spread.
        """
        share, series = self.share(series), series.float()
        spread = series.var(dim=2, correction=0).add(LEAST_SPREAD**2).log() / 2
        statistics = torch.cat([share, series.mean(dim=2), spread], dim=1)
        if is_clean is not None:
            self.scale.update(statistics, is_clean)
        repeats, mean, log_spread = self.scale(statistics).chunk(3, dim=1)
        features = [
            repeats.amax(dim=1),
            repeats.mean(dim=1),
            share.amax(dim=1),
            mean.abs().amax(dim=1),
            log_spread.abs().amax(dim=1),
        ]
        return torch.stack(features, dim=1)

    @staticmethod
    def logit(features: Tensor) -> Tensor:
        """Return what is added to the logit of the classifier.

        Each kind of fault is rare in a training of a few hundred windows: the largest standard
        score of repeated values or of a mean, where it is far beyond clean windows, counts without
        training.

        Args:
            features: Output of `forward`, (batch, 5).

        Returns:
            (batch, 1), 0 up to a standard score of `CLEAN`.
        """
        largest = torch.maximum(features[:, :1], features[:, 3:4])
        return WEIGHT * (largest - CLEAN).clamp_min(0)
