"""Faults of the exposure of single rows and frames: shutter, flicker, exposure control, drops."""

import math

import torch
from torch import Tensor

from lipfault.faults.image.site import ImageFault, ImageSite
from lipfault.faults.image.stream import earlier


class RollingShutter(ImageFault):
    """Read the rows one after the other, so that the upper ones are older.

    Without a history nothing changes, and the damage is zero.

    Formula:
        x'(r) = (1 − w) x(r) + w y(r), w = a (1 − (r + 1/2)/H), y the previous frame

    Cause:
        slow readout of a shutter that should be global, exposure out of step with the strobe

    Levels:
        a, age of the first row in frames
    """

    name, group = 'rolling_shutter', 'stream'
    levels = (0.1, 0.2, 0.4, 0.7, 1.0)
    needs_history = True

    def reach(self, severity: int, rate_hz: float) -> int:
        """Return 1, for the previous frame."""
        return 1

    def _faulty(self, site: ImageSite) -> Tensor:
        previous = earlier(site, torch.ones_like(site.severity))
        age = site.level(self.levels) * (1 - (site.row + 0.5) / site.height)
        return torch.lerp(site.signal, previous, age.expand_as(site.signal))


class FrameDrop(ImageFault):
    """Lose packets of a frame, or all of it, where the buffer keeps what arrived last.

    Without a history nothing changes, and the damage is zero.

    Formula:
        x'(p) = pixel p of the last frame of which its packet arrived; packets of an eighth of a
        row, each lost with probability q, but none of every fifth frame

    Cause:
        full bandwidth of a shared link, overloaded grabber

    Levels:
        q, share of the packets lost
    """

    name, group = 'frame_drop', 'stream'
    levels = (0.005, 0.03, 0.15, 0.5, 1.0)
    needs_history = True
    _whole = 5  # one of so many frames always arrives, which bounds the frames that are read
    _packets = 8  # of a row

    def reach(self, severity: int, rate_hz: float) -> int:
        """Return the most frames of which a packet is lost in a row."""
        return self._whole - 1

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Return the last pixels that arrived, and the pixels that were lost.

        Args:
            site: The affected frames, and the earlier ones if there is a history.

        Returns:
            (n, C, H, W) float32 and (n, 1, H, W) bool.
        """
        lost = self._lost(site)
        value = site.signal
        for ago in range(1, self._whole):
            missed = lost[:, :ago].all(1, keepdim=True)
            value = torch.where(missed, earlier(site, torch.full_like(site.severity, ago)), value)
        return value, lost[:, :1]

    def _lost(self, site: ImageSite) -> Tensor:
        """Return (n, frame, H, W) bool, the pixels lost of this frame and of those before it."""
        number = site.number[:, None] - torch.arange(self._whole, device=site.number.device)
        packet = torch.arange(site.height * self._packets, device=number.device)
        # A draw of each packet of each frame's number.
        counter = number[:, :, None] * len(packet) + packet
        lost = site.draws.uniform_at('dropped', counter) < site.level(self.levels)[:, 0]
        arrives = site.draws.integers('arrives', 0, self._whole - 1)[:, None]
        lost &= (number % self._whole != arrives)[:, :, None]
        place = (site.column[0] * (self._packets / site.width)).long()
        shape = *lost.shape[:2], site.height, self._packets
        return lost.reshape(shape).index_select(3, place)


class Flicker(ImageFault):
    """Brighten and darken bands of rows, which move from frame to frame.

    Formula:
        x'(r) = x(r) (1 + a sin(2π (b r/H + φ))), b ~ U(1, 4) bands, φ another one in each frame

    Cause:
        mains-powered lamp in front of a rolling shutter

    Levels:
        a, depth of the modulation
    """

    name, group = 'flicker', 'exposure'
    levels = (0.03, 0.07, 0.15, 0.3, 0.6)

    def _faulty(self, site: ImageSite) -> Tensor:
        bands = 1 + 3 * site.draws.uniform('bands')[:, None, None, None].double()
        phase = site.frame.uniform('phase')[:, None, None, None]
        # In float64, so that the float32 result is the same on every processor.
        wave = torch.sin(2 * math.pi * (bands * site.row / site.height + phase)).float()
        return site.signal * (1 + site.level(self.levels) * wave)


class ExposureHunting(ImageFault):
    """Oscillate the brightness of whole frames.

    Formula:
        x' = x 2^(a sin(2π (k f + φ))), k the number of the frame, f ~ U(1/10, 2/5), φ ~ U(0, 1)

    Cause:
        unstable exposure control, a reflection that moves in and out of its field

    Levels:
        a, amplitude in stops
    """

    name, group = 'exposure_hunting', 'exposure'
    levels = (0.05, 0.12, 0.3, 0.7, 3.0)

    def _faulty(self, site: ImageSite) -> Tensor:
        rate = 0.1 + 0.3 * site.draws.uniform('rate').double()
        turns = (site.number * rate + site.draws.uniform('phase')) % 1
        stops = torch.sin(2 * math.pi * turns)[:, None, None, None] * site.level(self.levels)
        return site.signal * torch.exp2(stops).float()
