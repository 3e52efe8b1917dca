"""The stream of frames is broken: frozen, cut off, torn, coarsely coded, missing."""

import torch
from torch import Tensor

from lipfault.faults.image.site import ImageFault, ImageSite, pixels_at


def earlier(site: ImageSite, count: Tensor) -> Tensor:
    """(n, C, H, W) the frame `count` frames ago, the frame itself at 0 or where none is known."""
    if not len(site.past):
        return site.signal
    itself = (count <= 0)[:, None, None, None]
    return torch.where(itself, site.signal, site.past.back(count))


class FrozenFrame(ImageFault):
    """An earlier frame comes again; without history nothing changes, and the damage is zero."""

    name = 'frozen_frame'
    group = 'stream'
    formula = (
        "x' = the frame ⌈a F⌉ frames ago, F the frames of history; in a schedule that of the onset"
    )
    reading = 'hung grabber repeats its buffer'
    levels = (0.2, 0.4, 0.6, 0.8, 1.0)
    level_text = 'a, age as a share of the history'

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Show the earlier frame, or the one remembered from the onset."""
        if site.anchor is not None:
            return site.anchor, site.everywhere
        count = (site.level(self.levels).flatten() * (len(site.past) + site.ago)).ceil().long()
        return earlier(site, count - site.ago), site.everywhere


class Blackout(ImageFault):
    """The lower part of the frame is black, all of it at severity 5."""

    name = 'blackout'
    group = 'stream'
    formula = "x' = 0 on the last share a of the rows"
    reading = 'transfer broken off, cable pulled, power lost'
    levels = (0.1, 0.25, 0.5, 0.75, 1.0)
    level_text = 'a, share of the rows, at least one'

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Blacken the rows not transferred."""
        rows = (site.level(self.levels) * site.height).ceil()
        lost = site.row >= site.height - rows
        return torch.zeros_like(site.signal), lost.expand_as(site.everywhere)


class Tear(ImageFault):
    """Below a line the frame is shifted sideways and, where one is known, an older one."""

    name = 'tear'
    group = 'stream'
    formula = "x'(r, c) = y(r, c − d) for r ≥ r₀, y the previous frame, cyclic in c"
    reading = 'rolling tear: lost line synchronization'
    levels = (0.03, 0.06, 0.11, 0.18, 0.3)
    level_text = 'd, share of the width, at least one pixel × severity; r₀ ~ U(0, 1 − severity/6) H'

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Shift the rows below the line."""
        shift = (site.level(self.levels) * site.width).round().flatten()
        shift = shift.maximum(site.severity).long() * site.draws.sign('side').long()
        upper = site.height * (1 - site.severity / 6)
        line = (site.frame.uniform('line') * upper)[:, None, None, None]
        column = (site.column.long() - shift[:, None]) % site.width
        number = site.row.long() * site.width + column[:, None]
        torn = pixels_at(earlier(site, torch.ones_like(shift)), number)
        return torn, (site.row >= line).expand_as(site.everywhere)


class MissingFrame(ImageFault):
    """The frame is missing (NaN), whatever the severity."""

    name = 'missing_frame'
    group = 'stream'
    formula = "x' = NaN on the last share a of the rows"
    reading = 'frame dropped, and the driver says so; below severity 5 a part of it'
    levels = (0.1, 0.25, 0.5, 0.75, 1.0)
    level_text = 'a, share of the rows, at least one'
    missing = True

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Mark the rows as missing."""
        rows = (site.level(self.levels) * site.height).ceil()
        lost = site.row >= site.height - rows
        return torch.full_like(site.signal, torch.nan), lost.expand_as(site.everywhere)
