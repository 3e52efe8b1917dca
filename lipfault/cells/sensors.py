"""Sensors of a series: names, units, ranges, and the noise that turns the truth into a reading."""

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


@dataclass(frozen=True)
class Channel:
    """One channel of a sensor.

    Args:
        name: Unique within its modality.
        unit: Unit of everything else, `1` where there is none.
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

        Example:
            >>> Channel('force', 'N', -1, 1, white=0.3, quantum=0.1).noise.__round__(4)
            0.3014
        """
        return sqrt(self.white**2 + self.quantum**2 / 12)


def axes(
    names: Iterable[str], unit: str, span: float, white: float, quantum: float, prefix: str
) -> list[Channel]:
    """Channels `<prefix>_<name>` that share a symmetric range ±span and a noise."""
    return [Channel(f'{prefix}_{name}', unit, -span, span, white, quantum) for name in names]


def arm_channels(design: ArmDesign) -> list[Channel]:
    """The channels that every arm has, in order: joints first, then the tool.

    Joint angles come from encoders, torques from motor currents (0.5 % of the range), the tool
    pose from a tracker that does not know the encoders (0.5 mm), its rotation as the x and y axes
    of the tool frame, which never wrap, and its angular rate from a gyroscope. Readings step in
    powers of two, as those of fixed-point sensor interfaces do.
    """
    joints = [(f'joint{i}', link) for i, link in enumerate(design.links, start=1)]
    span = design.reach + 0.4
    return [
        *[Channel(f'position_{j}', 'rad', k.low, k.high, 4e-4, 2**-11) for j, k in joints],
        *[Channel(f'velocity_{j}', 'rad/s', -k.speed, k.speed, 0.01, 2**-8) for j, k in joints],
        *[
            Channel(f'torque_{j}', 'N m', -k.torque, k.torque, 0.005 * k.torque, _step(k.torque))
            for j, k in joints
        ],
        *axes('xyz', 'm', span, 5e-4, 2**-12, 'tool_position'),
        *axes(('xx', 'xy', 'xz', 'yx', 'yy', 'yz'), '1', 1.05, 2e-3, 2**-10, 'tool_rotation'),
        *axes('xyz', 'm/s', 5.0, 5e-3, 2**-8, 'tool_velocity'),
        *axes('xyz', 'rad/s', 12.0, 0.01, 2**-7, 'tool_rate'),
    ]


def _step(limit: float) -> float:
    """The power of two nearest to 0.4 % of a limit from below."""
    return float(2.0 ** floor(log2(0.004 * limit)))


def series(name: str, channels: Sequence[Channel]) -> Modality:
    """The modality that a list of channels makes."""
    return Modality(
        name=name, kind='series', rate_hz=SERIES_HZ,
        channels=tuple(channel.name for channel in channels),
        units=tuple(channel.unit for channel in channels),
        low=tuple(channel.low for channel in channels),
        high=tuple(channel.high for channel in channels),
        noise=tuple(channel.noise for channel in channels),
    )  # fmt: skip


def read(
    truth: Array, channels: Sequence[Channel], random: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Readings (step, channel), float32, of the true values (step, channel).

    White noise, independent across channels and time, then rounding to the channel's quantum, then
    clipping to its range.
    """
    white = np.array([channel.white for channel in channels])
    quantum = np.array([channel.quantum for channel in channels])
    low = np.array([channel.low for channel in channels])
    high = np.array([channel.high for channel in channels])
    noisy = truth + white * random.standard_normal(truth.shape)
    readings: npt.NDArray[np.float32] = np.clip(
        np.round(noisy / quantum) * quantum, low, high
    ).astype(np.float32)
    return readings
