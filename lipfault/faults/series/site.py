"""Windows of a time series on which a fault acts, and the base class of the faults of series."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lipfault.faults.device import both
from lipfault.faults.draws import Draws
from lipfault.faults.fault import Fault, Site


@dataclass(frozen=True)
class SeriesSite(Site):
    """Windows of one series on which one kind of fault acts: `n` samples, `C` channels, `T` steps.

    Steps are counted from the start of the window; a negative step is in the past.

    Args:
        past: (n, C, steps) float32, samples directly before the window; may hold zero steps.
        channels: (n, C) bool, the affected channels.
        start: (n,) int64, first faulty step.
        stop: (n,) int64, the step after the last faulty one.
        horizon: (n,) int64, steps from `start` in which a slow fault develops fully, at least 1.
        clock: (n,) int64, the recording's step at which the window starts. Draws that vary in time
            are tied to it, so that overlapping windows agree.
        anchor: (n, C) the readings at `start`, if they are stored; `None` to take them from the
            window and its past.
    """

    past: Tensor
    channels: Tensor
    start: Tensor
    stop: Tensor
    horizon: Tensor
    clock: Tensor
    anchor: Tensor | None = None

    _same_for_all = ('time',)

    @cached_property
    def time(self) -> Tensor:
        """Return (1, T) int64, the steps of the window."""
        return torch.arange(self.signal.shape[-1], device=self.signal.device)[None]

    @cached_property
    def age(self) -> Tensor:
        """Return (n, 1, T) int64, steps since the onset, negative before it."""
        return (self.time - self.start[:, None])[:, None]

    @cached_property
    def mask(self) -> Tensor:
        """Return (n, C, T) bool, the affected channels and steps."""
        active = (self.age >= 0) & (self.time < self.stop[:, None])[:, None]
        return both(self.channels[:, :, None], active)

    @cached_property
    def progress(self) -> Tensor:
        """Return (n, 1, T) float32, elapsed share of the horizon, from above 0 to 1."""
        return ((self.age + 1) / self.horizon[:, None, None]).clamp(0, 1)

    @cached_property
    def channel(self) -> Tensor:
        """Return (C, 1) int64, the channel numbers."""
        return torch.arange(self.signal.shape[1], device=self.signal.device)[:, None]

    @cached_property
    def instant(self) -> Tensor:
        """Return (n, 1, T) int64, the steps counted from the start of the recording."""
        return (self.clock[:, None] + self.time)[:, None]

    @cached_property
    def counter(self) -> Tensor:
        """Return (n, C, T) int64, a different number for each channel and step of the recording."""
        return self.instant * self.signal.shape[1] + self.channel

    @property
    def dither(self) -> Tensor:
        """Return (n, C, T) float32 in [-1/2, 1/2), the same for the same step of the recording."""
        return self.draws.uniform_at('dither', self.counter).sub_(0.5)

    def dither_of(self, sample: Tensor, channel: Tensor) -> Tensor:
        """Return the rows of `dither` of some channels.

        Args:
            sample: (k,) int64, sample of each row.
            channel: (k,) int64, channel of each row.

        Returns:
            (k, T) float32 in [-1/2, 1/2).
        """
        instant = self.clock[sample][:, None] + self.time
        counter = instant * self.signal.shape[1] + channel[:, None]
        return Draws(self.draws.keys[sample]).uniform_at('dither', counter).sub_(0.5)

    @cached_property
    def extended(self) -> Tensor:
        """Return (n, C, steps + T), the past and the window concatenated."""
        return torch.cat([self.past, self.signal], dim=-1)

    @cached_property
    def extended_time(self) -> Tensor:
        """Return (steps + T,) int64, the steps of the past and the window."""
        return torch.arange(-self.past.shape[-1], self.signal.shape[-1], device=self.signal.device)

    @cached_property
    def onset_value(self) -> Tensor:
        """Return (n, C, 1), the readings at the onset, or the oldest ones given."""
        if self.anchor is not None:
            return self.anchor[:, :, None]
        return self.at(self.start[:, None, None])

    def at(self, step: Tensor) -> Tensor:
        """Gather readings, holding the oldest one given before it and the newest one after it.

        Args:
            step: (1 or n, 1 or C, steps) int64, counted from the start of the window.

        Returns:
            (n, C, steps) readings.
        """
        index = (step + self.past.shape[-1]).clamp(0, self.extended.shape[-1] - 1)
        return self.extended.gather(-1, index.expand(*self.extended.shape[:2], -1))

    def between(self, step: Tensor) -> Tensor:
        """Interpolate readings linearly at fractional steps, holding the ends as `at` does.

        Args:
            step: (n, 1 or C, steps) float64, counted from the start of the window; float32 would
                round it to other shares in other windows.

        Returns:
            (n, C, steps) readings.
        """
        whole = step.floor()
        before, after = self.at(whole.long()), self.at(whole.long() + 1)
        return before + (after - before) * (step - whole).float()

    def amplitude(self, multiples: Sequence[float]) -> Tensor:
        """Return a multiple of each channel's noise, at most its range.

        Args:
            multiples: Anchors, multiples of the standard deviation of the noise.

        Returns:
            (n, C, 1) float32 in the channels' units.
        """
        wanted = self.level(multiples) * self.sensor.noise[:, None]
        return wanted.minimum(self.sensor.span[:, None])

    def sign(self, name: str) -> Tensor:
        """Draw a sign for each channel, or return the site's if it is set.

        Args:
            name: Name of the stream.

        Returns:
            (n, C, 1) float32, -1 or 1.
        """
        drawn = self.draws.sign(name, (self.signal.shape[1], 1))
        return drawn if not self.side else torch.full_like(drawn, self.side)

    def lost(self, shares: Sequence[float], age: Tensor | None = None) -> Tensor:
        """Draw an intermittent contact: blocks of 2 to 10 % of the horizon, each lost or not.

        Args:
            shares: Anchors of the share of the time lost. The first block is always lost.
            age: (n, 1, steps) int64 steps since the onset; those of the window if not given.

        Returns:
            (n, 1, steps) bool, true where the contact is lost; false before the onset.
        """
        return self.lost_blocks(self.level(shares)[:, 0, 0], age)

    def lost_blocks(self, share: Tensor, age: Tensor | None = None) -> Tensor:
        """Draw an intermittent contact, see `lost`.

        Args:
            share: (n,) float32, share of the time lost.
            age: (n, 1, steps) int64 steps since the onset; those of the window if not given.

        Returns:
            (n, 1, steps) bool, true where the contact is lost; false before the onset.
        """
        age = self.age if age is None else age
        length = (self.horizon * (0.02 + 0.08 * self.draws.uniform('block'))).long().clamp_min(1)
        block = age.div(length[:, None, None], rounding_mode='floor')
        # One draw for all channels: they share a plug.
        lost = self.draws.uniform_at('lost', block) < share[:, None, None]
        return (lost | (block == 0)) & (age >= 0)


class SeriesFault(Fault[SeriesSite]):
    """A fault of a time series."""

    family = 'series'
