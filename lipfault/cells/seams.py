"""Weld seams of a work piece, and the torch poses that follow them."""

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


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

    def at(self, way: float) -> tuple[Array, Array, Array]:
        """Point (3,), outward normal (3,) and direction of travel (3,), `way` m from the middle."""
        bend = way / self.radius if self.radius else 0.0
        angle = self.yaw + bend
        outward = np.array([cos(angle), sin(angle), 0.0])
        along = np.array([-sin(angle), cos(angle), 0.0])
        point = np.array(self.middle) + (outward * self.radius if self.radius else along * way)
        return point, outward, along


@dataclass(frozen=True)
class Pass:
    """How a piece of a seam is welded.

    Args:
        seam: The seam.
        start: Where the pass starts, m from the seam's middle.
        end: Where it ends, m.
        speed: Travel speed, m/s.
        lean: Angle between wire and plate normal, away from the wall, rad.
        push: Travel angle, the torch tilted along the seam, rad.
        spin: Turn of the torch about its wire, rad.
        weave: Amplitude of the weave across the seam, m.
        weave_hz: Frequency of the weave, Hz.
        press: How far the wire would reach into the plate if it did not give way, m.
    """

    seam: Seam
    start: float
    end: float
    speed: float
    lean: float
    push: float
    spin: float
    weave: float
    weave_hz: float
    press: float

    @property
    def duration(self) -> float:
        """Duration of the pass with its ramps, s."""
        return abs(self.end - self.start) / self.speed + RAMP_S

    def pose(self, time: float) -> tuple[Array, Array]:
        """Torch tip (3,), m, and frame (3, 3), z along the wire, `time` s into the pass."""
        way, fade = self._progress(time)
        sign = 1.0 if self.end > self.start else -1.0
        point, outward, along = self.seam.at(self.start + sign * way)
        wire = -cos(self.lean) * np.array([0.0, 0.0, 1.0]) - sin(self.lean) * outward
        wire = cos(self.push) * wire - sin(self.push) * sign * along
        across = np.cross(along, wire)
        swing = self.weave * fade * sin(2 * pi * self.weave_hz * time)
        point = point + wire * self.press * fade + across * swing
        return point, _frame(wire, self.spin)

    def _progress(self, time: float) -> tuple[float, float]:
        """Way travelled, m, and a factor that fades in and out at the ends of the pass."""
        time = min(max(time, 0.0), self.duration)
        edge = min(time, self.duration - time, RAMP_S) / RAMP_S
        fade = edge * edge * (3 - 2 * edge)
        # The integral of the fade, so that the speed follows it.
        way = _ramp(min(time, RAMP_S)) + min(max(time - RAMP_S, 0.0), self.duration - 2 * RAMP_S)
        if time > self.duration - RAMP_S:
            way += RAMP_S / 2 - _ramp(self.duration - time)
        return self.speed * way, fade


RAMP_S = 0.2
"""Time to reach travel speed, s."""


def _ramp(time: float) -> float:
    """Integral of the smooth step over the first `time` s of a ramp, s."""
    edge = time / RAMP_S
    return RAMP_S * edge**3 * (1 - edge / 2)


def _frame(wire: Array, spin: float) -> Array:
    """Frame (3, 3) with z along the wire and x as level as can be in the direction `spin`."""
    level = np.array([cos(spin), sin(spin), 0.0])
    x = level - wire * (wire @ level)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(wire, x), wire], axis=1)
