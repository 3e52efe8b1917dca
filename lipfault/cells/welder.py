"""One welding arm: fly to a seam, weld a pass, fly to the next."""

from collections.abc import Sequence
from math import pi
from typing import Any

import numpy as np
import numpy.typing as npt

from lipfault.cells.arm import Arm
from lipfault.cells.irb1600 import IRB1600
from lipfault.cells.motion import follow, plan
from lipfault.cells.poses import pointing_down
from lipfault.cells.seams import Pass, Seam
from lipfault.cells.sensors import Channel, arm_channels, axes
from lipfault.cells.weld_scene import Station

Array = npt.NDArray[np.float64]

KNOT_S = 0.02
"""Time between two inverse-kinematics solutions of a pass, s."""

# Postures that the planner accepts, rad: elbow up, clear of the joint limits.
_LOWEST = np.array([-1.9, -1.0, -1.8, -2.8, -1.9, -5.0])
_HIGHEST = np.array([1.9, 1.6, 0.9, 2.8, 1.9, 5.0])

# Largest position error of an accepted posture, m.
_CLOSE = 1e-4

# Largest joint speed along a pass, rad/s: excludes postures near a singularity.
_CALM = 1.0

# Passes drawn before the arm moves elsewhere to try again.
_ATTEMPTS = 100

# Largest swing to the side between passes, rad.
_SWING = 0.9

# Power source. Open-circuit part (V) and slope (Ω) of the conventional load voltage of MIG/MAG
# welding, U = 14 V + 0.05 Ω I (EN 60974-7); current per wire feed, A per m/min, and its relative
# drop per mm of shortened free wire, both assumed.
_VOLTAGE, _SLOPE = 14.0, 0.05
_CURRENT_PER_FEED, _DROP_PER_MM = 18.0, 0.04

# Wire feed, m/min: constant part, and part per travel speed, m/min per m/s. Assumed: faster
# travel needs more wire for the same throat of the seam.
_FEED, _FEED_PER_SPEED = 3.0, 110.0


def channels() -> list[Channel]:
    """Return the channels of a welding arm: those of every arm and those of the power source."""
    return [
        *arm_channels(IRB1600),
        Channel('weld_current', 'A', -10.0, 400.0, 2.0, 1.0),
        Channel('weld_voltage', 'V', -2.0, 50.0, 0.25, 2**-3),
        Channel('wire_feed', 'm/min', -1.0, 20.0, 0.05, 2**-5),
    ]


def wrench_channels() -> list[Channel]:
    """Return the channels of a wrist force-torque sensor of the ±400 N class."""
    return [
        *axes('xyz', 'N', 400.0, 0.4, 2**-2, 'force'),
        *axes('xyz', 'N m', 40.0, 0.04, 2**-5, 'torque'),
    ]


class Welder:
    """State, plan and controller of one arm for one episode.

    Args:
        model: Compiled scene.
        data: State of the scene; the arm is set to its initial posture.
        random: Generator of passes, waypoints and speeds.
        name: Name of the arm in the scene.
        station: Position of the arm.
        seams: Seams that the arm may weld.

    Attributes:
        arm: The arm.
        pace: Mean share of the joint speed limits.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        data: Any,  # noqa: ANN401
        random: np.random.Generator,
        name: str,
        station: Station,
        seams: Sequence[Seam],
    ) -> None:
        """Draw the arm's speed and set a posture in the air."""
        self._model, self._data, self._random = model, data, random
        self._station, self._seams = station, seams
        self.arm = Arm(model, IRB1600, name, f'{name}_tool')
        self.pace = float(random.uniform(0.35, 0.8))
        self._arc = model.material(f'{name}_arc').id
        self._wire = model.joint(f'{name}_wire').qposadr[0]
        self._feed = 0.0
        self._queue: list[tuple[Array, Pass | None]] = []
        # Posture at the end of the plan so far, and the postures that lead away from its seam.
        self._last, self._retreat = np.array(IRB1600.home), list[Array]()
        self._last = self._draw_posture()
        data.qpos[self.arm.qpos] = self._last
        points = np.stack([self._last, self._draw_posture()])
        self._motion = plan(points, self.arm.speed, 0.0, self.pace)
        self._last = self._motion.points[-1]

    def control(self) -> None:
        """Set the arm's motors for the next step; between `mj_step1` and `mj_step2`."""
        time = float(self._data.time)
        if time >= self._motion.end:
            self._start_next(time)
        self.arm.track(self._data, *self._motion.at(time), np.zeros(3))

    def measure(self, forces: Array) -> Array:
        """Return the true values of `channels`.

        Args:
            forces: (motor,) mean motor forces since the last sample, N m.

        Returns:
            (36,) values in the units of the channels.
        """
        return np.concatenate([self.arm.measure(self._data, forces), self._source()])

    def _source(self) -> Array:
        """Return current, A, voltage, V, and wire feed, m/min, of the power source.

        The source has constant voltage: the current grows with the feed and falls with the free
        length of the wire, the effect behind through-arc sensing.
        """
        if self._feed == 0.0:
            return np.zeros(3)
        squeeze = 1e3 * float(self._data.qpos[self._wire])  # mm, negative in contact
        current = _CURRENT_PER_FEED * self._feed * (1.0 - _DROP_PER_MM * squeeze)
        return np.array([current, _VOLTAGE + _SLOPE * current, self._feed])

    def _start_next(self, time: float) -> None:
        """Start the next element of the plan; plan another pass if none is left."""
        if not self._queue:
            self._plan_pass()
        points, weld = self._queue.pop(0)
        self._feed = 0.0
        if weld is None:
            pace = min(self.pace * float(self._random.uniform(0.8, 1.2)), 0.95)
            self._motion = plan(points, self.arm.speed, time, pace)
        else:
            self._motion = follow(points, time, KNOT_S)
            self._feed = _FEED + _FEED_PER_SPEED * weld.speed
        self._model.mat_rgba[self._arc, 3] = float(self._feed > 0.0)

    def _plan_pass(self) -> None:
        """Queue a flight and the pass that it leads to, or the flight alone if none is found."""
        for _ in range(_ATTEMPTS):
            weld = self._draw_pass()
            track = self._track(weld)
            if track is None:
                continue
            approach, leave = self._withdrawn(track[0]), self._withdrawn(track[-1])
            if approach is None or leave is None:
                continue
            flight = self._flight([approach, track[0]])
            if flight is not None:
                self._queue = [(flight, None), (track, weld)]
                self._last, self._retreat = track[-1], [leave]
                return
        points = np.stack([self._last, *self._retreat, self._draw_posture()])
        self._queue = [(points, None)]
        self._last, self._retreat = points[-1], []

    def _flight(self, goal: list[Array]) -> Array | None:
        """Return waypoints (point, joint) from here to two given ones, if nothing collides."""
        through = [self._draw_posture() for _ in range(int(self._random.integers(1, 4)))]
        points = np.stack([self._last, *self._retreat, *through, *goal])
        motion = plan(points, self.arm.speed, 0.0, self.pace)
        # The first and the last part run along the wire, in contact with the seam.
        times = np.linspace(motion.times[1], motion.times[-2], 20 * len(points))
        hit = any(self.arm.in_contact(motion.at(float(time))[0]) for time in times)
        return None if hit else points

    def _withdrawn(self, angles: Array) -> Array | None:
        """Return the posture 9 to 14 cm back along the wire, if within reach."""
        point, frame = self.arm.pose(angles)
        point = point - frame[:, 2] * self._random.uniform(0.09, 0.14)
        return self._accepted(self.arm.solve(point, frame, angles), point)

    def _draw_pass(self) -> Pass:
        """Draw a pass over a random part of a random seam."""
        random = self._random
        seam = self._seams[int(random.integers(len(self._seams)))]
        length = min(random.uniform(0.06, 0.2), seam.length)
        start = random.uniform(-seam.length / 2, seam.length / 2 - length)
        ends = (start, start + length) if random.random() < 0.5 else (start + length, start)
        x, y, _ = seam.middle
        towards_base = np.arctan2(self._station.position[1] - y, self._station.position[0] - x)
        # Travel speeds of fast thin-sheet welding; angles in rad.
        return Pass(
            seam, start=float(ends[0]), end=float(ends[1]),
            speed=float(random.uniform(0.03, 0.08)),
            work_angle=float(random.uniform(0.5, 0.95)),
            travel_angle=float(random.uniform(-0.25, 0.25)),
            spin=float(towards_base + random.uniform(-0.7, 0.7)),
            weave=float(random.choice([0.0, 1.0]) * random.uniform(0.001, 0.004)),
            weave_hz=float(random.uniform(1.0, 2.5)), press=float(random.uniform(0.001, 0.004)),
        )  # fmt: skip

    def _track(self, weld: Pass) -> Array | None:
        """Return the joint angles (knot, joint) along a pass, if all are within reach."""
        # Start, middle and end first: most unreachable passes are rejected by them.
        ends = [self._reach(*weld.pose(share * weld.duration)) for share in (0.0, 0.5, 1.0)]
        if ends[0] is None or ends[1] is None or ends[2] is None:
            return None
        angles = [ends[0]]
        for knot in range(1, round(weld.duration / KNOT_S) + 1):
            angles.append(self.arm.solve(*weld.pose(knot * KNOT_S), angles[-1]))
        track = np.stack(angles)
        calm = np.abs(np.diff(track, axis=0)).max() < _CALM * KNOT_S
        return track if calm and self._fits(track) else None

    def _draw_posture(self) -> Array:
        """Draw a posture in the air above the work piece and beside it."""
        random, station = self._random, self._station
        while True:
            radius, angle = (
                random.uniform(station.near, station.far),
                station.yaw + random.uniform(-_SWING, _SWING),
            )
            position = np.array(
                [
                    station.position[0] + radius * np.cos(angle),
                    station.position[1] + radius * np.sin(angle),
                    random.uniform(0.7, 1.15),
                ]
            )
            yaw = angle + pi + random.uniform(-0.8, 0.8)
            tilt, about = random.uniform((0.0, -pi), (0.6, pi))
            angles = self._reach(position, pointing_down(yaw, tilt, about))
            if angles is not None:
                return angles

    def _reach(self, position: Array, rotation: Array) -> Array | None:
        """Return the joint angles of a torch pose, elbow up, if within reach."""
        start = np.array(IRB1600.home)
        away = position[:2] - self._station.position
        start[0] = np.arctan2(away[1], away[0]) - self._station.yaw
        start[0] -= 2 * pi * np.round(start[0] / (2 * pi))
        angles = self.arm.solve(position, rotation, start)
        # The turn of the last joint nearest to its present angle.
        angles[5] += 2 * pi * np.round((self._last[5] - angles[5]) / (2 * pi))
        if abs(angles[5]) > _HIGHEST[5]:
            angles[5] -= np.sign(angles[5]) * 2 * pi
        return self._accepted(angles, position)

    def _accepted(self, angles: Array, position: Array) -> Array | None:
        """Return joint angles if they reach a position and the planner accepts them."""
        near = np.abs(self.arm.pose(angles)[0] - position).max() < _CLOSE
        return angles if near and self._fits(angles) else None

    def _fits(self, angles: Array) -> bool:
        """Return whether the planner accepts all postures (..., joint)."""
        return bool(np.all((angles > _LOWEST) & (angles < _HIGHEST)))
