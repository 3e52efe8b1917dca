"""Faults between modalities: lagging or exchanged sensors."""

import math
from typing import Any

from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.faults.fault import Fault, Site
from lipfault.faults.image.site import ImageSite
from lipfault.faults.image.stream import earlier
from lipfault.faults.series.site import SeriesSite
from lipfault.modality import Modality


class _CrossFault(Fault[Any]):
    """A fault of all channels of a series or an image, relative to another modality."""

    family = 'cross'
    all_channels = True

    def apply(self, site: Site) -> tuple[Tensor, Tensor]:
        """Compute the faulty signal of either kind of site.

        Args:
            site: The affected samples.

        Returns:
            The faulty signal, and the bool mask of the affected entries: series (n, C, T), image
            (n, 1, H, W).

        Raises:
            LipfaultError: If the site is neither of a series nor of an image.
        """
        if isinstance(site, SeriesSite):
            return self._series(site)
        if isinstance(site, ImageSite):
            return self._image(site)
        raise LipfaultError(f'{self.name}: no such kind of signal, {type(site).__name__}')

    def _series(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        """Return faulty readings and mask, (n, C, T) each."""
        raise NotImplementedError(f'{self.name} is not defined for a series')

    def _image(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Return (n, C, H, W) faulty frames and (n, 1, H, W) mask."""
        raise NotImplementedError(f'{self.name} is not defined for an image')


class Desynchronization(_CrossFault):
    """Delay one modality as a whole relative to the others.

    Formula:
        x'(t) = x(max(t − d, t₀)) on all channels, a series linear between samples; of an image
        that is less than a frame late, the last pixels are of the frame before

    Cause:
        clocks drifted apart, one stream buffered

    Levels:
        d in seconds, within the history
    """

    name = group = 'desynchronization'
    levels = (0.05, 0.1, 0.2, 0.4, 0.8)
    needs_history = True

    def reach(self, severity: int, rate_hz: float) -> int:
        """Return the longest delay in samples, see `Fault.reach`."""
        return max(1, math.ceil(self.levels[severity - 1] * rate_hz))

    def _series(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        late = site.level(self.levels).double() * site.sensor.rate_hz
        # A buffer that begins to fill holds: nothing older than the onset is delivered again.
        read = (site.time[:, None] - late).maximum(site.start[:, None, None])
        return site.between(read).float(), site.mask

    def _image(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        late = site.level(self.levels) * site.sensor.rate_hz
        frames = late.flatten().round().long().clamp_min(1)
        return earlier(site, frames), site.last_pixels(late)


class SensorSwap(_CrossFault):
    """Exchange two sensors of one kind, for a part of the time or of the frame below strength 5.

    Formula:
        x'_m = x_k, x'_k = x_m in blocks of time (series) or the last pixels (image)

    Cause:
        cables of two cameras or two arms swapped; a multiplexer out of step

    Levels:
        share of the time or of the pixels
    """

    name = group = 'sensor_swap'
    levels = (0.1, 0.25, 0.5, 0.75, 1.0)

    def fits(self, modality: Modality) -> bool:
        """Return false: a swap needs two modalities, see the pattern `swapped`.

        Args:
            modality: Description of the modality.

        Returns:
            False.
        """
        return False

    def _series(self, site: SeriesSite) -> tuple[Tensor, Tensor]:
        return self._partner(site), site.mask & site.lost(self.levels)

    def _image(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        return self._partner(site), site.last_pixels(site.level(self.levels))

    def _partner(self, site: Site) -> Tensor:
        """Return the signal of the other sensor."""
        if site.other is None:
            raise LipfaultError(f'{self.name} needs a second sensor of the same kind and shape')
        return site.other
