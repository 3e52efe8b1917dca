"""Correction of a series: fault sizes by a network, the clean window by its posterior mean."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipfault.models.blocks.posterior.evidence import evidence
from lipfault.models.blocks.posterior.posterior_mean import posterior_mean
from lipfault.models.blocks.posterior.size_net import SizeNet
from lipfault.models.layers.running_scale import symlog
from lipfault.models.relations.window_gaussian import Factor, WindowGaussian

NOTHING, LOST = -4.0, 24.0
"""Logarithmic fault variance, in units of the noise variance, of a channel without a fault and of a
missing value: e^-4 is a seventh of the noise, e^24 is 160 000 times the noise."""

_RANGE = (-10.0, LOST)
_STATISTICS = 15


@dataclass(frozen=True)
class SeriesEstimate:
    """Corrected series and sizes of its fault; C channels, K chunks.

    Args:
        signal: (batch, C, time), standardized.
        log_size: (batch, C, K), logarithm of the fault variance in units of the noise variance.
    """

    signal: Tensor
    log_size: Tensor


class SeriesCorrector(nn.Module):
    """Estimates fault sizes in rounds, each from the evidence at the sizes of the round before.

    The sizes start from the fault map: where it marks a chunk, at the whole deviation from the mean
    window, so that the evidence of the other channels does not rest on it. From sizes of nothing
    everywhere, gross faults of many channels are attributed to the sound ones.

    Args:
        gaussian: Clean model of stage 1; used, not registered.
        noise: (channel,) standard deviation of the sensor noise, standardized.
        rounds: Number of rounds; the first has a network of its own, the others share one.
    """

    noise: Tensor

    def __init__(self, gaussian: WindowGaussian, noise: Tensor, rounds: int) -> None:
        """Build the networks."""
        super().__init__()
        self._gaussian = (gaussian,)  # in a tuple, since nn.Module would register it
        self.rounds = rounds
        self.register_buffer('noise', noise.clone())
        self.first = SizeNet(gaussian.channels, _STATISTICS)
        self.later = SizeNet(gaussian.channels, _STATISTICS)

    @property
    def gaussian(self) -> WindowGaussian:
        """The clean model of stage 1."""
        return self._gaussian[0]

    def forward(
        self, signal: Tensor, map_logits: Tensor, missing: Tensor | None = None
    ) -> list[SeriesEstimate]:
        """Estimate fault sizes and the clean series.

        In training gradients reach the networks of each round through its own estimate only.

        Args:
            signal: (batch, channel, time), standardized.
            map_logits: (batch, channel, time), logits of the fault map.
            missing: (batch, channel, time) bool, where no value arrived.

        Returns:
            The estimate of each round, the last one the best.
        """
        gaussian, found = self.gaussian, []
        lost = None if missing is None else gaussian.chunked(missing).any(dim=3)
        fixed = self._fixed_statistics(signal, map_logits)
        log_size = _with_lost(self._start(signal, map_logits), lost)
        corrected, residual, low_rank, factor = posterior_mean(
            gaussian, signal, self._variance(log_size), self.training
        )
        for number in range(self.rounds):
            net = self.later if number else self.first
            with self._detached():
                state = (log_size, factor, residual, low_rank, corrected)
                statistics = torch.stack([*fixed, *self._statistics(signal, *state)], dim=-1)
            log_size = (log_size.detach() + net(statistics)).clamp(*_RANGE)
            log_size = _with_lost(log_size, lost)
            corrected, residual, low_rank, factor = posterior_mean(
                gaussian, signal, self._variance(log_size), self.training
            )
            found.append(SeriesEstimate(corrected, log_size))
        return found

    def _detached(self) -> torch.set_grad_enabled:
        """Gradients off in training, as the caller has them in evaluation."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and not self.training)

    def _variance(self, log_size: Tensor) -> Tensor:
        return self.noise.square()[:, None] * log_size.exp()

    def _start(self, signal: Tensor, map_logits: Tensor) -> Tensor:
        """Sizes from the fault map, (batch, channel, chunk)."""
        gaussian = self.gaussian
        with self._detached():
            marked = gaussian.chunked(map_logits.float()).mean(dim=3).sigmoid()
            deviation = gaussian.chunked(gaussian.deviation(signal)).square().mean(dim=3)
            largest = (deviation / self.noise.square()[:, None] + 1).log().clamp_max(LOST)
            return NOTHING + marked * (largest - NOTHING)

    def _fixed_statistics(self, signal: Tensor, map_logits: Tensor) -> list[Tensor]:
        """Statistics that no round changes: curvature in units of its noise, and fault map."""
        with self._detached():
            curve = signal[..., 2:] - 2 * signal[..., 1:-1] + signal[..., :-2]
            # The noise of x(t+1) - 2 x(t) + x(t-1) is the root of 6 times that of x.
            curve = functional.pad(curve, (1, 1)) / (6**0.5 * self.noise[:, None])
            chunked = self.gaussian.chunked(curve)
            # Beyond 16 a logit is certain; divided by 5 to the range of the other statistics.
            logits = self.gaussian.chunked(map_logits.float().clamp(-16, 16)) / 5
            curvature = [_log_mean_square(chunked), symlog(chunked.mean(dim=3))]
            return [*curvature, logits.mean(dim=3), logits.amax(dim=3)]

    def _statistics(
        self,
        signal: Tensor,
        log_size: Tensor,
        factor: Factor,
        residual: Tensor,
        low_rank: Tensor,
        corrected: Tensor,
    ) -> list[Tensor]:
        """Statistics at the current sizes, (batch, channel, chunk) each."""
        gaussian, noise = self.gaussian, self.noise[:, None]
        tests = evidence(gaussian, factor, residual)
        chi = tests.chi_square.clamp_min(1e-3).log()[:, :, None].expand_as(log_size) / 2
        whole = tests.ratio.mean(dim=2, keepdim=True).add(1e-3).log().expand_as(log_size) / 2
        rest = gaussian.chunked(gaussian.deviation(signal) - low_rank)
        rest = rest / gaussian.residual.sqrt()[:, None, None]
        change = gaussian.chunked(signal - corrected).square().mean(dim=3) / noise.square()
        return [
            chi,
            chi - chi.amax(dim=1, keepdim=True),
            whole,
            whole - whole.amax(dim=1, keepdim=True),
            tests.ratio.add(1e-3).log() / 2,
            symlog(tests.score),
            symlog(tests.offset * tests.precision.sqrt()),
            (tests.offset / noise).square().add(1e-2).log() / 2,
            _log_mean_square(rest),
            log_size / 5,
            change.add(1e-3).log() / 2,
        ]


def _log_mean_square(chunked: Tensor) -> Tensor:
    """Half the logarithm of the mean square over each chunk."""
    return chunked.square().mean(dim=3).add(1e-3).log() / 2


def _with_lost(log_size: Tensor, lost: Tensor | None) -> Tensor:
    """Sizes with those of missing values at `LOST`."""
    return log_size if lost is None else log_size.masked_fill(lost, LOST)
