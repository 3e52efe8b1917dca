"""Weld seams of a work piece, and the torch poses that follow them."""

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

RAMP_S = 0.2
"""Time to reach travel speed, s."""


@dataclass(frozen=True)
class Seam:
    """A fillet seam on a level plate: straight along a wall, or around a pipe.

    Args:
        middle: Middle of a straight seam, or centre of the pipe, at plate height, (x, y, z), m.
        yaw: Direction of a straight seam's outward normal, or of a round seam's middle, rad.
        radius: Outer radius of the pipe, m; 0 for a straight seam.
        length: Length of the seam, m.
    """

    middle: tuple[float, float, float]
    yaw: float
    radius: float
    length: float

    def at(self, distance: float) -> tuple[Array, Array, Array]:
        """Return a point of the seam with its directions.

        Args:
            distance: Distance from the middle along the seam, m, negative before it.

        Returns:
            Point (3,), m, outward normal (3,) and direction of travel (3,), unit vectors.
        """
        bend = distance / self.radius if self.radius else 0.0
        angle = self.yaw + bend
        outward = np.array([cos(angle), sin(angle), 0.0])
        along = np.array([-sin(angle), cos(angle), 0.0])
        offset = outward * self.radius if self.radius else along * distance
        return np.array(self.middle) + offset, outward, along


@dataclass(frozen=True)
class Pass:
    """Welding parameters of one pass over a part of a seam.

    Args:
        seam: The seam.
        start: Start of the pass, m from the seam's middle.
        end: End of the pass, m.
        speed: Travel speed, m/s.
        work_angle: Angle between wire and plate normal, away from the wall, rad.
        travel_angle: Tilt of the torch along the seam, rad.
        spin: Rotation of the torch about its wire, rad.
        weave: Amplitude of the weave across the seam, m.
        weave_hz: Frequency of the weave, Hz.
        press: Depth to which the wire would reach into the plate if it were rigid, m.
    """

    seam: Seam
    start: float
    end: float
    speed: float
    work_angle: float
    travel_angle: float
    spin: float
    weave: float
    weave_hz: float
    press: float

    @property
    def duration(self) -> float:
        """Duration of the pass with its ramps, s."""
        # Each of the two ramps covers half the distance of travel at full speed.
        return abs(self.end - self.start) / self.speed + RAMP_S

    def pose(self, time: float) -> tuple[Array, Array]:
        """Return the pose of the torch.

        Args:
            time: Time since the start of the pass, s.

        Returns:
            Torch tip (3,), m, and frame (3, 3), z along the wire, world frame.
        """
        distance, fade = self._progress(time)
        sign = 1.0 if self.end > self.start else -1.0
        point, outward, along = self.seam.at(self.start + sign * distance)
        wire = -cos(self.work_angle) * np.array([0.0, 0.0, 1.0]) - sin(self.work_angle) * outward
        wire = cos(self.travel_angle) * wire - sin(self.travel_angle) * sign * along
        across = np.cross(along, wire)
        swing = self.weave * fade * sin(2 * pi * self.weave_hz * time)
        point = point + wire * self.press * fade + across * swing
        return point, _frame(wire, self.spin)

    def _progress(self, time: float) -> tuple[float, float]:
        """Return the distance travelled, m, and a factor that fades in and out at the ends."""
        time = min(max(time, 0.0), self.duration)
        edge = min(time, self.duration - time, RAMP_S) / RAMP_S
        # Cubic smooth step: its slope, the acceleration, is zero at both ends.
        fade = edge * edge * (3 - 2 * edge)
        # The distance is the integral of the fade, so that the speed is proportional to it.
        seconds = _ramp(min(time, RAMP_S)) + min(
            max(time - RAMP_S, 0.0), self.duration - 2 * RAMP_S
        )
        if time > self.duration - RAMP_S:
            seconds += RAMP_S / 2 - _ramp(self.duration - time)
        return self.speed * seconds, fade


def _ramp(time: float) -> float:
    """Return the integral of the smooth step over the first `time` s of a ramp, s."""
    edge = time / RAMP_S
    return RAMP_S * edge**3 * (1 - edge / 2)


def _frame(wire: Array, spin: float) -> Array:
    """Return the frame (3, 3) with z along the wire and x as level as possible towards `spin`."""
    level = np.array([cos(spin), sin(spin), 0.0])
    # Gram-Schmidt: the part of `level` that is orthogonal to the wire.
    x = level - wire * (wire @ level)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(wire, x), wire], axis=1)
