"""Robot cells by name, and their simulation."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from lipfault.cells import pick_place, welder
from lipfault.cells.camera import camera, expose
from lipfault.cells.engine import load_mujoco
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


@dataclass(frozen=True)
class Cell:
    """A robot cell.

    Args:
        name: Name of the cell, the prefix of its episodes' ids.
        summary: Description of the task in one line.
        camera_noise: Standard deviation of a camera pixel's error in [0, 1], measured against the
            noise-free frames at 64 pixels. It is below 1/31/√12 = 0.0093, the error of
            quantization alone, since large faces of one colour stay clear of its steps.
        series: Channels of each series, by modality name.
        task: Function that makes the task of one episode from the episode's random generator.
    """

    name: str
    summary: str
    camera_noise: float
    series: Mapping[str, list[Channel]]
    task: Callable[[np.random.Generator], Task]

    def modalities(self, image_size: int = 64) -> list[Modality]:
        """Return the cell's modalities, camera first.

        Args:
            image_size: Height and width of a camera frame, pixels.

        Returns:
            The modalities.
        """
        return [
            camera(image_size, self.camera_noise),
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
    cell: str, episodes: int, seed: int, image_size: int = 64, episode_s: float = 20.0
) -> tuple[list[Modality], Iterator[Episode]]:
    """Return the modalities of a cell and an iterator that simulates its episodes.

    An episode is a function of (cell, seed, its index, image_size, episode_s) alone: any subset in
    any order gives the same arrays on the same machine. Another OpenGL driver may round a pixel
    differently.

    Args:
        cell: A key of `CELLS`.
        episodes: Number of episodes.
        seed: Seed of the data set, not negative.
        image_size: Height and width of a camera frame, pixels, 16 to 256.
        episode_s: Length of an episode, s.

    Returns:
        The modalities, and the episodes, each simulated when the iterator reaches it.

    Raises:
        LipfaultError: If the cell is unknown, a number is out of its range, or MuJoCo is missing.
    """
    if cell not in CELLS:
        raise LipfaultError(f'there is no cell {cell!r}; choose one of {", ".join(CELLS)}')
    if episodes < 1 or seed < 0:
        raise LipfaultError(
            f'episodes must be at least 1 and seed not negative, got {episodes} and {seed}'
        )
    if not MIN_IMAGE_SIZE <= image_size <= MAX_IMAGE_SIZE:
        raise LipfaultError(
            f'image_size must be {MIN_IMAGE_SIZE} to {MAX_IMAGE_SIZE}, got {image_size}'
        )
    if not episode_s >= _MIN_EPISODE_S:
        raise LipfaultError(f'episode_s must be at least {_MIN_EPISODE_S}, got {episode_s}')
    # A missing MuJoCo is reported here, not at the first episode.
    load_mujoco()
    one = partial(simulate_episode, cell, seed, image_size=image_size, episode_s=episode_s)
    return CELLS[cell].modalities(image_size), map(one, range(episodes))


def simulate_episode(
    cell: str, seed: int, index: int, *, image_size: int = 64, episode_s: float = 20.0
) -> Episode:
    """Simulate one episode of a data set, independent of the others.

    Args:
        cell: A key of `CELLS`.
        seed: Seed of the data set.
        index: Index of the episode, from 0.
        image_size: Height and width of a camera frame, pixels.
        episode_s: Length of the episode, s.

    Returns:
        The episode with sensor noise.

    Raises:
        LipfaultError: If MuJoCo is missing.
    """
    # Not `hash`: it differs between processes.
    root = np.random.SeedSequence([seed, index, zlib.crc32(cell.encode())])
    # A generator of its own for the noise: new channels would not change the motion.
    plan, noise = (np.random.default_rng(child) for child in root.spawn(2))
    task = CELLS[cell].task(plan)
    truth, frames = run(task, episode_s, image_size)
    signals = {'camera': expose(frames, noise)}
    readings = {
        name: read(truth[name], channels, noise) for name, channels in CELLS[cell].series.items()
    }
    return Episode(f'{cell}-{index:04d}', {**signals, **readings}, task.parameters)
