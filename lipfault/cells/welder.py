"""One welding arm at work: fly to a seam, weld a pass, fly to the next."""

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
_LOWEST = np.array([-1.9, -1.0, -1.8, -2.8, -1.9, -5.0])
_HIGHEST = np.array([1.9, 1.6, 0.9, 2.8, 1.9, 5.0])
"""Postures the planner accepts, rad: elbow up, clear of the limits."""


def channels() -> list[Channel]:
    """The channels of a welding arm's kinematics: the arm's own and the power source's."""
    return [
        *arm_channels(IRB1600),
        Channel('weld_current', 'A', -10.0, 400.0, 2.0, 1.0),
        Channel('weld_voltage', 'V', -2.0, 50.0, 0.25, 2**-3),
        Channel('wire_feed', 'm/min', -1.0, 20.0, 0.05, 2**-5),
    ]


def wrench_channels() -> list[Channel]:
    """The channels of a wrist force-torque sensor of the ±400 N class."""
    return [
        *axes('xyz', 'N', 400.0, 0.4, 2**-2, 'force'),
        *axes('xyz', 'N m', 40.0, 0.04, 2**-5, 'torque'),
    ]


_ATTEMPTS = 100
"""Passes drawn before the arm flies elsewhere to try again."""
_SWING = 0.9
"""How far an arm swings aside between passes, rad."""


class Welder:
    """State, plan and controller of one arm for one episode.

    Args:
        model: Compiled scene.
        data: Its state; the arm is put into its first posture.
        random: Source of passes, ways and speeds.
        name: The arm's name in the scene.
        station: Where it stands.
        seams: What it may weld.
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
        """Draw the arm's speed and put it into a posture in the air."""
        self._model, self._data, self._random = model, data, random
        self._station, self._seams = station, seams
        self.arm = Arm(model, IRB1600, name, f'{name}_tool')
        self.pace = float(random.uniform(0.35, 0.8))
        self._arc = model.material(f'{name}_arc').id
        self._wire = model.joint(f'{name}_wire').qposadr[0]
        self._feed = 0.0
        self._queue: list[tuple[Array, Pass | None]] = []
        self._tail, self._leave = np.array(IRB1600.home), list[Array]()
        self._tail = self._fly()
        data.qpos[self.arm.qpos] = self._tail
        self._motion = plan(np.stack([self._tail, self._fly()]), self.arm.speed, 0.0, self.pace)
        self._tail = self._motion.points[-1]

    def control(self) -> None:
        """Set the arm's motors for the coming step; between `mj_step1` and `mj_step2`."""
        time = float(self._data.time)
        if time >= self._motion.end:
            self._start_next(time)
        self.arm.track(self._data, *self._motion.at(time), np.zeros(3))

    def measure(self, forces: Array) -> Array:
        """True values of `channels`; see `lipfault.cells.run.Task`."""
        return np.concatenate([self.arm.measure(self._data, forces), self._source()])

    def _source(self) -> Array:
        """Current, A, voltage, V, and wire feed, m/min, of the power source.

        A constant-voltage source: the current grows with the feed and falls with the free length
        of the wire (through-arc sensing lives on that); U = 14 V + 0.05 Ω I (EN 60974-7).
        """
        if self._feed == 0.0:
            return np.zeros(3)
        squeeze = 1e3 * float(self._data.qpos[self._wire])
        current = 18.0 * self._feed * (1.0 - 0.04 * squeeze)
        return np.array([current, 14.0 + 0.05 * current, self._feed])

    def _start_next(self, time: float) -> None:
        """Start the next element of the plan, planning another pass when none is left."""
        if not self._queue:
            self._plan_pass()
        points, weld = self._queue.pop(0)
        self._feed = 0.0
        if weld is None:
            pace = min(self.pace * float(self._random.uniform(0.8, 1.2)), 0.95)
            self._motion = plan(points, self.arm.speed, time, pace)
        else:
            self._motion = follow(points, time, KNOT_S)
            # Faster travel needs more wire for the same throat.
            self._feed = 3.0 + 110.0 * weld.speed
        self._model.mat_rgba[self._arc, 3] = float(self._feed > 0.0)

    def _plan_pass(self) -> None:
        """Queue a flight and the pass it leads to, or the flight alone when none is found."""
        for _ in range(_ATTEMPTS):
            weld = self._draw_pass()
            track = self._track(weld)
            if track is None:
                continue
            approach, leave = self._before(track[0]), self._before(track[-1])
            if approach is None or leave is None:
                continue
            flight = self._flight([approach, track[0]])
            if flight is not None:
                self._queue = [(flight, None), (track, weld)]
                self._tail, self._leave = track[-1], [leave]
                return
        points = np.stack([self._tail, *self._leave, self._fly()])
        self._queue = [(points, None)]
        self._tail, self._leave = points[-1], []

    def _flight(self, goal: list[Array]) -> Array | None:
        """Way-points (point, joint) from here to the last two given, if nothing is hit."""
        through = [self._fly() for _ in range(int(self._random.integers(1, 4)))]
        points = np.stack([self._tail, *self._leave, *through, *goal])
        motion = plan(points, self.arm.speed, 0.0, self.pace)
        # The first and the last piece run along the wire, in touch with the seam.
        instants = np.linspace(motion.times[1], motion.times[-2], 20 * len(points))
        hit = any(self.arm.touches(motion.at(float(instant))[0]) for instant in instants)
        return None if hit else points

    def _before(self, angles: Array) -> Array | None:
        """Joint angles of a point 9 to 14 cm back along the wire, if within reach."""
        point, frame = self.arm.pose(angles)
        point = point - frame[:, 2] * self._random.uniform(0.09, 0.14)
        before = self.arm.solve(point, frame, angles)
        near = np.abs(self.arm.pose(before)[0] - point).max() < 1e-4
        return before if near and self._fits(before) else None

    def _draw_pass(self) -> Pass:
        """A pass over a random piece of a random seam."""
        random = self._random
        seam = self._seams[int(random.integers(len(self._seams)))]
        length = min(random.uniform(0.06, 0.2), seam.length)
        start = random.uniform(-seam.length / 2, seam.length / 2 - length)
        ends = (start, start + length) if random.random() < 0.5 else (start + length, start)
        x, y, _ = seam.middle
        towards_base = np.arctan2(self._station.position[1] - y, self._station.position[0] - x)
        return Pass(
            seam, start=float(ends[0]), end=float(ends[1]),
            speed=float(random.uniform(0.03, 0.08)),
            lean=float(random.uniform(0.5, 0.95)), push=float(random.uniform(-0.25, 0.25)),
            spin=float(towards_base + random.uniform(-0.7, 0.7)),
            weave=float(random.choice([0.0, 1.0]) * random.uniform(0.001, 0.004)),
            weave_hz=float(random.uniform(1.0, 2.5)), press=float(random.uniform(0.001, 0.004)),
        )  # fmt: skip

    def _track(self, weld: Pass) -> Array | None:
        """Joint angles (knot, joint) along the pass, if all are within reach."""
        ends = [self._reach(*weld.pose(share * weld.duration)) for share in (0.0, 0.5, 1.0)]
        if ends[0] is None or ends[1] is None or ends[2] is None:
            return None
        angles = [ends[0]]
        for knot in range(1, round(weld.duration / KNOT_S) + 1):
            angles.append(self.arm.solve(*weld.pose(knot * KNOT_S), angles[-1]))
        track = np.stack(angles)
        calm = np.abs(np.diff(track, axis=0)).max() < 1.0 * KNOT_S
        return track if calm and self._fits(track) else None

    def _fly(self) -> Array:
        """Joint angles of a random posture in the air above the work piece and beside it."""
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
        """Joint angles for a torch pose, elbow up, if within reach."""
        start = np.array(IRB1600.home)
        away = position[:2] - self._station.position
        start[0] = np.arctan2(away[1], away[0]) - self._station.yaw
        start[0] -= 2 * pi * np.round(start[0] / (2 * pi))
        angles = self.arm.solve(position, rotation, start)
        angles[5] += 2 * pi * np.round((self._tail[5] - angles[5]) / (2 * pi))
        if abs(angles[5]) > _HIGHEST[5]:
            angles[5] -= np.sign(angles[5]) * 2 * pi
        near = np.abs(self.arm.pose(angles)[0] - position).max() < 1e-4
        return angles if near and self._fits(angles) else None

    def _fits(self, angles: Array) -> bool:
        """Whether postures (..., joint) are all among those the planner accepts."""
        return bool(np.all((angles > _LOWEST) & (angles < _HIGHEST)))
