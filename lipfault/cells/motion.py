"""Smooth joint motions through way-points."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Motion:
    """Quintic pieces through way-points: angle, speed and acceleration are continuous.

    Args:
        times: (point,) instants of the way-points, s, increasing.
        points: (point, joint) way-points, rad.
        speeds: (point, joint) speeds there, rad/s.
        accelerations: (point, joint) accelerations there, rad/s².
    """

    times: Array
    points: Array
    speeds: Array
    accelerations: Array

    @property
    def end(self) -> float:
        """Instant of the last way-point, s."""
        return float(self.times[-1])

    def at(self, time: float) -> tuple[Array, Array, Array]:
        """Angles, speeds and accelerations (joint,) at an instant, clipped to the motion's."""
        time = min(max(time, float(self.times[0])), self.end)
        piece = min(int(np.searchsorted(self.times, time, side='right')), len(self.times) - 1) - 1
        span = float(self.times[piece + 1] - self.times[piece])
        s = (time - float(self.times[piece])) / span
        start, way = self.points[piece], self.points[piece + 1] - self.points[piece]
        v0, v1 = self.speeds[piece : piece + 2] * span
        a0, a1 = self.accelerations[piece : piece + 2] * span**2
        # Coefficients of the quintic Hermite polynomial in s in [0, 1].
        c3 = 10 * way - 6 * v0 - 4 * v1 - 1.5 * a0 + 0.5 * a1
        c4 = -15 * way + 8 * v0 + 7 * v1 + 1.5 * a0 - a1
        c5 = 6 * way - 3 * (v0 + v1) - 0.5 * (a0 - a1)
        angle = start + s * (v0 + s * (a0 / 2 + s * (c3 + s * (c4 + s * c5))))
        speed = v0 + s * (a0 + s * (3 * c3 + s * (4 * c4 + s * 5 * c5)))
        acceleration = a0 + s * (6 * c3 + s * (12 * c4 + s * 20 * c5))
        return angle, speed / span, acceleration / span**2


def hold(angles: Array, start: float, wait: float) -> Motion:
    """Rest at joint angles (joint,) for `wait` seconds."""
    still = np.zeros((2, len(angles)))
    return Motion(np.array([start, start + wait]), np.stack([angles] * 2), still, still)


def follow(points: Array, start: float, step: float) -> Motion:
    """The motion through densely sampled joint angles, derivatives by central differences.

    Args:
        points: (point, joint) angles, rad, at least three; at rest at both ends.
        start: Instant of the first one, s.
        step: Time between two, s.
    """
    speeds: Array = np.gradient(points, step, axis=0)
    speeds[[0, -1]] = 0.0
    times: Array = start + step * np.arange(len(points), dtype=np.float64)
    accelerations: Array = np.gradient(speeds, step, axis=0)
    return Motion(times, points, speeds, accelerations)


def plan(points: Array, limits: Array, start: float, pace: float) -> Motion:
    """The motion through way-points at about a share of the speed limits, from rest to rest.

    At a way-point the acceleration is zero and the speed the monotonicity-preserving (harmonic)
    mean of both sides' slopes, so no joint overshoots.

    Args:
        points: (point, joint) way-points, rad, at least two.
        limits: (joint,) largest speeds, rad/s.
        start: Instant of the first way-point, s.
        pace: Share of the limits to use, in (0, 1].

    Example:
        >>> motion = plan(np.array([[0.0], [1.0]]), np.array([2.0]), start=0.0, pace=0.5)
        >>> angle, speed, _ = motion.at(motion.end / 2)
        >>> float(angle[0].round(6)), bool(speed[0] <= 1.0)
        (0.5, True)
    """
    steps = np.diff(points, axis=0)
    # 1.875: peak over mean speed of a quintic from rest to rest.
    spans = np.maximum((1.875 * np.abs(steps) / (pace * limits)).max(axis=1), _SHORTEST)
    # Speed grows with the way, so short ways are limited by acceleration: 5.77 way / span².
    reach = limits * pace / _RAMP
    spans = np.maximum(spans, np.sqrt(5.77 * np.abs(steps) / reach).max(axis=1))
    slopes = steps / spans[:, None]
    speeds = np.zeros_like(points)
    before, after = slopes[:-1], slopes[1:]
    same = before * after > 0
    total = np.where(same, before + after, 1.0)
    speeds[1:-1] = np.where(same, 2 * before * after / total, 0.0)
    times = start + np.concatenate([[0.0], np.cumsum(spans)])
    return Motion(times, points, speeds, np.zeros_like(points))


_SHORTEST = 0.12
"""Shortest time between way-points, s."""
_RAMP = 0.25
"""Time to reach full speed, s."""
