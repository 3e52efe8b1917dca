"""Run one episode of a cell: physics, sensors, camera."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lipfault.cells.camera import CAMERA_HZ, Renderer
from lipfault.cells.engine import load_mujoco
from lipfault.cells.sensors import SERIES_HZ

Array = npt.NDArray[np.float64]

WARM_UP_S = 0.5
"""Time simulated before the recording starts, s: the recording starts in motion."""


class Task(Protocol):
    """Interface of one episode of a cell."""

    model: Any
    data: Any

    @property
    def parameters(self) -> dict[str, float | str]:
        """Values drawn for the episode."""

    def control(self) -> None:
        """Set all motors for the next step."""

    def measure(self, forces: Array, sensors: Array) -> dict[str, Array]:
        """Return the true values of each series at the current time.

        Args:
            forces: (motor,) mean motor forces since the last sample, N m or N.
            sensors: (sensor,) mean values of MuJoCo's sensors since the last sample.

        Returns:
            (channel,) values by series.
        """


def run(task: Task, seconds: float, size: int) -> tuple[dict[str, Array], npt.NDArray[np.float32]]:
    """Simulate an episode without sensor noise.

    Args:
        task: A fresh episode.
        seconds: Length of the recording, s.
        size: Height and width of the frames, pixels.

    Returns:
        Series (step, channel) by name, and frames (frame, height, width, 3) float32, 0 to 255.
    """
    steps = round(seconds * SERIES_HZ)
    every = round(SERIES_HZ / CAMERA_HZ)
    samples: list[dict[str, Array]] = []
    frames = []
    with Renderer(task.model, size) as renderer:
        for _ in range(round(WARM_UP_S * SERIES_HZ)):
            advance(task)
        for step in range(steps):
            samples.append(task.measure(*advance(task)))
            # Frame k and step `every` k are the same time.
            if step % every == 0:
                frames.append(renderer.render(task.data))
    truth = {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}
    return truth, np.stack(frames)


def advance(task: Task) -> tuple[Array, Array]:
    """Simulate until the next sample.

    Args:
        task: The episode.

    Returns:
        Means of the motor forces (motor,) and of the sensors (sensor,) since the last sample.
    """
    mujoco = load_mujoco()
    substeps = round(1 / (SERIES_HZ * task.model.opt.timestep))
    forces: Array = np.zeros(task.model.nu)
    sensors: Array = np.zeros(task.model.nsensordata)
    for _ in range(substeps):
        # In two halves: the controller needs the positions and velocities of this step.
        mujoco.mj_step1(task.model, task.data)
        task.control()
        mujoco.mj_step2(task.model, task.data)
        forces += task.data.actuator_force
        sensors += task.data.sensordata
    # The step has moved the joints; poses and Jacobians are of the positions before it.
    mujoco.mj_kinematics(task.model, task.data)
    mujoco.mj_comPos(task.model, task.data)
    return forces / substeps, sensors / substeps
