"""Faults between modalities: out of step, or exchanged."""

from typing import Any

from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.faults.fault import Fault, Site
from lipfault.faults.image.site import ImageSite
from lipfault.faults.image.stream import earlier
from lipfault.faults.series.site import SeriesSite
from lipfault.modality import Modality


class Desynchronization(Fault[Any]):
    """One modality as a whole lags behind the others."""

    name = 'desynchronization'
    family = 'cross'
    group = 'desynchronization'
    formula = "x'(t) = x(t − d) on all channels, at least one sample × severity"
    reading = 'clocks drifted apart, one stream buffered'
    levels = (0.05, 0.1, 0.2, 0.4, 0.8)
    level_text = 'd in seconds, as far as the history goes'
    all_channels = True

    def apply(self, site: Site) -> tuple[Tensor, Tensor]:
        """Read the past."""
        if isinstance(site, SeriesSite):
            return site.at(site.time[:, None] - site.seconds(self.levels)), site.mask
        if isinstance(site, ImageSite):
            frames = (site.level(self.levels).flatten() * site.sensor.rate_hz).round().long()
            return earlier(site, frames.maximum(site.severity)), site.everywhere
        raise LipfaultError(f'{self.name}: no such kind of signal, {type(site).__name__}')


class SensorSwap(Fault[Any]):
    """Two sensors of one kind are exchanged, for a part of the time or of the frame below 5."""

    name = 'sensor_swap'
    family = 'cross'
    group = 'sensor_swap'
    formula = "x'_m = x_k, x'_k = x_m in blocks of time (series) or the last rows (image)"
    reading = 'cables of two cameras or two arms swapped; a multiplexer out of step'
    levels = (0.1, 0.25, 0.5, 0.75, 1.0)
    level_text = 'share of the time or of the rows'
    all_channels = True

    def fits(self, modality: Modality) -> bool:
        """Never by itself: it takes two, see `lipfault.faults.patterns.SwappedSensors`."""
        return False

    def apply(self, site: Site) -> tuple[Tensor, Tensor]:
        """Show the other sensor's signal."""
        if site.other is None:
            raise LipfaultError(f'{self.name} needs a second sensor of the same kind and shape')
        if isinstance(site, SeriesSite):
            return site.other, site.mask & site.lost(self.levels)
        if isinstance(site, ImageSite):
            rows = (site.level(self.levels) * site.height).ceil()
            exchanged = site.row >= site.height - rows
            return site.other, exchanged.expand_as(site.everywhere)
        raise LipfaultError(f'{self.name}: no such kind of signal, {type(site).__name__}')
