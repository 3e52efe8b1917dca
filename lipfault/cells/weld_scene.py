"""Scenes of the welding cells: IRB 1600 arms with torches around one work piece."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cos, pi, sin

from lipfault.cells.design import Shape, Vector
from lipfault.cells.irb1600 import IRB1600
from lipfault.cells.poses import camera_axes
from lipfault.cells.scene import (
    TIMESTEP,
    add_arm,
    add_camera,
    add_inertia,
    add_shape,
    new_scene,
    numbers,
    section,
)
from lipfault.cells.seams import Seam

TABLE_Z = 0.45
"""Height of the table, m."""

# Bend of the torch's neck, rad (36°, a common gas-cooled neck).
_BEND = 0.63

# Length of the neck behind the bend and of the torch before it, m.
_NECK, _BODY = 0.2, 0.15

# Thickness of plates and walls, m.
_PLATE = 0.012

# Height of the pipes above the plate, m.
_PIPE = 0.1

# Coefficients of sliding (1), torsional (m) and rolling (m) friction of wire on steel. Assumed.
_FRICTION = '0.3 0.005 0.0001'


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

    def to_world(self, x: float, y: float) -> Vector:
        """Transform a point of the plate's upper face.

        Args:
            x: Coordinate in the plate's frame, m.
            y: Coordinate in the plate's frame, m.

        Returns:
            (x, y, z) in the world frame, m.
        """
        c, s = cos(self.yaw), sin(self.yaw)
        return (
            self.middle[0] + c * x - s * y,
            self.middle[1] + s * x + c * y,
            TABLE_Z + _PLATE,
        )

    def wall_seam(self, side: int) -> Seam:
        """Return the seam on one side of the wall.

        Args:
            side: 1 or -1.

        Returns:
            The seam, as long as the wall.
        """
        yaw = self.yaw + (0.0 if side > 0 else pi)
        return Seam(self.to_world(side * _PLATE / 2, 0.0), yaw, 0.0, self.length)

    def pipe_seam(self, index: int, yaw: float) -> Seam:
        """Return four fifths of the seam around a pipe.

        Args:
            index: Position in `pipes`.
            yaw: Direction of the middle of the seam, rad.

        Returns:
            The seam.
        """
        x, y, radius = self.pipes[index]
        return Seam(self.to_world(x, y), yaw, radius, 1.6 * pi * radius)


@dataclass(frozen=True)
class Station:
    """Position of an arm and range of its motions between passes.

    Args:
        position: Base (x, y), m.
        yaw: Direction that the arm faces, rad.
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
    """Build the scene.

    Args:
        stations: The arms by name.
        piece: The work piece.
        torches: Mass of each arm's torch with its cables, kg.
        eye: Position of the camera, m.
        target: Point in the centre of the image, m.
        fovy: Vertical field of view, degrees.

    Returns:
        Root of the scene.
    """
    root, world = new_scene(TIMESTEP)
    add_camera(world, eye, camera_axes(eye, target), fovy)
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
    """Add plate, wall and pipes, solid for the wire."""
    quat = numbers((cos(piece.yaw / 2), 0.0, 0.0, sin(piece.yaw / 2)))
    body = ET.SubElement(
        world, 'body', name='piece', pos=numbers((*piece.middle, TABLE_Z)), quat=quat
    )
    half = _PLATE / 2
    plate = Shape('box', (0.3, 0.3, half), (0.0, 0.0, half), 'steel')
    # The wall is 3 cm longer than its seams at each end.
    size = (half, piece.length / 2 + 0.03, piece.height / 2)
    wall = Shape('box', size, (0.0, 0.0, _PLATE + piece.height / 2), 'brick')
    pipes = [
        Shape('cylinder', (r,), (x, y, _PLATE, x, y, _PLATE + _PIPE), 'carton')
        for x, y, r in piece.pipes
    ]
    for shape in (plate, wall, *pipes):
        add_shape(body, shape, solid=True).set('friction', _FRICTION)


def _add_torch(root: ET.Element, flange: ET.Element, name: str, mass: float) -> None:
    """Add a force-torque sensor, a torch with a bent neck, and a springy wire at its end."""
    # On a body of its own: the sensor measures the forces between flange and torch.
    torch = ET.SubElement(flange, 'body', name=f'{name}_torch', pos='0 0 0.03')
    ET.SubElement(torch, 'site', name=f'{name}_wrist')
    add_inertia(torch, mass, (0.015, 0.0, 0.12), (0.1, 0.1, 0.04))
    add_shape(torch, Shape('capsule', (0.05,), (0.0, 0.0, 0.0, 0.0, 0.0, _BODY), 'red'))
    add_shape(torch, Shape('box', (0.03, 0.03, 0.05), (0.0, 0.07, 0.05), 'white'))
    neck = (_NECK * sin(_BEND), 0.0, _BODY + _NECK * cos(_BEND))
    add_shape(torch, Shape('capsule', (0.032,), (0.0, 0.0, _BODY, *neck), 'magenta'))
    quat = numbers((cos(_BEND / 2), 0.0, sin(_BEND / 2), 0.0))
    # Frame of the tool: z along the wire.
    tip = ET.SubElement(torch, 'body', name=f'{name}_neck', pos=numbers(neck), quat=quat)
    ET.SubElement(tip, 'site', name=f'{name}_tool', pos='0 0 0.035')
    wire = _add_wire(tip, name)
    _add_arc(root, wire, name)
    for kind in ('force', 'torque'):
        ET.SubElement(section(root, 'sensor'), kind, name=f'{name}_{kind}', site=f'{name}_wrist')


def _add_wire(tip: ET.Element, name: str) -> ET.Element:
    """Add the free end of the wire: a sphere on a spring along z."""
    # At rest the sphere of 3 mm ends at the tool centre point.
    wire = ET.SubElement(tip, 'body', name=f'{name}_wire', pos='0 0 0.032')
    # Stiffness in N/m, damping in N s/m; assumed.
    ET.SubElement(
        wire, 'joint', name=f'{name}_wire', type='slide', axis='0 0 1', range='-0.02 0.002',
        stiffness='1500', damping='8',
    )  # fmt: skip
    # 50 g, heavier than a wire: its oscillation on the spring, 173 rad/s, lasts 18 steps of 2 ms.
    add_inertia(wire, 0.05, (0.0, 0.0, 0.0), (0.005, 0.005, 0.005))
    sphere = add_shape(wire, Shape('sphere', (0.003,), (0.0, 0.0, 0.0), 'white'), solid=True)
    sphere.set('friction', _FRICTION)
    sphere.set('solref', '0.01 1')
    return wire


def _add_arc(root: ET.Element, wire: ET.Element, name: str) -> None:
    """Add the glare of the arc, transparent until the controller lights it."""
    asset = section(root, 'asset')
    ET.SubElement(asset, 'material', name=f'{name}_arc', rgba='1 1 1 0', emission='1')
    add_shape(wire, Shape('sphere', (0.05,), (0.0, 0.0, 0.0), f'{name}_arc'))
