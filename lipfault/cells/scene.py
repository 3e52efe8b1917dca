"""MuJoCo scenes (MJCF) from tables of arms and shapes.

Elements and attributes: https://mujoco.readthedocs.io/en/stable/XMLreference.html.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from math import cos, sin

from lipfault.cells.design import ArmDesign, Link, Shape

TIMESTEP = 0.002
"""Physics step of all cells, s."""

COLOURS = {
    'white': (29, 29, 29),
    'black': (2, 2, 2),
    'grey': (14, 14, 14),
    'red': (29, 3, 2),
    'orange': (31, 16, 0),
    'yellow': (31, 28, 2),
    'green': (3, 26, 6),
    'cyan': (2, 26, 29),
    'blue': (3, 8, 29),
    'magenta': (29, 3, 26),
    'floor': (3, 4, 5),
    'table': (5, 7, 9),
    'steel': (9, 10, 11),
    'carton': (13, 11, 8),
    'brick': (13, 8, 7),
    'slate': (8, 12, 13),
}
"""Colour of each material, (red, green, blue) of 31, clear of the quantization steps of a camera
with 5 bits a colour. Links are saturated, so that they differ in a small frame; other objects are
dull, since no other sensor measures their positions."""


def numbers(values: Iterable[float]) -> str:
    """Format numbers as an attribute of MJCF.

    Args:
        values: The numbers.

    Returns:
        The numbers with nine significant digits, separated by spaces.

    Example:
        >>> numbers((0.5, 1.0))
        '0.5 1'
    """
    return ' '.join(f'{value:.9g}' for value in values)


def section(root: ET.Element, name: str) -> ET.Element:
    """Return a section of a scene.

    Args:
        root: The scene.
        name: Tag of the section.

    Returns:
        The element.

    Raises:
        ValueError: If the scene lacks the section.
    """
    found = root.find(name)
    if found is None:
        raise ValueError(f'the scene has no section {name!r}')
    return found


def new_scene(timestep: float) -> tuple[ET.Element, ET.Element]:
    """Return an empty scene with colours, light and gravity.

    Args:
        timestep: Physics step, s.

    Returns:
        Root and world body.
    """
    root = ET.Element('mujoco')
    ET.SubElement(root, 'compiler', angle='radian', autolimits='true', inertiafromgeom='false')
    # Elliptic cones and a high impratio keep a gripped box from creeping out of the fingers.
    ET.SubElement(
        root, 'option', timestep=numbers([timestep]), integrator='implicitfast', cone='elliptic',
        impratio='10',
    )  # fmt: skip
    _add_visual(root)
    asset = ET.SubElement(root, 'asset')
    for name, rgb in COLOURS.items():
        # Emission instead of light gives each face one flat colour.
        ET.SubElement(
            asset, 'material', name=name, rgba=numbers((*(part / 31 for part in rgb), 1.0)),
            emission='0.95', specular='0',
        )  # fmt: skip
    world = ET.SubElement(root, 'worldbody')
    _add_light(world)
    ET.SubElement(root, 'equality')
    ET.SubElement(root, 'actuator')
    return root, world


def _add_light(world: ET.Element) -> None:
    """Add a faint directional light."""
    ET.SubElement(
        world, 'light', directional='true', castshadow='false', pos='0 0 3', dir='-0.5 0.3 -1',
        diffuse='.03 .03 .03', specular='0 0 0',
    )  # fmt: skip


def _add_visual(root: ET.Element) -> None:
    """Set up rendering: no shadows, no multisampling, nearly no light."""
    visual = ET.SubElement(root, 'visual')
    # Twice the largest frame, see `Renderer`, with room to spare; pixels.
    ET.SubElement(visual, 'global', offwidth='1024', offheight='1024')
    ET.SubElement(visual, 'quality', shadowsize='0', offsamples='0')
    ET.SubElement(visual, 'map', znear='0.05', zfar='20')
    ET.SubElement(visual, 'headlight', ambient='.035 .035 .035', diffuse='0 0 0', specular='0 0 0')


def add_camera(
    world: ET.Element, eye: tuple[float, float, float], axes: Iterable[float], fovy: float
) -> None:
    """Add the camera of the cell.

    Args:
        world: World body.
        eye: Position (x, y, z), m.
        axes: Axes x and y, six numbers, see `camera_axes`.
        fovy: Vertical field of view, degrees.
    """
    ET.SubElement(
        world, 'camera', name='camera', pos=numbers(eye), fovy=numbers([fovy]),
        xyaxes=numbers(axes),
    )  # fmt: skip


def add_shape(
    parent: ET.Element, shape: Shape, *, solid: bool = False, name: str = ''
) -> ET.Element:
    """Add a visible shape to a body.

    Args:
        parent: The body.
        shape: The shape.
        solid: Whether the shape collides.
        name: Name of the geom, if it needs one.

    Returns:
        The geom.
    """
    geom = ET.SubElement(parent, 'geom', type=shape.kind, material=shape.colour)
    geom.set('size', numbers(shape.size))
    geom.set('fromto' if len(shape.at) == 6 else 'pos', numbers(shape.at))
    if name:
        geom.set('name', name)
    if not solid:
        geom.set('contype', '0')
        geom.set('conaffinity', '0')
    # MuJoCo would add the mass of each shape; inertias are given explicitly instead.
    geom.set('mass', '0')
    return geom


def add_inertia(
    body: ET.Element, mass: float, com: Iterable[float], gyration: Iterable[float], quat: str = ''
) -> None:
    """Set mass and inertia of a body.

    Args:
        body: The body.
        mass: Mass, kg.
        com: Centre of mass (x, y, z), m.
        gyration: Radii of gyration about the principal axes, m.
        quat: Orientation of the principal axes, a quaternion; that of the body if empty.
    """
    inertial = ET.SubElement(body, 'inertial', mass=numbers([mass]), pos=numbers(com))
    inertial.set('diaginertia', numbers(mass * radius**2 for radius in gyration))
    if quat:
        inertial.set('quat', quat)


def add_arm(
    root: ET.Element, parent: ET.Element, design: ArmDesign, name: str, position: Iterable[float],
    yaw: float,
) -> ET.Element:  # fmt: skip
    """Add an arm with torque motors.

    Args:
        root: The scene.
        parent: Body (or world body) that carries the base.
        design: The arm.
        name: Prefix of all names of the arm: joints and motors are `<name>_joint<1..n>`.
        position: Base (x, y, z), m.
        yaw: Rotation of the base about the vertical, rad.

    Returns:
        The body of the flange, its z pointing away from the arm.
    """
    quat = numbers((cos(yaw / 2), 0.0, 0.0, sin(yaw / 2)))
    body = ET.SubElement(parent, 'body', name=f'{name}_base', pos=numbers(position), quat=quat)
    for shape in design.base:
        add_shape(body, shape)
    # (position, twist about x) of the next joint's frame in the frame of this link's joint.
    frame = (0.0, 0.0, 0.0), 0.0
    for index, link in enumerate(design.links, start=1):
        body = _add_link(root, body, link, f'{name}_joint{index}', frame)
        frame = (link.a, 0.0, link.d), link.alpha
    quat = numbers((cos(frame[1] / 2), sin(frame[1] / 2), 0.0, 0.0))
    return ET.SubElement(
        body, 'body', name=f'{name}_flange', pos=numbers(frame[0]), quat=quat
    )  # fmt: skip


def _add_link(
    root: ET.Element, parent: ET.Element, link: Link, name: str,
    frame: tuple[tuple[float, float, float], float],
) -> ET.Element:  # fmt: skip
    """Add a joint, its motor and its link at the frame (position, twist about x) of the parent."""
    position, twist = frame
    # Rx(twist) Rz(offset) as a quaternion.
    cx, sx, cz, sz = cos(twist / 2), sin(twist / 2), cos(link.offset / 2), sin(link.offset / 2)
    quat = numbers((cx * cz, sx * cz, -sx * sz, cx * sz))
    body = ET.SubElement(parent, 'body', name=name, pos=numbers(position), quat=quat)
    ET.SubElement(
        body, 'joint', name=name, axis='0 0 1', range=numbers((link.low, link.high)),
        armature=numbers([link.armature]), damping=numbers([link.damping]),
        frictionloss=numbers([link.friction]),
    )  # fmt: skip
    add_inertia(body, link.mass, _com_at_joint(link), link.gyration)
    for shape in link.shapes:
        add_shape(body, shape)
    _add_motor(root, name, link.torque)
    return body


def _add_motor(root: ET.Element, joint: str, torque: float) -> None:
    """Add the torque motor of a joint with its limit, N m."""
    limits = numbers((-torque, torque))
    ET.SubElement(
        section(root, 'actuator'), 'motor', name=joint, joint=joint, forcerange=limits,
        ctrlrange=limits,
    )  # fmt: skip


def _com_at_joint(link: Link) -> tuple[float, float, float]:
    """Return the centre of mass in the frame of the joint, before Tz(d) Tx(a) Rx(alpha), m."""
    cos_a, sin_a = cos(link.alpha), sin(link.alpha)
    x, y, z = link.com
    return x + link.a, y * cos_a - z * sin_a, y * sin_a + z * cos_a + link.d
