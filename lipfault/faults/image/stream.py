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
        x' = the frame ⌈a F⌉ frames ago, F the frames of history, for a F < 1 on the last share a F
        of the pixels; in a schedule the frame of the onset, below strength 1 on the last pixels

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

    def _mask(self, site: ImageSite) -> Tensor:
        if site.anchor is not None:  # the age is the time since the onset, whatever the history
            return site.last_pixels(site.level(self.levels) / self.levels[0])
        # Below one frame the buffer was updated in part.
        return site.last_pixels(site.level(self.levels) * (len(site.past) + site.ago))


class _LostRows(ImageFault):
    """Replace the last pixels, which were not transferred, by one value.

    Levels:
        a, share of the pixels, at least one
    """

    group = 'stream'
    levels = (0.01, 0.05, 0.2, 0.5, 1.0)
    _value: float

    def _faulty(self, site: ImageSite) -> Tensor:
        return torch.full_like(site.signal, self._value)

    def _mask(self, site: ImageSite) -> Tensor:
        return site.last_pixels(site.level(self.levels))


class Blackout(_LostRows):
    """Set the lower part of the frame to black, all of it at strength 5.

    Formula:
        x' = 0 on the last share a of the pixels

    Cause:
        transfer broken off, cable pulled, power lost
    """

    name = 'blackout'
    _value = 0.0


class MissingFrame(_LostRows):
    """Mark the lower part of the frame as missing (NaN), all of it at strength 5.

    Formula:
        x' = NaN on the last share a of the pixels

    Cause:
        frame dropped, and the driver says so; below strength 5 a part of it
    """

    name = 'missing_frame'
    missing = True
    _value = torch.nan


class Tear(ImageFault):
    """Shift a band of the frame sideways; there it is the previous frame, if one is given.

    Formula:
        x'(r, c) = y(r, c − d) on a share a of the pixels, y the previous frame, cyclic in c,
        d from 3 to 30 % of the width

    Cause:
        rolling tear: lost line synchronization

    Levels:
        a, share of the pixels, at least one
    """

    name, group = 'tear', 'stream'
    levels = (0.01, 0.04, 0.15, 0.4, 1.0)

    def reach(self, severity: int, rate_hz: float) -> int:
        """Return 1, for the previous frame, see `Fault.reach`."""
        return 1

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Return the shifted frames and the band.

        Args:
            site: The affected frames, and the previous ones if there is a history.

        Returns:
            Frames (n, C, H, W) float32; mask (n, 1, H, W) bool, consecutive pixels in the order of
            transfer.
        """
        share = 0.03 + 0.27 * site.draws.uniform('shift')
        shift = (share * site.width).round().long().clamp_min(1) * site.draws.sign('side').long()
        column = (site.column.long() - shift[:, None, None]) % site.width
        number = site.row.long() * site.width + column
        torn = pixels_at(earlier(site, torch.ones_like(shift)), number)
        size = site.height * site.width
        count = (site.level(self.levels) * size).ceil().clamp(1, size)
        # Of the frame's draws: the band rolls from frame to frame.
        first = (site.frame.uniform('line')[:, None, None, None] * (size - count)).floor()
        place = site.row * site.width + site.column
        return torn, (place >= first) & (place < first + count)
