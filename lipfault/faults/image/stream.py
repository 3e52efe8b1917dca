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
    """Change the last pixels, which were not transferred.

    Levels:
        a, share of the pixels, at least one
    """

    group = 'stream'
    levels = (0.01, 0.05, 0.2, 0.5, 1.0)

    def _mask(self, site: ImageSite) -> Tensor:
        return site.last_pixels(site.level(self.levels))


class Blackout(_LostRows):
    """Set the lower part of the frame to black, all of it at strength 5.

    Formula:
        x' = 0 on the last share a of the pixels, darker by the fraction on the first of them

    Cause:
        transfer broken off, cable pulled, power lost
    """

    name = 'blackout'

    def _faulty(self, site: ImageSite) -> Tensor:
        size = site.height * site.width
        left = size - site.row * site.width - site.column  # 1 for the last pixel
        dark = (site.level(self.levels) * size - left + 1).clamp(0, 1)
        return site.signal * (1 - dark)


class MissingFrame(_LostRows):
    """Mark the lower part of the frame as missing (NaN), all of it at strength 5.

    Formula:
        x' = NaN on the last share a of the pixels

    Cause:
        frame dropped, and the driver says so; below strength 5 a part of it
    """

    name = 'missing_frame'
    missing = True

    def _faulty(self, site: ImageSite) -> Tensor:
        return torch.full_like(site.signal, torch.nan)


class Tear(ImageFault):
    """Shift the frame sideways below a line.

    Formula:
        x'(r, c) = x(r, c − d) for r ≥ r₀, cyclic in c, linear between pixels, r₀ ~ U(0, 2/3) H

    Cause:
        rolling tear: lost line synchronization

    Levels:
        d, share of the width
    """

    name, group = 'tear', 'stream'
    levels = (0.002, 0.01, 0.04, 0.12, 0.4)

    def reach(self, severity: int, rate_hz: float) -> int:
        """Return 1, for the previous frame, see `Fault.reach`."""
        return 1

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Return the shifted frames and the rows below the line.

        Args:
            site: The affected frames.

        Returns:
            Frames (n, C, H, W) float32; mask (n, 1, H, W) bool, constant over each row.
        """
        shift = site.level(self.levels)[:, 0] * site.width  # (n, 1, 1)
        column = site.column - shift * site.draws.sign('side')[:, None, None]
        left = column.floor()
        pixels = [
            pixels_at(site.signal, site.row.long() * site.width + (left.long() + one) % site.width)
            for one in (0, 1)
        ]
        torn = torch.lerp(pixels[0], pixels[1], (column - left)[:, None])
        # Of the frame's draws: the line rolls from frame to frame.
        line = (site.frame.uniform('line') * (2 / 3 * site.height))[:, None, None, None]
        return torn, (site.row >= line).expand_as(site.everywhere)
