"""Sensors of a series: names, units, ranges, and the noise added to the true values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, log2, sqrt

import numpy as np
import numpy.typing as npt

from lipfault.cells.design import ArmDesign
from lipfault.modality import Modality

Array = npt.NDArray[np.float64]

SERIES_HZ = 100.0
"""Rate of every series, Hz."""

TOOL_M = 0.4
"""Length of a tool beyond the reach of the flange, m: bounds the range of tool positions."""

# Noise of a joint torque and largest quantum, both as shares of the torque limit. Assumed.
_TORQUE_NOISE, _TORQUE_QUANTUM = 0.005, 0.004


@dataclass(frozen=True)
class Channel:
    """One channel of a sensor.

    Args:
        name: Name, unique within its modality.
        unit: Unit of the other fields, `1` for a dimensionless channel.
        low: Lower end of the range; readings are clipped there.
        high: Upper end of the range.
        white: Standard deviation of the white noise before quantization.
        quantum: Step of the reading.
    """

    name: str
    unit: str
    low: float
    high: float
    white: float
    quantum: float

    @property
    def noise(self) -> float:
        """Standard deviation of the reading's error, quantization included.

        Reference:
            Bennett, "Spectra of quantized signals", Bell System Technical Journal 1948,
            https://doi.org/10.1002/j.1538-7305.1948.tb01340.x (variance quantum² / 12).

        Example:
            >>> Channel('force', 'N', -1, 1, white=0.3, quantum=0.1).noise.__round__(4)
            0.3014
        """
        return sqrt(self.white**2 + self.quantum**2 / 12)


def axes(
    names: Iterable[str], unit: str, span: float, white: float, quantum: float, prefix: str
) -> list[Channel]:
    """Return channels `<prefix>_<name>` with the same symmetric range and noise.

    Args:
        names: Names of the axes.
        unit: Unit of the channels.
        span: Half the range: readings are in ±span.
        white: Standard deviation of the white noise.
        quantum: Step of the reading.
        prefix: First part of the names.

    Returns:
        One channel per name.
    """
    return [Channel(f'{prefix}_{name}', unit, -span, span, white, quantum) for name in names]


def arm_channels(design: ArmDesign) -> list[Channel]:
    """Return the channels that every arm has: joints first, then the tool.

    Joint angles come from encoders, torques from motor currents (noise 0.5 % of the range). The
    tool pose has noise of its own (0.5 mm); with faults it follows the encoders, see
    `lipfault.data.known_cells`. The tool's rotation is given by the x and y axes of its frame,
    which have no jumps. Quanta are powers of two, as of fixed-point sensor interfaces. All noises
    are assumed values.

    Args:
        design: The arm.

    Returns:
        The channels in the order of `Arm.measure`.
    """
    joints = [(f'joint{i}', link) for i, link in enumerate(design.links, start=1)]
    span = design.reach + TOOL_M
    return [
        *[Channel(f'position_{j}', 'rad', k.low, k.high, 4e-4, 2**-11) for j, k in joints],
        *[Channel(f'velocity_{j}', 'rad/s', -k.speed, k.speed, 0.01, 2**-8) for j, k in joints],
        *[_torque_channel(f'torque_{j}', k.torque) for j, k in joints],
        *axes('xyz', 'm', span, 5e-4, 2**-12, 'tool_position'),
        # Entries of unit vectors; 1.05 leaves room for the noise.
        *axes(('xx', 'xy', 'xz', 'yx', 'yy', 'yz'), '1', 1.05, 2e-3, 2**-10, 'tool_rotation'),
        *axes('xyz', 'm/s', 5.0, 5e-3, 2**-8, 'tool_velocity'),
        *axes('xyz', 'rad/s', 12.0, 0.01, 2**-7, 'tool_rate'),
    ]


def _torque_channel(name: str, limit: float) -> Channel:
    """Return the channel of a joint torque with a limit in N m."""
    # The largest power of two not above the share of the limit.
    quantum = float(2.0 ** floor(log2(_TORQUE_QUANTUM * limit)))
    return Channel(name, 'N m', -limit, limit, _TORQUE_NOISE * limit, quantum)


def series(name: str, channels: Sequence[Channel]) -> Modality:
    """Return the modality of a list of channels.

    Args:
        name: Name of the modality.
        channels: The channels.

    Returns:
        The modality, at `SERIES_HZ`.
    """
    return Modality(
        name=name, kind='series', rate_hz=SERIES_HZ,
        channels=tuple(channel.name for channel in channels),
        units=tuple(channel.unit for channel in channels),
        low=tuple(channel.low for channel in channels),
        high=tuple(channel.high for channel in channels),
        noise=tuple(channel.noise for channel in channels),
        quantum=tuple(channel.quantum for channel in channels),
    )  # fmt: skip


def read(
    truth: Array, channels: Sequence[Channel], random: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Simulate the readings of a series.

    White noise, independent across channels and time, is added; the sum is rounded to the
    channel's quantum and clipped to its range.

    Args:
        truth: True values (step, channel) in the channels' units.
        channels: The channels.
        random: Generator of the noise.

    Returns:
        Readings (step, channel), float32.
    """
    white = np.array([channel.white for channel in channels])
    quantum = np.array([channel.quantum for channel in channels])
    low = np.array([channel.low for channel in channels])
    high = np.array([channel.high for channel in channels])
    noisy = truth + white * random.standard_normal(truth.shape)
    # Multiples of a power of two below 2^24 quanta are exact in float32.
    readings: npt.NDArray[np.float32] = np.clip(
        np.round(noisy / quantum) * quantum, low, high
    ).astype(np.float32)
    return readings
