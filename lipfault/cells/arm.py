"""An arm inside a compiled scene: inverse kinematics and computed-torque control."""

from typing import Any

import numpy as np
import numpy.typing as npt

from lipfault.cells.design import ArmDesign
from lipfault.cells.engine import load_mujoco

Array = npt.NDArray[np.float64]

# Natural frequency of the critically damped position loop, rad/s: 6.4 Hz, at physics of 500 Hz.
_STIFFNESS = 40.0

# Inverse kinematics. Largest accepted error, m and rad; constant part of the damping and its part
# that grows with the squared error; largest step of a joint, rad.
_CLOSE = 1e-6
_DAMPING, _DAMPING_PER_ERROR = 1e-6, 1e-2
_STEP = 0.3

# Sine of a rotation's angle below which axis times angle equals axis times sine.
_SMALL_SINE = 1e-12


class Arm:
    """Kinematics, sensing and control of one arm in a compiled model.

    Args:
        model: Compiled MuJoCo model.
        design: Tables from which the arm was built.
        name: Prefix of the arm's names in the scene.
        site: Name of the tool centre point.

    Attributes:
        qpos: (joint,) addresses of the joint angles in `qpos`.
        dofs: (joint,) addresses of the joint speeds in `qvel`.
        motors: (joint,) indices of the motors.
        low: (joint,) smallest joint angles, rad.
        high: (joint,) largest joint angles, rad.
        speed: (joint,) largest joint speeds, rad/s.
        torque: (joint,) largest joint torques, N m.
    """

    def __init__(self, model: Any, design: ArmDesign, name: str, site: str) -> None:  # noqa: ANN401
        """Find the arm's joints, motors and tool by name."""
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
        # Planning must not disturb the state of the simulation.
        self._scratch = self._mujoco.MjData(model)

    def pose(self, angles: Array) -> tuple[Array, Array]:
        """Compute the tool pose.

        Args:
            angles: Joint angles (joint,), rad.

        Returns:
            Position (3,), m, and rotation (3, 3), world frame.
        """
        data = self._scratch
        data.qpos[self.qpos] = angles
        self._mujoco.mj_kinematics(self.model, data)
        return data.site_xpos[self.site].copy(), data.site_xmat[self.site].reshape(3, 3).copy()

    def in_contact(self, angles: Array) -> bool:
        """Test whether any solid part of the scene touches another.

        Everything but the arm is at its initial position.

        Args:
            angles: Joint angles (joint,), rad.

        Returns:
            Whether there is a contact.
        """
        self._scratch.qpos[self.qpos] = angles
        self._mujoco.mj_fwdPosition(self.model, self._scratch)
        return bool(self._scratch.ncon > 0)

    def solve(self, position: Array, rotation: Array, start: Array, steps: int = 100) -> Array:
        """Solve the inverse kinematics by damped least squares, within the joint limits.

        The solution stays in the branch of `start` (elbow up or down). A pose out of reach is
        approached as closely as damping and limits allow.

        Args:
            position: Tool centre point (3,), m, world frame.
            rotation: Tool frame (3, 3), world frame.
            start: Initial joint angles (joint,), rad.
            steps: Largest number of iterations.

        Returns:
            Joint angles (joint,), rad.

        Reference:
            Wampler, "Manipulator inverse kinematic solutions based on vector formulations and
            damped least-squares methods", IEEE Transactions on Systems, Man, and Cybernetics 1986,
            https://doi.org/10.1109/TSMC.1986.289285; damping by the squared error: Sugihara,
            "Solvability-unconcerned inverse kinematics by the Levenberg-Marquardt method", IEEE
            Transactions on Robotics 2011, https://doi.org/10.1109/TRO.2011.2148230.
        """
        angles = start.copy()
        for _ in range(steps):
            now, frame = self.pose(angles)
            turn = frame @ _rotation_vector(frame.T @ rotation)
            error = np.concatenate([position - now, turn])  # (6,), m and rad
            if np.abs(error).max() < _CLOSE:
                break
            jacobian = self._jacobian()
            damping = _DAMPING + _DAMPING_PER_ERROR * min(1.0, float(error @ error))
            gram = jacobian @ jacobian.T + damping * np.eye(6)
            step = jacobian.T @ np.linalg.solve(gram, error)
            angles = np.clip(angles + np.clip(step, -_STEP, _STEP), self.low, self.high)
        return angles

    def _jacobian(self) -> Array:
        """Return the (6, joint) Jacobian of the tool at the scratch posture."""
        self._mujoco.mj_comPos(self.model, self._scratch)
        linear, angular = np.zeros((2, 3, self.model.nv))
        self._mujoco.mj_jacSite(self.model, self._scratch, linear, angular, self.site)
        return np.concatenate([linear[:, self.dofs], angular[:, self.dofs]])

    def measure(self, data: Any, forces: Array) -> Array:  # noqa: ANN401
        """Return the true values of the channels of `arm_channels`.

        Args:
            data: State of the scene.
            forces: (motor,) mean motor forces, N m.

        Returns:
            (33,) values in the units of the channels.
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

        The torques are M (q̈* + k_p e + k_d ė) + bias + viscous friction + Jᵀ f with the mass matrix
        M, the tracking error e, k_p = ω², k_d = 2 ω, ω = 40 rad/s and the payload force f.

        Args:
            data: State after `mj_step1`.
            angles: Desired angles (joint,), rad.
            speeds: Desired speeds (joint,), rad/s.
            accelerations: Desired accelerations (joint,), rad/s².
            wrench: Force (3,), N, that the tool exerts on its payload, world frame.
        """
        desired = np.zeros(self.model.nv)
        desired[self.dofs] = (
            accelerations
            + _STIFFNESS**2 * (angles - data.qpos[self.qpos])
            + 2 * _STIFFNESS * (speeds - data.qvel[self.dofs])
        )
        torque = np.zeros(self.model.nv)
        self._mujoco.mj_mulM(self.model, data, torque, desired)
        linear = np.zeros((3, self.model.nv))
        self._mujoco.mj_jacSite(self.model, data, linear, None, self.site)
        # Coulomb friction is a constraint of MuJoCo, not a passive force: it is not compensated.
        torque += data.qfrc_bias - data.qfrc_passive + linear.T @ wrench
        data.ctrl[self.motors] = np.clip(torque[self.dofs], -self.torque, self.torque)


def _rotation_vector(rotation: Array) -> Array:
    """Return axis times angle (3,) of a rotation (3, 3), for angles below π."""
    # The antisymmetric part of a rotation is its axis times the sine of its angle.
    axis = 0.5 * np.array(
        [
            rotation[2, 1] - rotation[1, 2],
            rotation[0, 2] - rotation[2, 0],
            rotation[1, 0] - rotation[0, 1],
        ]
    )
    sine = float(np.linalg.norm(axis))
    if sine < _SMALL_SINE:
        return axis
    angle = float(np.arctan2(sine, (np.trace(rotation) - 1) / 2))
    return axis * (angle / sine)
