"""Robot cells by name, and their simulation."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from lipfault.cells import pick_place, welder
from lipfault.cells.camera import RGB555, camera, expose, noise_of, through_lens
from lipfault.cells.engine import load_mujoco
from lipfault.cells.look import Look, draw_look, require_variety
from lipfault.cells.run import Task, run
from lipfault.cells.sensors import Channel, read, series
from lipfault.cells.sorting import Sorting
from lipfault.cells.welding import DualWelding, SingleWelding
from lipfault.data.episode import Episode
from lipfault.data.known_cells import with_sensors
from lipfault.errors import LipfaultError
from lipfault.modality import Modality

MIN_IMAGE_SIZE, MAX_IMAGE_SIZE = 16, 256
"""Height and width of the smallest and the largest frame, pixels."""

# Shortest episode, s: one frame at 10 Hz.
_MIN_EPISODE_S = 0.1


CAMERA_BITS = (RGB555, 8)
"""Supported bits of each colour of a camera."""


class TaskMaker(Protocol):
    """Interface of a cell's class of tasks."""

    def __call__(self, random: np.random.Generator, look: Look | None = None) -> Task:
        """Make the task of one episode.

        Args:
            random: Generator of everything but the appearance.
            look: Appearance; `None` for that of the shipped recordings.

        Returns:
            The task.
        """


@dataclass(frozen=True)
class Cell:
    """A robot cell.

    Args:
        name: Name of the cell, the prefix of its episodes' ids.
        summary: Description of the task in one line.
        camera_noise: Standard deviation of a camera pixel's error in [0, 1] at 5 bits and
            variety 0, measured against the noise-free frames at 64 pixels. It is below
            1/31/√12 = 0.0093, the error of quantization alone, since large faces of one colour
            stay clear of its steps.
        series: Channels of each series, by modality name.
        task: Class of the tasks.
    """

    name: str
    summary: str
    camera_noise: float
    series: Mapping[str, list[Channel]]
    task: TaskMaker

    def modalities(
        self, image_size: int = 64, *, variety: float = 0.0, camera_bits: int = RGB555
    ) -> list[Modality]:
        """Return the cell's modalities, camera first.

        Args:
            image_size: Height and width of a camera frame, pixels.
            variety: Variety of the appearance, 0 to 1.
            camera_bits: Bits of each colour of the camera.

        Returns:
            The modalities.
        """
        # Shaded faces are not clear of the steps of quantization.
        shipped = variety == 0 and camera_bits == RGB555
        noise = self.camera_noise if shipped else noise_of(camera_bits)
        return [
            camera(image_size, noise, camera_bits),
            *(
                with_sensors(series(name, channels), self.name)
                for name, channels in self.series.items()
            ),
        ]


CELLS: dict[str, Cell] = {
    cell.name: cell
    for cell in (
        Cell(
            'ur5', 'a UR5 picks boxes and places them elsewhere', 0.0040,
            {'kinematics': pick_place.channels()}, Sorting,
        ),
        Cell(
            'welding_single', 'an IRB 1600 welds a wall and two pipes onto a plate', 0.0043,
            {'kinematics': welder.channels(), 'wrench': welder.wrench_channels()}, SingleWelding,
        ),
        Cell(
            'welding_dual', 'two IRB 1600 weld a wall and a pipe each onto one plate', 0.0052,
            {
                'kinematics_left': welder.channels(),
                'kinematics_right': welder.channels(),
            }, DualWelding,
        ),
    )
}  # fmt: skip
"""All cells by name."""


def simulate(
    cell: str,
    episodes: int,
    seed: int,
    image_size: int = 64,
    episode_s: float = 20.0,
    *,
    variety: float = 0.0,
    camera_bits: int = RGB555,
) -> tuple[list[Modality], Iterator[Episode]]:
    """Return the modalities of a cell and an iterator that simulates its episodes.

    An episode is a function of (cell, seed, its index, image_size, episode_s, variety, camera_bits)
    alone: any subset in any order gives the same arrays on the same machine. Another OpenGL driver
    may round a pixel differently.

    Args:
        cell: A key of `CELLS`.
        episodes: Number of episodes.
        seed: Seed of the data set, not negative.
        image_size: Height and width of a camera frame, pixels, 16 to 256.
        episode_s: Length of an episode, s.
        variety: Variety of light, materials, clutter, camera pose and exposure between episodes: 0
            for the look of the shipped recordings, 1 for the full ranges.
        camera_bits: Bits of each colour, 5 or 8.

    Returns:
        The modalities, and the episodes, each simulated when the iterator reaches it.

    Raises:
        LipfaultError: If the cell is unknown, a number is out of its range, or MuJoCo is missing.
    """
    if episodes < 1 or seed < 0:
        raise LipfaultError(
            f'episodes must be at least 1 and seed not negative, got {episodes} and {seed}'
        )
    require_settings(cell, image_size, episode_s, variety, camera_bits)
    # A missing MuJoCo is reported here, not at the first episode.
    load_mujoco()
    one = partial(
        simulate_episode, cell, seed, image_size=image_size, episode_s=episode_s, variety=variety,
        camera_bits=camera_bits,
    )  # fmt: skip
    modalities = CELLS[cell].modalities(image_size, variety=variety, camera_bits=camera_bits)
    return modalities, map(one, range(episodes))


def require_settings(
    cell: str, image_size: int, episode_s: float, variety: float, camera_bits: int
) -> None:
    """Reject settings of `simulate` that are unknown or out of their range.

    Args:
        cell: Name of the cell.
        image_size: Height and width of a camera frame, pixels.
        episode_s: Length of an episode, s.
        variety: Variety of the appearance.
        camera_bits: Bits of each colour.

    Raises:
        LipfaultError: If a setting is wrong; names it and what is right.
    """
    if cell not in CELLS:
        raise LipfaultError(f'there is no cell {cell!r}; choose one of {", ".join(CELLS)}')
    if not MIN_IMAGE_SIZE <= image_size <= MAX_IMAGE_SIZE:
        raise LipfaultError(
            f'image_size must be {MIN_IMAGE_SIZE} to {MAX_IMAGE_SIZE}, got {image_size}'
        )
    if not episode_s >= _MIN_EPISODE_S:
        raise LipfaultError(f'episode_s must be at least {_MIN_EPISODE_S}, got {episode_s}')
    require_variety(variety)
    if camera_bits not in CAMERA_BITS:
        raise LipfaultError(f'camera_bits must be 5 or 8, got {camera_bits}')


def simulate_episode(
    cell: str,
    seed: int,
    index: int,
    *,
    image_size: int = 64,
    episode_s: float = 20.0,
    variety: float = 0.0,
    camera_bits: int = RGB555,
) -> Episode:
    """Simulate one episode of a data set, independent of the others.

    The series do not depend on `variety` and `camera_bits`.

    Args:
        cell: A key of `CELLS`.
        seed: Seed of the data set.
        index: Index of the episode, from 0.
        image_size: Height and width of a camera frame, pixels.
        episode_s: Length of the episode, s.
        variety: Variety of the appearance, 0 to 1.
        camera_bits: Bits of each colour, 5 or 8.

    Returns:
        The episode with sensor noise.

    Raises:
        LipfaultError: If MuJoCo is missing.
    """
    # Not `hash`: it differs between processes.
    root = np.random.SeedSequence([seed, index, zlib.crc32(cell.encode())])
    # A generator of its own for noise and appearance: neither changes the motion.
    plan, noise, appearance = (np.random.default_rng(child) for child in root.spawn(3))
    look = draw_look(appearance, variety)
    task = CELLS[cell].task(plan, look)
    truth, frames = run(task, episode_s, image_size)
    parameters = dict(task.parameters)
    if look is not None:
        frames = through_lens(frames, look)
        parameters |= look.parameters
    signals = {'camera': expose(frames, noise, camera_bits)}
    readings = {
        name: read(truth[name], channels, noise) for name, channels in CELLS[cell].series.items()
    }
    return Episode(f'{cell}-{index:04d}', {**signals, **readings}, parameters)
