"""Tasks of the welding cells: one or two arms weld their seams of one work piece."""

from collections.abc import Mapping
from math import pi

import numpy as np
import numpy.typing as npt

from lipfault.cells.design import Vector
from lipfault.cells.dress import compile_scene
from lipfault.cells.engine import load_mujoco
from lipfault.cells.irb1600 import IRB1600
from lipfault.cells.look import Look
from lipfault.cells.seams import Seam
from lipfault.cells.sensors import TOOL_M
from lipfault.cells.weld_scene import Station, WorkPiece, build
from lipfault.cells.welder import Welder

Array = npt.NDArray[np.float64]


# Mass of a torch with its cables, kg. Assumed.
_TORCH_KG = (2.5, 5.0)


class _Cell:
    """Base of both cells: the compiled scene and its welders.

    Attributes:
        model: Compiled MuJoCo model.
        data: State of the model.
        welders: Controller of each arm by name.
        parameters: Values drawn for the episode.
    """

    def __init__(
        self,
        random: np.random.Generator,
        stations: Mapping[str, Station],
        piece: WorkPiece,
        seams: Mapping[str, list[Seam]],
        view: tuple[Vector, Vector, float],
        look: Look | None,
    ) -> None:
        """Build the scene and give each arm a generator of its own."""
        mujoco = load_mujoco()
        torches = random.uniform(*_TORCH_KG, size=len(stations)).tolist()
        scene = build(stations, piece, torches, *view)
        self.model = compile_scene(scene, look, IRB1600.reach + TOOL_M)
        self.data = mujoco.MjData(self.model)
        # Independent generators: the draws of one arm do not depend on the progress of the other.
        generators = random.spawn(len(stations))
        self.welders = {
            name: Welder(self.model, self.data, own, name, station, seams[name])
            for (name, station), own in zip(stations.items(), generators, strict=True)
        }
        self.parameters: dict[str, float | str] = {'yaw_rad': piece.yaw}
        for (name, welder), mass in zip(self.welders.items(), torches, strict=True):
            self.parameters |= {f'{name}_pace': welder.pace, f'{name}_torch_kg': mass}

    def control(self) -> None:
        """Set all motors for the next step."""
        for welder in self.welders.values():
            welder.control()


class SingleWelding(_Cell):
    """One arm with a force-torque sensor welds both sides of a wall and two pipes.

    Args:
        random: Generator of the work piece, passes, speeds and loads.
        look: Appearance; `None` for that of the shipped recordings.
    """

    def __init__(self, random: np.random.Generator, look: Look | None = None) -> None:
        """Draw the episode and set the initial state."""
        station = Station((0.0, 0.0), 0.0)
        # Lengths in m, angles in rad.
        shift, yaw = random.uniform(-0.08, 0.08, size=2), float(random.uniform(-1.2, 1.2))
        pipes = ((0.17, 0.08, 0.05), (-0.17, -0.08, 0.04))
        piece = WorkPiece((0.95 + shift[0], shift[1]), yaw, 0.4, 0.08, pipes)
        seams = [piece.wall_seam(1), piece.wall_seam(-1)]
        seams += [piece.pipe_seam(i, float(random.uniform(-pi, pi))) for i in (0, 1)]
        # Camera position, centre of its image, m, and field of view, degrees.
        view = ((2.4, -1.25, 1.6), (0.6, 0.0, 0.72), 37.0)
        super().__init__(random, {'arm': station}, piece, {'arm': seams}, view, look)

    def measure(self, forces: Array, sensors: Array) -> dict[str, Array]:
        """Return the true values of all channels now.

        Args:
            forces: (motor,) mean motor forces since the last sample, N m.
            sensors: (6,) mean force, N, and torque, N m, at the wrist since the last sample.

        Returns:
            (channel,) values of `kinematics` and `wrench`.
        """
        return {'kinematics': self.welders['arm'].measure(forces), 'wrench': sensors}


class DualWelding(_Cell):
    """Two arms face each other; each welds its side of a wall and its pipe.

    Args:
        random: Generator of the work piece, passes, speeds and loads.
        look: Appearance; `None` for that of the shipped recordings.
    """

    def __init__(self, random: np.random.Generator, look: Look | None = None) -> None:
        """Draw the episode and set the initial state."""
        # Lengths in m, angles in rad. Flights stay closer to the base than those of a single arm:
        # collisions between the arms are not simulated.
        stations = {
            'left': Station((-0.9, 0.0), 0.0, 0.5, 0.8),
            'right': Station((0.9, 0.0), pi, 0.5, 0.8),
        }
        shift, yaw = random.uniform(-0.06, 0.06, size=2), float(random.uniform(-0.35, 0.35))
        pipes = ((-0.18, 0.12, 0.05), (0.18, -0.12, 0.05))
        piece = WorkPiece((float(shift[0]), float(shift[1])), yaw, 0.45, 0.08, pipes)
        seams = {
            'left': [piece.wall_seam(-1), piece.pipe_seam(0, yaw + pi)],
            'right': [piece.wall_seam(1), piece.pipe_seam(1, yaw)],
        }
        # Camera position, centre of its image, m, and field of view, degrees.
        view = ((0.15, -2.5, 1.6), (0.0, 0.0, 0.72), 42.0)
        super().__init__(random, stations, piece, seams, view, look)

    def measure(self, forces: Array, sensors: Array) -> dict[str, Array]:
        """Return the true values of both arms now.

        Args:
            forces: (motor,) mean motor forces of both arms, N m.
            sensors: Ignored: the wrists of this cell have no sensor.

        Returns:
            (channel,) values of `kinematics_left` and `kinematics_right`.
        """
        del sensors
        measured = ((name, welder.measure(forces)) for name, welder in self.welders.items())
        return {f'kinematics_{name}': values for name, values in measured}
