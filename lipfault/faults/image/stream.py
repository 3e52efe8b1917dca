"""Faults of the stream of frames: frozen, cut off, torn, missing."""

import torch
from torch import Tensor

from lipfault.faults.image.site import ImageFault, ImageSite, pixels_at


def earlier(site: ImageSite, count: Tensor) -> Tensor:
    """Return an earlier frame.

    Args:
        site: The affected frames.
        count: (n,) int64, number of frames back; 0 or less for the frame itself.

    Returns:
        (n, C, H, W) float32; the frame itself where no earlier one is given.
    """
    if not len(site.past):
        return site.signal
    # (n, 1, 1, 1)
    itself = (count <= 0)[:, None, None, None]
    return torch.where(itself, site.signal, site.past.back(count))


class FrozenFrame(ImageFault):
    """Repeat an earlier frame; without a history nothing changes, and the damage is zero.

    Formula:
        x' = the frame ⌈a F⌉ frames ago, F the frames of history; in a schedule that of the onset

    Cause:
        hung grabber repeats its buffer

    Levels:
        a, age as a share of the history
    """

    name, group = 'frozen_frame', 'stream'
    levels = (0.2, 0.4, 0.6, 0.8, 1.0)
    needs_history = True

    def _faulty(self, site: ImageSite) -> Tensor:
        if site.anchor is not None:
            return site.anchor
        # The previous frame repeats the same one, which is a frame less in its past.
        count = (site.level(self.levels).flatten() * (len(site.past) + site.ago)).ceil().long()
        return earlier(site, count - site.ago)


class _LostRows(ImageFault):
    """Replace the last rows, which were not transferred, by one value.

    Levels:
        a, share of the rows, at least one
    """

    group = 'stream'
    levels = (0.1, 0.25, 0.5, 0.75, 1.0)
    _value: float

    def _faulty(self, site: ImageSite) -> Tensor:
        return torch.full_like(site.signal, self._value)

    def _mask(self, site: ImageSite) -> Tensor:
        return site.last_rows(site.level(self.levels))


class Blackout(_LostRows):
    """Set the lower part of the frame to black, all of it at severity 5.

    Formula:
        x' = 0 on the last share a of the rows

    Cause:
        transfer broken off, cable pulled, power lost
    """

    name = 'blackout'
    _value = 0.0


class MissingFrame(_LostRows):
    """Mark the lower part of the frame as missing (NaN), all of it at severity 5.

    Formula:
        x' = NaN on the last share a of the rows

    Cause:
        frame dropped, and the driver says so; below severity 5 a part of it
    """

    name = 'missing_frame'
    missing = True
    _value = torch.nan


class Tear(ImageFault):
    """Shift the frame sideways below a line; there it is the previous frame, if one is given.

    Formula:
        x'(r, c) = y(r, c − d) for r ≥ r₀, y the previous frame, cyclic in c

    Cause:
        rolling tear: lost line synchronization

    Levels:
        d, share of the width, at least one pixel × severity; r₀ ~ U(0, 1 − severity/6) H
    """

    name, group = 'tear', 'stream'
    levels = (0.03, 0.06, 0.11, 0.18, 0.3)

    def reach(self, severity: int, rate_hz: float) -> int:
        """Return 1, for the previous frame, see `Fault.reach`."""
        return 1

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Return the shifted frames and the rows below the line.

        Args:
            site: The affected frames, and the previous ones if there is a history.

        Returns:
            Frames (n, C, H, W) float32; mask (n, 1, H, W) bool, constant over each row.
        """
        shift = (site.level(self.levels) * site.width).round().flatten()
        shift = shift.maximum(site.severity).long() * site.draws.sign('side').long()
        # At severity 5 the line is in the upper sixth of the frame.
        upper = site.height * (1 - site.severity / 6)
        # Of the frame's draws: the line rolls from frame to frame.
        line = (site.frame.uniform('line') * upper)[:, None, None, None]
        column = (site.column.long() - shift[:, None]) % site.width
        number = site.row.long() * site.width + column[:, None]
        torn = pixels_at(earlier(site, torch.ones_like(shift)), number)
        return torn, (site.row >= line).expand_as(site.everywhere)
