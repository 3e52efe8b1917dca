"""Faults of encoders and converters: lost counts, missed index, wrapped register, stuck bit."""

from typing import ClassVar

import torch
from torch import Tensor

from lipfault.faults.device import both
from lipfault.faults.series.site import SeriesFault, SeriesSite


class LostCounts(SeriesFault):
    """Lose counts at every mark that the motion passes; at rest nothing changes.

    The marks lie at random places, one in each of 256 equal parts of the range. A pass in the other
    direction loses counts of the other sign, so that the error depends on the readings now and at
    the onset alone.

    Formula:
        x' = x − a P (m(x) − m(x(t₀))), m(x) the marks below x, P = R/256 their mean distance

    Cause:
        scratched or dirty code disc, slipping coupling, edges faster than the counter

    Levels:
        a, share of the counts lost
    """

    name, group = 'lost_counts', 'encoder'
    levels = (0.005, 0.02, 0.06, 0.2, 0.6)
    needs_history = True
    _marks: ClassVar[int] = 256

    def _faulty(self, site: SeriesSite) -> Tensor:
        passed = self._below(site, site.signal) - self._below(site, site.onset_value)
        pitch = site.sensor.span[:, None] / self._marks
        return site.signal - site.level(self.levels) * pitch * passed

    def _below(self, site: SeriesSite, reading: Tensor) -> Tensor:
        """Return the number of marks below (n, C, steps) readings, of the same shape."""
        place = (reading - site.sensor.low[:, None]) / site.sensor.span[:, None] * self._marks
        part = place.floor()
        # A draw for each part of each channel's range: the place of its mark.
        mark = site.draws.uniform_at('mark', part.long() * len(site.channel) + site.channel)
        return part + (place - part > mark)


class MissedIndex(SeriesFault):
    """Add a constant offset of whole counts.

    Formula:
        x' = x ± q max(round(k), 1), q the sensor's quantum

    Cause:
        index pulse missed or counted twice, homing against the wrong mark

    Levels:
        k, counts
    """

    name, group = 'index_error', 'encoder'
    levels = (2, 10, 50, 250, 2000)

    def _faulty(self, site: SeriesSite) -> Tensor:
        counts = site.level(self.levels).round().clamp_min(1)
        return site.signal + site.sign('sign') * counts * site.sensor.quantum[:, None].float()


class Wrap(SeriesFault):
    """Wrap the reading into a quarter of its range, for part of the time below the last level.

    The kind is gross at any level and keeps its levels: a reading is off by whole quarters of the
    range or right, and what lies between no register delivers.

    Formula:
        x' = s + ((x − s) mod R/4) in blocks of time, s the seam, s < z ≤ s + R/4

    Cause:
        turn counter lost, overflow of a register with too few bits

    Levels:
        share of the time wrapped, in blocks of 2 to 10 % of the horizon
    """

    name, group, gross = 'wrap', 'encoder', True
    levels = (0.1, 0.25, 0.5, 0.75, 1.0)

    def _faulty(self, site: SeriesSite) -> Tensor:
        turn = site.sensor.span[:, None] / 4
        seam = site.sensor.rest[:, None] - turn * self._place(site)
        return seam + (site.signal - seam) % turn

    def _mask(self, site: SeriesSite) -> Tensor:
        return both(site.mask, site.lost(self.levels))

    @staticmethod
    def _place(site: SeriesSite) -> Tensor:
        """Return (n, C, 1) the distance from the seam to the resting value, in turns."""
        return site.draws.uniform('seam', (len(site.channel), 1))


class StuckBit(SeriesFault):
    """Hold one bit of the converter's integer code at 0 or at 1.

    Formula:
        x' = x + q (c' − c), c = round((x − low)/q), c' = c with bit b set or cleared, q
        the sensor's quantum

    Cause:
        open or shorted data line, failed cell of a register or of a shift chain

    Levels:
        a, weight of the bit as a share of the range; b = max(round(log₂(a R/q)), 0)
    """

    name, group = 'stuck_bit', 'encoder'
    levels = (0.0005, 0.003, 0.02, 0.1, 0.5)

    def _faulty(self, site: SeriesSite) -> Tensor:
        # Of the sensor in float64, so that a code is exact.
        step, low = site.sensor.quantum[:, None], site.sensor.low[:, None].double()
        code = ((site.signal - low) / step).nan_to_num().round().long()
        share = site.level(self.levels).double() * site.sensor.span[:, None]
        bit = 1 << (share / step).log2().round().long().clamp_min(0)  # (n, C, 1)
        changed = torch.where(site.sign('value') > 0, code | bit, code & ~bit)
        return (site.signal + step * (changed - code)).float()
