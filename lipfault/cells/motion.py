"""Smooth joint motions through waypoints."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Shortest time between waypoints, s.
_SHORTEST = 0.12

# Time to reach full speed, s; limits the acceleration.
_RAMP = 0.25

# Peak over mean of speed (15/8) and of acceleration (10/√3) of a quintic from rest to rest:
# speed 1.875 Δ / T, acceleration 5.77 Δ / T² for a step Δ in the time T.
_PEAK_SPEED = 1.875
_PEAK_ACCELERATION = 5.77


@dataclass(frozen=True)
class Motion:
    """Quintic polynomials through waypoints with continuous angle, speed and acceleration.

    Args:
        times: (point,) times of the waypoints, s, increasing.
        points: (point, joint) waypoints, rad.
        speeds: (point, joint) speeds at the waypoints, rad/s.
        accelerations: (point, joint) accelerations at the waypoints, rad/s².

    Reference:
        A quintic from rest to rest is the minimum-jerk motion: Flash and Hogan, "The coordination
        of arm movements: an experimentally confirmed mathematical model", Journal of Neuroscience
        1985, https://doi.org/10.1523/JNEUROSCI.05-07-01688.1985.
    """

    times: Array
    points: Array
    speeds: Array
    accelerations: Array

    @property
    def end(self) -> float:
        """Time of the last waypoint, s."""
        return float(self.times[-1])

    def at(self, time: float) -> tuple[Array, Array, Array]:
        """Evaluate the motion.

        Args:
            time: Time, s; clipped to the first and the last waypoint.

        Returns:
            Angles, rad, speeds, rad/s, and accelerations, rad/s², (joint,) each.
        """
        time = min(max(time, float(self.times[0])), self.end)
        index = min(int(np.searchsorted(self.times, time, side='right')), len(self.times) - 1) - 1
        span = float(self.times[index + 1] - self.times[index])
        s = (time - float(self.times[index])) / span
        start, step = self.points[index], self.points[index + 1] - self.points[index]
        # Derivatives with respect to s in [0, 1].
        v0, v1 = self.speeds[index : index + 2] * span
        a0, a1 = self.accelerations[index : index + 2] * span**2
        # Coefficients of s³, s⁴ and s⁵ of the quintic Hermite polynomial.
        c3 = 10 * step - 6 * v0 - 4 * v1 - 1.5 * a0 + 0.5 * a1
        c4 = -15 * step + 8 * v0 + 7 * v1 + 1.5 * a0 - a1
        c5 = 6 * step - 3 * (v0 + v1) - 0.5 * (a0 - a1)
        angle = start + s * (v0 + s * (a0 / 2 + s * (c3 + s * (c4 + s * c5))))
        speed = v0 + s * (a0 + s * (3 * c3 + s * (4 * c4 + s * 5 * c5)))
        acceleration = a0 + s * (6 * c3 + s * (12 * c4 + s * 20 * c5))
        return angle, speed / span, acceleration / span**2


def hold(angles: Array, start: float, wait: float) -> Motion:
    """Return the motion that rests at a posture.

    Args:
        angles: Joint angles (joint,), rad.
        start: Start, s.
        wait: Duration, s.

    Returns:
        The motion.
    """
    still = np.zeros((2, len(angles)))
    return Motion(np.array([start, start + wait]), np.stack([angles] * 2), still, still)


def follow(points: Array, start: float, step: float) -> Motion:
    """Return the motion through densely sampled joint angles, with derivatives by differences.

    Args:
        points: (point, joint) angles, rad, at least three; at rest at both ends.
        start: Time of the first point, s.
        step: Time between two points, s.

    Returns:
        The motion.
    """
    speeds: Array = np.gradient(points, step, axis=0)
    # One-sided differences at the ends would contradict the rest there.
    speeds[[0, -1]] = 0.0
    times: Array = start + step * np.arange(len(points), dtype=np.float64)
    accelerations: Array = np.gradient(speeds, step, axis=0)
    return Motion(times, points, speeds, accelerations)


def plan(points: Array, limits: Array, start: float, pace: float) -> Motion:
    """Plan a motion through waypoints, from rest to rest, at a share of the speed limits.

    At an inner waypoint the acceleration is zero and the speed is the harmonic mean of the slopes
    on both sides, which preserves monotonicity: no joint overshoots. The limits hold exactly for
    two points and approximately for more.

    Args:
        points: (point, joint) waypoints, rad, at least two.
        limits: (joint,) largest speeds, rad/s.
        start: Time of the first waypoint, s.
        pace: Share of the limits to use, in (0, 1].

    Returns:
        The motion.

    Reference:
        Fritsch and Butland, "A method for constructing local monotone piecewise cubic
        interpolants", SIAM Journal on Scientific and Statistical Computing 1984,
        https://doi.org/10.1137/0905021.

    Example:
        >>> motion = plan(np.array([[0.0], [1.0]]), np.array([2.0]), start=0.0, pace=0.5)
        >>> angle, speed, _ = motion.at(motion.end / 2)
        >>> float(angle[0].round(6)), bool(speed[0] <= 1.0)
        (0.5, True)
    """
    steps = np.diff(points, axis=0)  # (point - 1, joint)
    spans = np.maximum((_PEAK_SPEED * np.abs(steps) / (pace * limits)).max(axis=1), _SHORTEST)
    # Short steps do not reach full speed: the acceleration limits them.
    largest = limits * pace / _RAMP
    spans = np.maximum(spans, np.sqrt(_PEAK_ACCELERATION * np.abs(steps) / largest).max(axis=1))
    slopes = steps / spans[:, None]
    speeds = np.zeros_like(points)
    before, after = slopes[:-1], slopes[1:]
    same = before * after > 0
    total = np.where(same, before + after, 1.0)
    speeds[1:-1] = np.where(same, 2 * before * after / total, 0.0)
    times = start + np.concatenate([[0.0], np.cumsum(spans)])
    return Motion(times, points, speeds, np.zeros_like(points))
