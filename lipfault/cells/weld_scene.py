"""Scenes of the welding cells: IRB 1600 arms with torches around one work piece."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cos, pi, sin

from lipfault.cells.design import Shape, Vector
from lipfault.cells.irb1600 import IRB1600
from lipfault.cells.poses import camera_axes
from lipfault.cells.scene import add_arm, add_inertia, add_shape, new_scene, numbers
from lipfault.cells.seams import Seam

TIMESTEP = 0.002
TABLE_Z = 0.45
"""Height of the table, m."""
_BEND = 0.63
"""Bend of the torch's neck, rad (36°, a common gas-cooled neck)."""
_PLATE = 0.012
"""Thickness of plates and walls, m."""


@dataclass(frozen=True)
class WorkPiece:
    """A plate with a wall and pipes standing on it.

    Args:
        middle: Middle of the plate's lower face, (x, y), m.
        yaw: Direction of the wall's normal, rad.
        length: Length of the wall, m.
        height: Height of the wall, m.
        pipes: (x, y, radius) of each pipe, in the plate's frame, m.
    """

    middle: tuple[float, float]
    yaw: float
    length: float
    height: float
    pipes: tuple[tuple[float, float, float], ...]

    def place(self, x: float, y: float) -> Vector:
        """A point of the plate's upper face in the world, m."""
        c, s = cos(self.yaw), sin(self.yaw)
        return (
            self.middle[0] + c * x - s * y,
            self.middle[1] + s * x + c * y,
            TABLE_Z + _PLATE,
        )

    def wall_seam(self, side: int) -> Seam:
        """The seam on one side (1 or -1) of the wall."""
        yaw = self.yaw + (0.0 if side > 0 else pi)
        return Seam(self.place(side * _PLATE / 2, 0.0), yaw, 0.0, self.length)

    def pipe_seam(self, index: int, yaw: float) -> Seam:
        """Four fifths of the seam around a pipe, its middle in the direction `yaw`."""
        x, y, radius = self.pipes[index]
        return Seam(self.place(x, y), yaw, radius, 1.6 * pi * radius)


@dataclass(frozen=True)
class Station:
    """Where an arm stands and how far it may fly.

    Args:
        position: Base (x, y), m.
        yaw: Direction it faces, rad.
        near: Smallest distance of the torch from the base's axis between passes, m.
        far: Largest such distance, m.
    """

    position: tuple[float, float]
    yaw: float
    near: float = 0.7
    far: float = 1.2


def build(
    stations: Mapping[str, Station],
    piece: WorkPiece,
    torches: Sequence[float],
    eye: Vector,
    target: Vector,
    fovy: float,
) -> ET.Element:
    """The scene, 2 ms steps.

    Args:
        stations: The arms by name.
        piece: The work piece.
        torches: Mass of each arm's torch with its cables, kg.
        eye: Camera position, m.
        target: What the camera looks at, m.
        fovy: Field of view, degrees.
    """
    root, world = new_scene(TIMESTEP)
    ET.SubElement(
        world, 'camera', name='camera', pos=numbers(eye), fovy=numbers([fovy]),
        xyaxes=numbers(camera_axes(eye, target)),
    )  # fmt: skip
    add_shape(world, Shape('box', (4.0, 4.0, 0.01), (0.0, 0.0, -0.01), 'floor'))
    table = Shape('box', (0.45, 0.45, 0.02), (*piece.middle, TABLE_Z - 0.02), 'table')
    add_shape(world, table)
    _add_piece(world, piece)
    ET.SubElement(root, 'sensor')
    for (name, station), mass in zip(stations.items(), torches, strict=True):
        position = (*station.position, 0.0)
        flange = add_arm(root, world, IRB1600, name, position, station.yaw)
        _add_torch(root, flange, name, mass)
    return root


def _add_piece(world: ET.Element, piece: WorkPiece) -> None:
    """Plate, wall and pipes, solid for the wire."""
    quat = numbers((cos(piece.yaw / 2), 0.0, 0.0, sin(piece.yaw / 2)))
    body = ET.SubElement(
        world, 'body', name='piece', pos=numbers((*piece.middle, TABLE_Z)), quat=quat
    )
    half = _PLATE / 2
    plate = Shape('box', (0.3, 0.3, half), (0.0, 0.0, half), 'steel')
    size = (half, piece.length / 2 + 0.03, piece.height / 2)
    wall = Shape('box', size, (0.0, 0.0, _PLATE + piece.height / 2), 'brick')
    pipes = [
        Shape('cylinder', (r,), (x, y, _PLATE, x, y, _PLATE + 0.1), 'carton')
        for x, y, r in piece.pipes
    ]
    for shape in (plate, wall, *pipes):
        add_shape(body, shape, solid=True)
        body[-1].set('friction', '0.3 0.005 0.0001')


def _add_torch(root: ET.Element, flange: ET.Element, name: str, mass: float) -> None:
    """A force-torque sensor, a torch with a bent neck, and a springy wire at its end.

    The torch hangs on a body of its own, so that the sensor feels all of it. Frame of the tool: z
    along the wire.
    """
    torch = ET.SubElement(flange, 'body', name=f'{name}_torch', pos='0 0 0.03')
    ET.SubElement(torch, 'site', name=f'{name}_wrist')
    add_inertia(torch, mass, (0.015, 0.0, 0.12), (0.1, 0.1, 0.04))
    add_shape(torch, Shape('capsule', (0.05,), (0.0, 0.0, 0.0, 0.0, 0.0, 0.15), 'red'))
    add_shape(torch, Shape('box', (0.03, 0.03, 0.05), (0.0, 0.07, 0.05), 'white'))
    # The neck leaves the axis by the bend; the wire's free end is 15 mm long.
    neck = (0.2 * sin(_BEND), 0.0, 0.15 + 0.2 * cos(_BEND))
    add_shape(torch, Shape('capsule', (0.032,), (0.0, 0.0, 0.15, *neck), 'magenta'))
    quat = numbers((cos(_BEND / 2), 0.0, sin(_BEND / 2), 0.0))
    tip = ET.SubElement(torch, 'body', name=f'{name}_neck', pos=numbers(neck), quat=quat)
    ET.SubElement(tip, 'site', name=f'{name}_tool', pos='0 0 0.035')
    wire = ET.SubElement(tip, 'body', name=f'{name}_wire', pos='0 0 0.032')
    ET.SubElement(
        wire, 'joint', name=f'{name}_wire', type='slide', axis='0 0 1', range='-0.02 0.002',
        stiffness='1500', damping='8',
    )  # fmt: skip
    add_inertia(wire, 0.05, (0.0, 0.0, 0.0), (0.005, 0.005, 0.005))
    add_shape(wire, Shape('sphere', (0.003,), (0.0, 0.0, 0.0), 'white'), solid=True)
    wire[-1].set('friction', '0.3 0.005 0.0001')
    wire[-1].set('solref', '0.01 1')
    _add_arc(root, wire, name)


def _add_arc(root: ET.Element, wire: ET.Element, name: str) -> None:
    """The arc's glare, invisible until lit, and the sensors of the wrist."""
    asset, sensor = root.find('asset'), root.find('sensor')
    if asset is None or sensor is None:
        raise ValueError('the scene has no asset or sensor section')
    ET.SubElement(asset, 'material', name=f'{name}_arc', rgba='1 1 1 0', emission='1')
    add_shape(wire, Shape('sphere', (0.05,), (0.0, 0.0, 0.0), f'{name}_arc'))
    ET.SubElement(sensor, 'force', name=f'{name}_force', site=f'{name}_wrist')
    ET.SubElement(sensor, 'torque', name=f'{name}_torque', site=f'{name}_wrist')
