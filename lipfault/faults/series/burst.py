"""Faults that come in bursts: interference and lost packets."""

import math

import torch
from torch import Tensor

from lipfault.faults.device import both
from lipfault.faults.series.site import SeriesFault, SeriesSite

_MEMORY = 16
"""Mean bursts that a chain looks back: it has not been decided by then with chance exp(−16)."""


class NoiseBurst(SeriesFault):
    """Add strong noise in short bursts, the same ones on all affected channels.

    Formula:
        x' = x + min(k σ, 0.3 R) n in bursts, n ~ N(0, 1), σ the sensor noise; bursts of 50 ms and
        gaps of 250 ms on average, at least 2 steps each, both geometrically distributed

    Cause:
        switching contactors, motor drives and welding arcs beside the cable

    Levels:
        k

    Reference:
        Gilbert 1960, Capacity of a burst-noise channel,
        https://doi.org/10.1002/j.1538-7305.1960.tb03959.x (model of the bursts)
    """

    name, group = 'noise_burst', 'burst'
    levels = (6, 12, 25, 50, 100)
    _burst_s, _gap_s = 0.05, 0.25

    def _faulty(self, site: SeriesSite) -> Tensor:
        scale = site.amplitude(self.levels).minimum(0.3 * site.sensor.span[:, None])
        return site.signal + scale * site.draws.normal_at('noise', site.counter)

    def _mask(self, site: SeriesSite) -> Tensor:
        steps = max(2, round(self._burst_s * site.sensor.rate_hz))
        gap = max(2, round(self._gap_s * site.sensor.rate_hz))
        enter, leave = (
            torch.full_like(site.age[..., :1], 1 / mean, dtype=torch.float32)
            for mean in (gap, steps)
        )
        burst = in_burst(site, enter, leave, steps)
        return both(site.mask, burst[..., -site.signal.shape[-1] :])


class PacketLoss(SeriesFault):
    """Repeat the last packet that arrived; packets are lost in bursts, for all channels alike.

    Formula:
        x'(t) = x(t*), t* ≤ t the last step that arrived; bursts of min(s, 0.1) seconds on
        average, at least one step, geometrically distributed

    Cause:
        radio link or congested network whose driver repeats the last value

    Levels:
        s, share of the packets lost; the one at the onset always is

    Reference:
        Gilbert 1960, Capacity of a burst-noise channel,
        https://doi.org/10.1002/j.1538-7305.1960.tb03959.x (model of the bursts)
    """

    name, group = 'packet_loss', 'dropout'
    levels = (0.05, 0.1, 0.2, 0.4, 0.7)
    needs_history = True
    _burst_s = 0.1

    def reach(self, severity: int, rate_hz: float) -> int:
        """Return 1: the packet at the onset is lost, and the one before is repeated."""
        return 1

    def apply(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Return the last readings that arrived, and the steps whose own reading did not.

        Args:
            site: The affected windows.

        Returns:
            (n, C, T) float32 and (n, C, T) bool.
        """
        share = site.level(self.levels)
        steps = (share.clamp_max(self._burst_s) * site.sensor.rate_hz).clamp_min(1)
        # In the long run a chain is in a burst for enter / (enter + leave) of the time.
        enter = share / ((1 - share) * steps)
        longest = math.ceil(max(self._burst_s * site.sensor.rate_hz, 1))
        lost = in_burst(site, enter, 1 / steps, longest)
        count = lost.shape[-1]
        time = torch.arange(count, device=lost.device) - (count - site.signal.shape[-1])
        last = torch.where(lost, -count, time).cummax(-1).values[..., -site.signal.shape[-1] :]
        return site.at(last), both(site.mask, lost[..., -site.signal.shape[-1] :])


def in_burst(site: SeriesSite, enter: Tensor, leave: Tensor, longest: int) -> Tensor:
    """Draw a chain of two states; a burst begins at the onset.

    Each step draws one number u: below the chance to enter a burst the chain is in one, whatever
    its state was, at or above 1 − the chance to leave it is in none, in between it keeps its state.
    The state is therefore that of the last step that decided, which needs no state of the window
    before, and overlapping windows agree.

    Args:
        site: The affected windows.
        enter: (n, 1, 1) float32, chance at each step to enter a burst; at most 1 − leave counts.
        leave: (n, 1, 1) float32, chance at each step to leave one.
        longest: Largest mean length of a burst in steps, 1 / leave.

    Returns:
        (n, 1, memory + T) bool, true in a burst; the last T steps are those of the window. False
        before the onset.

    Reference:
        Gilbert 1960, Capacity of a burst-noise channel,
        https://doi.org/10.1002/j.1538-7305.1960.tb03959.x
    """
    memory = _MEMORY * longest
    time = torch.arange(-memory, site.signal.shape[-1], device=site.signal.device)
    age = (time - site.start[:, None])[:, None]
    chance = site.draws.uniform_at('burst', (site.clock[:, None] + time)[:, None])
    begins = (age >= 0) & (chance < enter.minimum(1 - leave)) | (age == 0)
    ends = (age < 0) | (chance >= 1 - leave) & (age > 0)
    # The number of the last deciding step, its outcome in the lowest bit.
    number = 2 * torch.arange(len(time), device=time.device) + begins
    latest: Tensor = torch.where(begins | ends, number, 0).cummax(-1).values
    return latest % 2 == 1
