"""Task of the `ur5` cell: pick a box, carry it through the air, place it elsewhere."""

from dataclasses import dataclass
from math import cos, pi, sin
from typing import Any

import numpy as np
import numpy.typing as npt

from lipfault.cells.arm import Arm
from lipfault.cells.dress import compile_scene
from lipfault.cells.engine import load_mujoco
from lipfault.cells.look import Look
from lipfault.cells.motion import hold, plan
from lipfault.cells.pick_place import STROKE, Box, build
from lipfault.cells.poses import pointing_down
from lipfault.cells.sensors import TOOL_M
from lipfault.cells.ur5 import UR5

Array = npt.NDArray[np.float64]

# Bounds of joints 2 to 5 in the air, rad: elbow up, wrist away from its singularity.
_LOWEST = np.array([-2.2, 0.3, -3.0, -2.4])
_HIGHEST = np.array([-0.7, 2.6, -0.5, -0.7])

# Gravity as in MuJoCo's default, m/s².
_GRAVITY = 9.81

# Position loop of the fingers: stiffness, N/m, and damping, N s/m. Assumed.
_FINGER_STIFFNESS, _FINGER_DAMPING = 6000.0, 120.0

# Smallest distance between the centres of two boxes, m: room for box and open gripper.
_CLEARANCE = 0.16

# Opening of a finger beyond the box before the grip, and target behind its face in the grip, m.
_MARGIN = 0.012


@dataclass(frozen=True)
class _Move:
    """An element of the plan.

    Args:
        points: (point, joint) waypoints, rad; a single one is a pause.
        opening: Target position of each finger, m.
        carried: Index of the box in the gripper, -1 for none.
        pause: Duration of a pause, s.
    """

    points: Array
    opening: float
    carried: int
    pause: float


class Sorting:
    """One episode of the cell: state, plan and controller.

    Args:
        random: Generator of the boxes, targets, speeds and loads.
        look: Appearance; `None` for that of the shipped recordings.

    Attributes:
        model: Compiled MuJoCo model.
        data: State of the model.
        boxes: The boxes.
        arm: The arm.
        pace: Mean share of the joint speed limits.
        grip: Largest force of a finger, N.
    """

    def __init__(self, random: np.random.Generator, look: Look | None = None) -> None:
        """Draw the episode and set the initial state."""
        self._random = random
        mujoco = load_mujoco()
        self.boxes = _draw_boxes(random)
        self.model = compile_scene(build(self.boxes), look, UR5.reach + TOOL_M)
        self.data = mujoco.MjData(self.model)
        self.arm = Arm(self.model, UR5, 'arm', 'tool')
        self.pace = float(random.uniform(0.4, 0.9))
        self.grip = float(random.uniform(70.0, 140.0))
        self._finger = self.model.joint('left').qposadr[0], self.model.joint('left').dofadr[0]
        self._motor = self.model.actuator('gripper').id
        self._opening, self._carried = STROKE, -1
        self._place_boxes()
        # Posture at the end of the plan so far, rad.
        self._last = np.array(UR5.home)
        self.data.qpos[self.arm.qpos] = self._draw_posture()
        for side in ('left', 'right'):
            self.data.qpos[self.model.joint(side).qposadr[0]] = STROKE
        self._motion = hold(self._last, 0.0, 0.02)
        self._queue: list[_Move] = []

    @property
    def parameters(self) -> dict[str, float | str]:
        """Values drawn for the episode."""
        loads = {f'load{i}_kg': box.mass for i, box in enumerate(self.boxes)}
        return {'pace': self.pace, 'grip_n': self.grip, **loads}

    def control(self) -> None:
        """Set all motors for the next step; between `mj_step1` and `mj_step2`."""
        time = float(self.data.time)
        if time >= self._motion.end:
            self._start_next(time)
        load = np.zeros(3)
        # The weight of the box is compensated, its inertia is not.
        if self._carried >= 0:
            load[2] = _GRAVITY * self.boxes[self._carried].mass
        self.arm.track(self.data, *self._motion.at(time), load)
        position, speed = self.data.qpos[self._finger[0]], self.data.qvel[self._finger[1]]
        force = _FINGER_STIFFNESS * (self._opening - position) - _FINGER_DAMPING * speed
        # One motor drives both fingers through the gear.
        self.data.ctrl[self._motor] = 2 * np.clip(force, -self.grip, self.grip)

    def measure(self, forces: Array, sensors: Array) -> dict[str, Array]:
        """Return the true values of all channels now.

        Args:
            forces: (motor,) mean motor forces since the last sample, N m or N.
            sensors: Ignored: the scene has no MuJoCo sensors.

        Returns:
            (channel,) values of `kinematics`.
        """
        opening = 2 * self.data.qpos[self._finger[0]]
        arm = self.arm.measure(self.data, forces)
        return {'kinematics': np.array([*arm, opening, -0.5 * forces[self._motor]])}

    def _place_boxes(self) -> None:
        """Place the boxes on the table without overlap."""
        taken: list[Array] = []
        for index, box in enumerate(self.boxes):
            taken.append(self._draw_spot(taken))
            yaw = self._random.uniform(-pi, pi)
            # 0.1 mm above the table: no initial penetration.
            self._box_pose(index)[:] = [
                *taken[-1], box.half[2] + 1e-4, cos(yaw / 2), 0.0, 0.0, sin(yaw / 2),
            ]  # fmt: skip

    def _box_pose(self, index: int) -> Any:  # noqa: ANN401
        """Return a view of a box's position and quaternion (7,)."""
        address = self.model.joint(f'box{index}').qposadr[0]
        return self.data.qpos[address : address + 7]

    def _draw_spot(self, taken: list[Array]) -> Array:
        """Draw a position (2,) in the reachable sector, 0.16 m away from the taken ones."""
        while True:
            radius, angle = self._random.uniform(0.34, 0.65), self._random.uniform(-1.1, 1.1)
            spot = radius * np.array([cos(angle), sin(angle)])
            if all(np.linalg.norm(spot - other) > _CLEARANCE for other in taken):
                return spot

    def _draw_posture(self) -> Array:
        """Draw a tilted posture in the air that turns the hand by less than 1.5 rad.

        The plan ends there afterwards.
        """
        while True:
            position = np.array([*self._draw_spot([]), self._random.uniform(0.2, 0.5)])
            _, frame = self.arm.pose(self._last)
            yaw = float(np.arctan2(frame[1, 0], frame[0, 0])) + self._random.uniform(-1.5, 1.5)
            tilt, about = self._random.uniform((0.0, -pi), (0.5, pi))
            angles = self._solve(position, pointing_down(yaw, tilt, about), 2 * pi)
            if np.all((angles[1:5] > _LOWEST) & (angles[1:5] < _HIGHEST)):
                self._last = angles
                return angles

    def _reach(self, position: Array, rotation: Array, turn: float = 2 * pi) -> Array:
        """Return the joint angles of a pose; the plan ends there afterwards.

        Args:
            position: Tool centre point (3,), m.
            rotation: Tool frame (3, 3).
            turn: Rotation of the last joint that gives an equivalent pose, rad; π for a symmetric
                grip.
        """
        self._last = self._solve(position, rotation, turn)
        return self._last

    def _solve(self, position: Array, rotation: Array, turn: float) -> Array:
        """Return the joint angles of a pose, elbow up, with the least turn of the last joint."""
        start = np.array(UR5.home)
        start[0] = np.arctan2(position[1], position[0])
        angles = self.arm.solve(position, rotation, start)
        angles[5] += turn * np.round((self._last[5] - angles[5]) / turn)
        # Keep half a turn away from the limits of ±2π.
        if abs(angles[5]) > 1.5 * pi:
            angles[5] -= np.sign(angles[5]) * 2 * pi
        return angles

    def _start_next(self, time: float) -> None:
        """Start the next element of the plan; plan another cycle if none is left."""
        if not self._queue:
            self._plan_cycle()
        move = self._queue.pop(0)
        self._opening, self._carried = move.opening, move.carried
        if len(move.points) == 1:
            self._motion = hold(move.points[0], time, move.pause)
        else:
            pace = min(self.pace * float(self._random.uniform(0.8, 1.2)), 0.95)
            self._motion = plan(move.points, self.arm.speed, time, pace)

    def _plan_cycle(self) -> None:
        """Queue the moves that fetch a box and place it elsewhere."""
        index = int(self._random.integers(len(self.boxes)))
        half = self.boxes[index].half
        x, y, z, w, _, _, s = self._box_pose(index)
        yaw = 2 * float(np.arctan2(s, w))
        others = [self._box_pose(i)[:2].copy() for i in range(len(self.boxes)) if i != index]
        opened, closed = min(half[0] + _MARGIN, STROKE), max(half[0] - _MARGIN, 0.0)
        # Grip above the centre of mass: the box hangs stably.
        fetch = self._waypoints(np.array([x, y, z + 0.3 * half[2]]), yaw)
        turned = yaw + float(self._random.uniform(-pi / 2, pi / 2))
        spot = self._draw_spot(others)
        carry = self._waypoints(np.array([*spot, z + 0.3 * half[2] + 0.001]), turned)
        self._queue = [
            _Move(fetch, opened, -1, 0.0),
            _Move(fetch[-1:], closed, -1, 0.14),
            _Move(carry, closed, index, 0.0),
            _Move(carry[-1:], opened, -1, 0.1),
        ]

    def _waypoints(self, goal: Array, yaw: float) -> Array:
        """Return waypoints (point, joint): up from here, through the air, above the goal, goal."""
        start = self._last
        now, frame = self.arm.pose(start)
        rise, sink = self._random.uniform(0.07, 0.18, size=2)
        points = [start, self._reach(_above(now, rise), frame)]
        for _ in range(int(self._random.integers(1, 3))):
            points.append(self._draw_posture())
        frame = pointing_down(yaw)
        points.append(self._reach(_above(goal, sink), frame, turn=pi))
        points.append(self._reach(goal, self.arm.pose(self._last)[1]))
        return np.stack(points)


def _above(point: Array, height: float) -> Array:
    """Return the point (3,) raised by a height, m."""
    raised: Array = point + np.array([0.0, 0.0, height])
    return raised


def _draw_boxes(random: np.random.Generator) -> list[Box]:
    """Draw two or three boxes of different size (m) and mass (kg)."""
    colours = ('carton', 'slate', 'brick')
    boxes = []
    for colour in colours[: int(random.integers(2, 4))]:
        width, length, height = random.uniform((0.018, 0.025, 0.035), (0.03, 0.045, 0.055))
        boxes.append(Box((width, length, height), float(random.uniform(0.2, 2.5)), colour))
    return boxes
