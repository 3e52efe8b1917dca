"""Time stamps of sources without a clock of their own: a column, a unit, or a rate."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lipfault.errors import LipfaultError
from lipfault.importers.readers.times import unit_of

PER_SECOND = {'s': 1, 'ms': 10**3, 'us': 10**6, 'ns': 10**9}
"""Stamps per second for each unit of time."""
_UNIT_WORDS = {
    's': 's|sec|secs|second|seconds',
    'ms': 'ms|msec|millis|milliseconds',
    'us': 'us|usec|micros|microseconds',
    'ns': 'ns|nsec|nanos|nanoseconds',
}
_ANY_UNIT = '|'.join(_UNIT_WORDS.values())
_TIME_NAME = re.compile(rf'(time_?stamps?|times?|stamps?|t)([_ ]?\(?({_ANY_UNIT})\)?)?', re.I)


@dataclass(frozen=True)
class StampOptions:
    """Options of a reader that say where the time stamps of a source are.

    Args:
        time: Name of the stream that holds the stamps; by default a stream with a name such as
            `timestamp`, `time` or `t` beside the field.
        time_unit: `s`, `ms`, `us` or `ns`; by default see `infer_unit`.
        rate_hz: Samples per second, of all fields or by the name of the field, for a source
            without stamps. The first sample has the stamp 0.

    Raises:
        LipfaultError: If an option has an impossible value, or `time` and `rate_hz` are given.
    """

    time: str | None = None
    time_unit: str | None = None
    rate_hz: float | Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        if self.time_unit is not None and self.time_unit not in PER_SECOND:
            raise LipfaultError(
                f'time_unit must be one of {", ".join(PER_SECOND)}, got {self.time_unit!r}'
            )
        if self.time is not None and self.rate_hz is not None:
            raise LipfaultError(
                f'time ({self.time!r}) and rate_hz ({self.rate_hz!r}) are given: leave one out'
            )
        rates = self.rate_hz if isinstance(self.rate_hz, Mapping) else {'': self.rate_hz}
        for name, rate in rates.items():
            if rate is not None and not _is_rate(rate):
                place = f'rate_hz of {name!r}' if name else 'rate_hz'
                raise LipfaultError(f'{place} must be a number above 0, got {rate!r}')

    def rate(self, field: str, stated: float | None = None) -> float | None:
        """Return the rate of a field.

        Args:
            field: Name of the field.
            stated: Rate that the source states.

        Returns:
            The rate of the option, else the stated one, in samples per second.
        """
        if isinstance(self.rate_hz, Mapping):
            return self.rate_hz.get(field, stated)
        return stated if self.rate_hz is None else self.rate_hz


def is_time_name(name: str) -> bool:
    """Return whether a stream of this name holds time stamps, such as `timestamp_ns`.

    Args:
        name: Name of a stream without its folder or group.
    """
    return _TIME_NAME.fullmatch(name.strip()) is not None


def infer_unit(name: str, stamps: npt.NDArray[Any]) -> str:
    """Infer the unit of time stamps from the name of their stream, or from their size.

    Args:
        name: Name of the stream, such as `timestamp_ns`.
        stamps: First stamps (samples,), whose size decides between epochs, see `times.unit_of`.

    Returns:
        A key of `PER_SECOND`.
    """
    for unit, words in _UNIT_WORDS.items():
        if re.search(rf'[_ (\[]({words})[)\]]?$', name.strip(), re.I):
            return unit
    return 's' if stamps.dtype.kind in 'mM' else unit_of(stamps)


def to_seconds(stamps: npt.NDArray[Any], unit: str) -> npt.NDArray[np.float64]:
    """Convert stamps to seconds.

    Args:
        stamps: Stamps (samples,): numbers in `unit`, or `datetime64` and `timedelta64` values.
        unit: A key of `PER_SECOND`; without effect on the latter two.

    Returns:
        Seconds (samples,) float64, NaN for an empty stamp; of `datetime64` since 1970-01-01 UTC.
        The fraction of a second of integers is exact before the sum is rounded (to 0.24 us for an
        epoch of today).
    """
    if stamps.dtype.kind in 'mM':
        kind = 'datetime64[ns]' if stamps.dtype.kind == 'M' else 'timedelta64[ns]'
        seconds = to_seconds(stamps.astype(kind).astype(np.int64), 'ns')
        return np.where(np.isnat(stamps), np.nan, seconds)
    per = PER_SECOND[unit]
    if stamps.dtype.kind == 'f' or per == 1:
        return np.asarray(stamps, np.float64) / per
    whole, rest = np.divmod(stamps, np.asarray(per, stamps.dtype if _holds(stamps, per) else None))
    return np.asarray(whole, np.float64) + np.asarray(rest, np.float64) / per


def regular(count: int, rows: int, rate_hz: float) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the stamps of samples at a constant rate, from 0.

    Args:
        count: Number of samples.
        rows: Number of samples of a chunk.
        rate_hz: Samples per second.

    Yields:
        Stamps (samples,) in seconds.
    """
    for start in range(0, count, rows):
        yield np.arange(start, min(count, start + rows)) / rate_hz


def _is_rate(rate: object) -> bool:
    return (
        isinstance(rate, int | float)
        and not isinstance(rate, bool)
        and math.isfinite(rate)
        and rate > 0
    )


def _holds(stamps: npt.NDArray[Any], value: int) -> bool:
    return stamps.dtype.kind in 'iu' and value <= np.iinfo(stamps.dtype).max
