"""Faults of the time of a reading: delay, jitter, repeated samples, skew, low-pass, aliasing.

None reads a sample older than the one delivered at the onset, and the instants that are read never
decrease: a stream does not run backwards.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lipfault.faults.series.site import SeriesFault, SeriesSite

_BUFFER_S = 0.5
"""Longest lag of a stream that falls behind: its buffer is full then."""


class _Timing(SeriesFault):
    """Read the signal of earlier steps."""

    group = 'timing'
    levels = (0.05, 0.1, 0.2, 0.4, 0.8)
    needs_history = True


class Delay(_Timing):
    """Delay the reading by a constant time; it holds until the delayed signal catches up.

    Formula:
        x'(t) = x(max(t − d, t₀)), linear between samples

    Cause:
        congested bus, overloaded driver

    Levels:
        d in seconds
    """

    name = 'delay'

    def _faulty(self, site: SeriesSite) -> Tensor:
        return _since_onset(site, site.time[:, None] - _steps(site, self.levels))


class Jitter(_Timing):
    """Delay each reading by a random time, the same for all channels, without overtaking.

    Formula:
        x'(t) = x(max(s − J v_s, t₀ over all s ≤ t)), v_s ~ U(0, 1), linear between samples

    Cause:
        unsteady sampling clock, time stamps of arrival

    Levels:
        J in seconds
    """

    name = 'jitter'

    def _faulty(self, site: SeriesSite) -> Tensor:
        # Steps more than J ago do not matter: the latest one is read at t − J or later.
        reach = 1 + math.ceil(max(self.levels) * site.sensor.rate_hz)
        time = torch.arange(-reach, site.signal.shape[-1], device=site.signal.device)
        chance = site.draws.uniform_at('late', (site.clock[:, None] + time)[:, None])
        read = (time - _steps(site, self.levels) * chance).cummax(-1).values[..., reach:]
        return _since_onset(site, read)


class Duplication(_Timing):
    """Deliver a share of the samples twice, so that the stream lags more and more.

    Formula:
        x'(t) = x(t − min(⌊τ a/(1 + a)⌋, B)), B = 0.5 s the buffer that fills

    Cause:
        retransmission without removal of duplicates, a reader faster than the sensor

    Levels:
        a, share of the samples delivered twice
    """

    name = 'duplication'
    levels = (0.02, 0.05, 0.1, 0.2, 0.5)

    def _faulty(self, site: SeriesSite) -> Tensor:
        share = site.level(self.levels).double()
        # In float64, since the age may be large; the addend outweighs the rounding of the share.
        lag = (site.age * (share / (1 + share)) + 1e-4).floor().clamp(0, _buffer(site)).long()
        return _since_onset(site, site.time[:, None] - lag)


class ClockSkew(_Timing):
    """Run the sensor's clock too slowly, so that its readings are older and older.

    Formula:
        x'(t) = x(t − min(ε τ, B)), linear between samples, B = 0.5 s the buffer that fills

    Cause:
        free-running clock of a sensor, missing synchronization

    Levels:
        ε, relative error of the clock
    """

    name = 'clock_skew'
    levels = (0.005, 0.015, 0.04, 0.12, 0.35)

    def _faulty(self, site: SeriesSite) -> Tensor:
        lag = (site.level(self.levels).double() * site.age).clamp(0, _buffer(site))
        return _since_onset(site, site.time[:, None] - lag)


class LowPass(_Timing):
    """Filter the reading by a first-order low-pass from the onset on.

    Formula:
        x'ₜ = x'ₜ₋₁ + (1 − exp(−1/(τ f))) (xₜ − x'ₜ₋₁), x' = x at the onset, f the rate

    Cause:
        fouled probe, heavy filter switched on, cold grease

    Levels:
        τ, time constant in seconds
    """

    name = 'low_pass'

    def _faulty(self, site: SeriesSite) -> Tensor:
        # Of an onset before the history, the oldest reading given: what is older is forgotten.
        first = site.at(site.start[:, None, None])
        before = site.extended_time < site.start[:, None, None]
        rise = torch.where(before, 0, site.extended - first)
        keep = torch.exp(-1 / _steps(site, self.levels)).float()
        lagged = first + _first_order(rise * (1 - keep), keep)
        return lagged[..., site.past.shape[-1] :]


class Aliasing(_Timing):
    """Sample too rarely without a filter, and interpolate, one period late.

    In the first period the reading holds.

    Formula:
        x'(t₀ + k p + r) = x(t₀ + (k − 1) p) (1 − r/p) + x(t₀ + k p) r/p, x(t₀) in the first period

    Cause:
        reduced sampling rate without an anti-aliasing filter

    Levels:
        p in seconds; below two steps (p < 2/f, f the rate) the share p f/2 of the reading at
        p = 2/f
    """

    name = 'aliasing'
    levels = (0.1, 0.2, 0.3, 0.5, 0.8)

    def _faulty(self, site: SeriesSite) -> Tensor:
        steps = site.level(self.levels) * site.sensor.rate_hz
        # With a period of one step, nothing would be left out.
        period = steps.round().long().clamp_min(2)
        phase = (site.age % period).float() / period
        newest = site.time[:, None] - site.age % period
        before, after = _since_onset(site, newest - period), _since_onset(site, newest)
        reading = before + (after - before) * phase
        return torch.lerp(site.signal, reading, (steps / 2).clamp_max(1))


def _since_onset(site: SeriesSite, step: Tensor) -> Tensor:
    """Gather readings at whole or fractional steps, the one at the onset for all steps before it.

    Args:
        site: The affected windows.
        step: (n, 1, steps) int64, or float64 to interpolate linearly between samples.

    Returns:
        (n, C, steps) float32.
    """
    start = site.start[:, None, None]
    read = site.between if step.is_floating_point() else site.at
    return torch.where(step > start, read(step.maximum(start)).float(), site.onset_value)


def _steps(site: SeriesSite, levels: Sequence[float]) -> Tensor:
    """Return (n, 1, 1) float64, levels in seconds as a number of steps."""
    return site.level(levels).double() * site.sensor.rate_hz


def _buffer(site: SeriesSite) -> int:
    """Return the largest lag in steps."""
    return max(1, round(_BUFFER_S * site.sensor.rate_hz))


def _first_order(drive: Tensor, keep: Tensor) -> Tensor:
    """Solve yₜ = keep yₜ₋₁ + driveₜ from y = 0 by recursive doubling, in log₂ T passes.

    Args:
        drive: (n, C, T) float32.
        keep: (n, 1, 1) float32 in [0, 1).

    Returns:
        (n, C, T) float32.

    Reference:
        Kogge & Stone 1973, A parallel algorithm for the efficient solution of a general class of
        recurrence equations, https://doi.org/10.1109/TC.1973.5009159
    """
    reach = 1
    while reach < drive.shape[-1]:
        earlier = torch.nn.functional.pad(drive[..., :-reach], (reach, 0))
        drive = drive + keep * earlier
        keep, reach = keep * keep, 2 * reach
    return drive
