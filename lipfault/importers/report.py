"""What an import reports on clocks, as plain numbers."""

from typing import Any, Protocol

from lipfault.importers.align import Placement, Stream


class Imported(Protocol):
    """What has grids of episodes, such as `lipfault.importers.dataset.Prepared`."""

    @property
    def placements(self) -> dict[str, Placement]:
        """Return the grids of each episode."""


def stream_report(found: Imported, stream: Stream) -> dict[str, Any]:
    """Return the clock of a stream and its place among the others.

    Args:
        found: The prepared data set.
        stream: One of its streams.

    Returns:
        `rate_hz` of the grid; `measured_hz`; `off_ppm`, by which the measured rate differs from the
        stated one; `jitter_s`, the 50, 95 and 100 % quantiles of the distance of an interval from
        the median; `gaps` and `longest_s`; `repeated`, `decreasing` and `invalid` stamps; `start_s`
        and `end_s`, the medians over episodes of the first stamp, and of the end of the last
        period, relative to the common span; `drift_ppm`, the growth of the distance from it.
    """
    clock, tally = stream.scan.clock, stream.scan.clock.tally
    measured, stated = clock.measured_hz, clock.stated_hz
    starts, ends, lengths = [], [], []
    period_s = 1 / (measured or stream.rate_hz)
    for episode, placement in found.placements.items():
        span = clock.spans[episode]
        starts.append(span.first_s - placement.origin_s)
        ends.append(span.last_s + period_s - placement.origin_s - placement.duration_s)
        lengths.append(placement.duration_s)
    start, end = _median(starts), _median(ends)
    return {
        'field': clock.name,
        'rate_hz': stream.rate_hz,
        'measured_hz': measured,
        'off_ppm': 1e6 * (measured / stated - 1) if measured and stated else None,
        'jitter_s': [clock.jitter_s(share) for share in (0.5, 0.95, 1.0)],
        'gaps': clock.gaps,
        'longest_s': clock.longest_s,
        'repeated': tally.repeated,
        'decreasing': tally.decreasing,
        'invalid': tally.invalid,
        'start_s': start,
        'end_s': end,
        'drift_ppm': 1e6 * (end - start) / max(_median(lengths), 1e-9),
        'resampled': stream.resampling is not None,
    }


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0
