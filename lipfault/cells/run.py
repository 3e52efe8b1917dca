"""Running one episode of a cell: physics, sensors, camera."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lipfault.cells.camera import CAMERA_HZ, Renderer
from lipfault.cells.engine import load_mujoco
from lipfault.cells.sensors import SERIES_HZ

Array = npt.NDArray[np.float64]

WARM_UP_S = 0.5
"""Simulated before the recording starts, so that it starts in motion, s."""


class Task(Protocol):
    """What a cell does in one episode."""

    model: Any
    data: Any

    @property
    def parameters(self) -> dict[str, float | str]:
        """What was drawn for the episode."""

    def control(self) -> None:
        """Set all motors for the coming step."""

    def measure(self, forces: Array, sensors: Array) -> dict[str, Array]:
        """True values of each series now.

        Args:
            forces: (motor,) mean motor forces since the last sample, N m or N.
            sensors: Mean of MuJoCo's sensors since the last sample.
        """


def run(task: Task, seconds: float, size: int) -> tuple[dict[str, Array], npt.NDArray[np.float32]]:
    """Noise-free signals of an episode: series (step, channel) and pictures (frame, h, w, 3).

    Args:
        task: A fresh episode.
        seconds: Length of the recording, s.
        size: Height and width of the pictures, pixels.
    """
    steps = round(seconds * SERIES_HZ)
    every = round(SERIES_HZ / CAMERA_HZ)
    samples: list[dict[str, Array]] = []
    pictures = []
    with Renderer(task.model, size) as renderer:
        for _ in range(round(WARM_UP_S * SERIES_HZ)):
            advance(task)
        for step in range(steps):
            samples.append(task.measure(*advance(task)))
            if step % every == 0:
                pictures.append(renderer.render(task.data))
    truth = {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}
    return truth, np.stack(pictures)


def advance(task: Task) -> tuple[Array, Array]:
    """Simulate to the next sample; means of the motor forces and of the sensors on the way."""
    mujoco = load_mujoco()
    substeps = round(1 / (SERIES_HZ * task.model.opt.timestep))
    forces: Array = np.zeros(task.model.nu)
    sensors: Array = np.zeros(task.model.nsensordata)
    for _ in range(substeps):
        mujoco.mj_step1(task.model, task.data)
        task.control()
        mujoco.mj_step2(task.model, task.data)
        forces += task.data.actuator_force
        sensors += task.data.sensordata
    mujoco.mj_kinematics(task.model, task.data)
    mujoco.mj_comPos(task.model, task.data)
    return forces / substeps, sensors / substeps
