"""An arm inside a compiled scene: inverse kinematics and computed-torque control."""

from typing import Any

import numpy as np
import numpy.typing as npt

from lipfault.cells.design import ArmDesign
from lipfault.cells.engine import load_mujoco

Array = npt.NDArray[np.float64]


class Arm:
    """Handles of one arm in a compiled model, and the mathematics that needs only them.

    Args:
        model: Compiled MuJoCo model.
        design: Tables the arm was built from.
        name: Prefix of the arm's names in the scene.
        site: Name of the tool centre point.

    Attributes:
        qpos: (joint,) addresses of the joint angles in `qpos`.
        dofs: (joint,) addresses of the joint speeds in `qvel`.
        motors: (joint,) indices of the motors.
    """

    def __init__(self, model: Any, design: ArmDesign, name: str, site: str) -> None:  # noqa: ANN401
        """Look the arm's joints, motors and tool up by name."""
        self.model = model
        self.design = design
        joints = [model.joint(f'{name}_joint{i + 1}') for i in range(len(design.links))]
        self.qpos = np.array([joint.qposadr[0] for joint in joints])
        self.dofs = np.array([joint.dofadr[0] for joint in joints])
        self.motors = np.array([model.actuator(joint.name).id for joint in joints])
        self.site: int = model.site(site).id
        self.low = np.array([link.low for link in design.links])
        self.high = np.array([link.high for link in design.links])
        self.speed = np.array([link.speed for link in design.links])
        self.torque = np.array([link.torque for link in design.links])
        self._mujoco = load_mujoco()
        self._scratch = self._mujoco.MjData(model)

    def pose(self, angles: Array) -> tuple[Array, Array]:
        """Tool position (3,), m, and rotation (3, 3) at joint angles (joint,), rad."""
        data = self._scratch
        data.qpos[self.qpos] = angles
        self._mujoco.mj_kinematics(self.model, data)
        return data.site_xpos[self.site].copy(), data.site_xmat[self.site].reshape(3, 3).copy()

    def touches(self, angles: Array) -> bool:
        """Whether any solid part of the scene touches another at joint angles (joint,), rad.

        Everything but the arm is where the scene's tables put it.
        """
        self._scratch.qpos[self.qpos] = angles
        self._mujoco.mj_fwdPosition(self.model, self._scratch)
        return bool(self._scratch.ncon > 0)

    def solve(self, position: Array, rotation: Array, start: Array, steps: int = 100) -> Array:
        """Joint angles (joint,) that bring the tool to a pose; as close as damping and limits let.

        Damped least squares from `start`, whose branch (elbow up or down) is kept.

        Args:
            position: Tool centre point (3,), m, world frame.
            rotation: Tool frame (3, 3), world frame.
            start: Joint angles (joint,) to start from, rad.
            steps: Largest number of iterations.
        """
        angles = start.copy()
        for _ in range(steps):
            now, frame = self.pose(angles)
            turn = frame @ _rotation_vector(frame.T @ rotation)
            error = np.concatenate([position - now, turn])
            if np.abs(error).max() < 1e-6:
                break
            jacobian = self._jacobian()
            damping = 1e-6 + 1e-2 * min(1.0, float(error @ error))
            gram = jacobian @ jacobian.T + damping * np.eye(6)
            step = jacobian.T @ np.linalg.solve(gram, error)
            angles = np.clip(angles + np.clip(step, -0.3, 0.3), self.low, self.high)
        return angles

    def _jacobian(self) -> Array:
        """(6, joint) Jacobian of the tool at the scratch posture."""
        self._mujoco.mj_comPos(self.model, self._scratch)
        linear, angular = np.zeros((2, 3, self.model.nv))
        self._mujoco.mj_jacSite(self.model, self._scratch, linear, angular, self.site)
        return np.concatenate([linear[:, self.dofs], angular[:, self.dofs]])

    def measure(self, data: Any, forces: Array) -> Array:  # noqa: ANN401
        """True values of the channels of `arm_channels`, (33,).

        Args:
            data: State of the scene.
            forces: (motor,) mean motor forces, N m.
        """
        linear, angular = np.zeros((2, 3, self.model.nv))
        self._mujoco.mj_jacSite(self.model, data, linear, angular, self.site)
        rotation = data.site_xmat[self.site].reshape(3, 3)
        return np.concatenate(
            [
                data.qpos[self.qpos], data.qvel[self.dofs], forces[self.motors],
                data.site_xpos[self.site], rotation[:, 0], rotation[:, 1],
                linear @ data.qvel, angular @ data.qvel,
            ]
        )  # fmt: skip

    def track(
        self, data: Any, angles: Array, speeds: Array, accelerations: Array, wrench: Array  # noqa: ANN401
    ) -> None:  # fmt: skip
        """Set the motor torques that follow a joint trajectory: computed torque, clipped.

        M (q̈* + k_p e + k_d ė) + bias + viscous friction + Jᵀ wrench, with gains of a 6 Hz loop.

        Args:
            data: State after `mj_step1`.
            angles: Wanted angles (joint,), rad.
            speeds: Wanted speeds (joint,), rad/s.
            accelerations: Wanted accelerations (joint,), rad/s².
            wrench: Force (3,), N, that the tool is known to exert on its load, world frame.
        """
        wanted = np.zeros(self.model.nv)
        wanted[self.dofs] = (
            accelerations
            + _STIFFNESS**2 * (angles - data.qpos[self.qpos])
            + 2 * _STIFFNESS * (speeds - data.qvel[self.dofs])
        )
        torque = np.zeros(self.model.nv)
        self._mujoco.mj_mulM(self.model, data, torque, wanted)
        linear = np.zeros((3, self.model.nv))
        self._mujoco.mj_jacSite(self.model, data, linear, None, self.site)
        torque += data.qfrc_bias - data.qfrc_passive + linear.T @ wrench
        data.ctrl[self.motors] = np.clip(torque[self.dofs], -self.torque, self.torque)


_STIFFNESS = 40.0
"""Natural frequency of the critically damped position loop, rad/s."""


def _rotation_vector(rotation: Array) -> Array:
    """Axis times angle (3,) of a rotation (3, 3), for angles below π."""
    axis = 0.5 * np.array(
        [
            rotation[2, 1] - rotation[1, 2],
            rotation[0, 2] - rotation[2, 0],
            rotation[1, 0] - rotation[0, 1],
        ]
    )
    sine = float(np.linalg.norm(axis))
    if sine < 1e-12:
        return axis
    angle = float(np.arctan2(sine, (np.trace(rotation) - 1) / 2))
    return axis * (angle / sine)
