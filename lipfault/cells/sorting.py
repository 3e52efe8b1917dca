"""The task of the `ur5` cell: pick a box, carry it through the air, place it elsewhere."""

import xml.etree.ElementTree as ET
from math import cos, pi, sin
from typing import Any

import numpy as np
import numpy.typing as npt

from lipfault.cells.arm import Arm
from lipfault.cells.engine import load_mujoco
from lipfault.cells.motion import hold, plan
from lipfault.cells.pick_place import STROKE, Box, build
from lipfault.cells.poses import pointing_down
from lipfault.cells.ur5 import UR5

Array = npt.NDArray[np.float64]


_LOWEST = np.array([-2.2, 0.3, -3.0, -2.4])
_HIGHEST = np.array([-0.7, 2.6, -0.5, -0.7])
"""Bounds of joints 2 to 5 in the air, rad: elbow up, wrist away from its singularity."""


class Sorting:
    """One episode of the cell: state, plan and controller.

    Args:
        random: Source of the boxes, targets, speeds and loads.

    Attributes:
        model: Compiled MuJoCo model.
        data: Its state.
    """

    def __init__(self, random: np.random.Generator) -> None:
        """Draw the episode and put everything in place."""
        self._random = random
        mujoco = load_mujoco()
        self.boxes = _draw_boxes(random)
        scene = ET.tostring(build(self.boxes), encoding='unicode')
        self.model = mujoco.MjModel.from_xml_string(scene)
        self.data = mujoco.MjData(self.model)
        self.arm = Arm(self.model, UR5, 'arm', 'tool')
        self.pace = float(random.uniform(0.4, 0.9))
        self.grip = float(random.uniform(70.0, 140.0))
        self._finger = self.model.joint('left').qposadr[0], self.model.joint('left').dofadr[0]
        self._motor = self.model.actuator('gripper').id
        self._opening = STROKE
        self._carried = -1
        self._lay_boxes()
        self._tail = np.array(UR5.home)
        self._fly()
        self.data.qpos[self.arm.qpos] = self._tail
        for side in ('left', 'right'):
            self.data.qpos[self.model.joint(side).qposadr[0]] = STROKE
        self._motion = hold(self._tail, 0.0, 0.02)
        self._queue: list[tuple[Array, float, int, float]] = []

    @property
    def parameters(self) -> dict[str, float | str]:
        """What was drawn for the episode."""
        loads = {f'load{i}_kg': box.mass for i, box in enumerate(self.boxes)}
        return {'pace': self.pace, 'grip_n': self.grip, **loads}

    def control(self) -> None:
        """Set all motors for the coming step; between `mj_step1` and `mj_step2`."""
        time = float(self.data.time)
        if time >= self._motion.end:
            self._start_next(time)
        load = np.zeros(3)
        if self._carried >= 0:
            load[2] = 9.81 * self.boxes[self._carried].mass
        self.arm.track(self.data, *self._motion.at(time), load)
        position, speed = self.data.qpos[self._finger[0]], self.data.qvel[self._finger[1]]
        force = 6000.0 * (self._opening - position) - 120.0 * speed
        self.data.ctrl[self._motor] = 2 * np.clip(force, -self.grip, self.grip)

    def measure(self, forces: Array, sensors: Array) -> dict[str, Array]:
        """True values of all channels now; see `lipfault.cells.run.Task`."""
        opening = 2 * self.data.qpos[self._finger[0]]
        arm = self.arm.measure(self.data, forces)
        return {'kinematics': np.array([*arm, opening, -0.5 * forces[self._motor]])}

    def _lay_boxes(self) -> None:
        """Lay the boxes on the table without overlap."""
        taken: list[Array] = []
        for index, box in enumerate(self.boxes):
            taken.append(self._free_spot(taken))
            yaw = self._random.uniform(-pi, pi)
            self._box_pose(index)[:] = [
                *taken[-1], box.half[2] + 1e-4, cos(yaw / 2), 0.0, 0.0, sin(yaw / 2),
            ]  # fmt: skip

    def _box_pose(self, index: int) -> Any:  # noqa: ANN401
        """View of a box's position and quaternion (7,)."""
        address = self.model.joint(f'box{index}').qposadr[0]
        return self.data.qpos[address : address + 7]

    def _free_spot(self, taken: list[Array]) -> Array:
        """A spot (2,) in the reachable sector, 0.16 m away from the taken ones."""
        while True:
            radius, angle = self._random.uniform(0.34, 0.65), self._random.uniform(-1.1, 1.1)
            spot = radius * np.array([cos(angle), sin(angle)])
            if all(np.linalg.norm(spot - other) > 0.16 for other in taken):
                return spot

    def _fly(self) -> Array:
        """Joint angles of a tilted pose in the air that turns the hand by less than 1.5 rad."""
        while True:
            position = np.array([*self._free_spot([]), self._random.uniform(0.2, 0.5)])
            _, frame = self.arm.pose(self._tail)
            yaw = float(np.arctan2(frame[1, 0], frame[0, 0])) + self._random.uniform(-1.5, 1.5)
            tilt, about = self._random.uniform((0.0, -pi), (0.5, pi))
            angles = self._solve(position, pointing_down(yaw, tilt, about), 2 * pi)
            if np.all((angles[1:5] > _LOWEST) & (angles[1:5] < _HIGHEST)):
                self._tail = angles
                return angles

    def _reach(self, position: Array, rotation: Array, turn: float = 2 * pi) -> Array:
        """Joint angles for a pose; the plan now ends there.

        Args:
            position: Tool centre point (3,), m.
            rotation: Tool frame (3, 3).
            turn: Turn of the last joint that changes nothing, rad; π for a symmetric grip.
        """
        self._tail = self._solve(position, rotation, turn)
        return self._tail

    def _solve(self, position: Array, rotation: Array, turn: float) -> Array:
        """Joint angles for a pose, elbow up, the last joint turned as little as can be."""
        start = np.array(UR5.home)
        start[0] = np.arctan2(position[1], position[0])
        angles = self.arm.solve(position, rotation, start)
        angles[5] += turn * np.round((self._tail[5] - angles[5]) / turn)
        if abs(angles[5]) > 1.5 * pi:
            angles[5] -= np.sign(angles[5]) * 2 * pi
        return angles

    def _start_next(self, time: float) -> None:
        """Start the next element of the plan, planning another cycle when none is left."""
        if not self._queue:
            self._plan_cycle()
        points, self._opening, self._carried, wait = self._queue.pop(0)
        if len(points) == 1:
            self._motion = hold(points[0], time, wait)
        else:
            pace = min(self.pace * float(self._random.uniform(0.8, 1.2)), 0.95)
            self._motion = plan(points, self.arm.speed, time, pace)

    def _plan_cycle(self) -> None:
        """Queue (way-points, opening, box carried, pause): fetch a box, place it elsewhere."""
        index = int(self._random.integers(len(self.boxes)))
        half = self.boxes[index].half
        x, y, z, w, _, _, s = self._box_pose(index)
        yaw = 2 * float(np.arctan2(s, w))
        others = [self._box_pose(i)[:2].copy() for i in range(len(self.boxes)) if i != index]
        wide, tight = min(half[0] + 0.012, STROKE), max(half[0] - 0.012, 0.0)
        fetch = self._way(np.array([x, y, z + 0.3 * half[2]]), yaw)
        turned = yaw + float(self._random.uniform(-pi / 2, pi / 2))
        spot = self._free_spot(others)
        carry = self._way(np.array([*spot, z + 0.3 * half[2] + 0.001]), turned)
        self._queue = [
            (fetch, wide, -1, 0.0),
            (fetch[-1:], tight, -1, 0.14),
            (carry, tight, index, 0.0),
            (carry[-1:], wide, -1, 0.1),
        ]

    def _way(self, goal: Array, yaw: float) -> Array:
        """Way-points (point, joint): up from here, through the air, above the goal, the goal."""
        start = self._tail
        now, frame = self.arm.pose(start)
        rise, sink = self._random.uniform(0.07, 0.18, size=2)
        points = [start, self._reach(_above(now, rise), frame)]
        for _ in range(int(self._random.integers(1, 3))):
            points.append(self._fly())
        frame = pointing_down(yaw)
        points.append(self._reach(_above(goal, sink), frame, turn=pi))
        points.append(self._reach(goal, self.arm.pose(self._tail)[1]))
        return np.stack(points)


def _above(point: Array, height: float) -> Array:
    """The point (3,) so much higher, m."""
    raised: Array = point + np.array([0.0, 0.0, height])
    return raised


def _draw_boxes(random: np.random.Generator) -> list[Box]:
    """Two or three boxes of different size and mass."""
    colours = ('carton', 'slate', 'brick')
    boxes = []
    for colour in colours[: int(random.integers(2, 4))]:
        width, length, height = random.uniform((0.018, 0.025, 0.035), (0.03, 0.045, 0.055))
        boxes.append(Box((width, length, height), float(random.uniform(0.2, 2.5)), colour))
    return boxes
