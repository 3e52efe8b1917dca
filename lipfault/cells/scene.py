"""MuJoCo scenes (MJCF) from tables of arms and shapes."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from math import cos, sin

from lipfault.cells.design import ArmDesign, Link, Shape

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
"""Colour of each material, (red, green, blue) of 31, so that faces keep clear of the steps of a
camera with 5 bits a colour. Links are saturated, so that they can be told apart in a small
picture; what lies about is dull, since no other sensor knows where it is."""


def numbers(values: Iterable[float]) -> str:
    """Numbers as MJCF writes them.

    Example:
        >>> numbers((0.5, 1.0))
        '0.5 1'
    """
    return ' '.join(f'{value:.9g}' for value in values)


def new_scene(timestep: float) -> tuple[ET.Element, ET.Element]:
    """An empty scene with colours, light and gravity: (root, world body).

    Args:
        timestep: Physics step, s.
    """
    root = ET.Element('mujoco')
    ET.SubElement(root, 'compiler', angle='radian', autolimits='true', inertiafromgeom='false')
    ET.SubElement(
        root, 'option', timestep=numbers([timestep]), integrator='implicitfast', cone='elliptic',
        impratio='10',
    )  # fmt: skip
    visual = ET.SubElement(root, 'visual')
    ET.SubElement(visual, 'global', offwidth='1024', offheight='1024')
    ET.SubElement(visual, 'quality', shadowsize='0', offsamples='0')
    ET.SubElement(visual, 'map', znear='0.05', zfar='20')
    ET.SubElement(visual, 'headlight', ambient='.035 .035 .035', diffuse='0 0 0', specular='0 0 0')
    asset = ET.SubElement(root, 'asset')
    for name, rgb in COLOURS.items():
        ET.SubElement(
            asset, 'material', name=name, rgba=numbers((*(part / 31 for part in rgb), 1.0)),
            emission='0.95', specular='0',
        )  # fmt: skip
    world = ET.SubElement(root, 'worldbody')
    ET.SubElement(
        world, 'light', directional='true', castshadow='false', pos='0 0 3', dir='-0.5 0.3 -1',
        diffuse='.03 .03 .03', specular='0 0 0',
    )  # fmt: skip
    ET.SubElement(root, 'equality')
    ET.SubElement(root, 'actuator')
    return root, world


def add_shape(parent: ET.Element, shape: Shape, *, solid: bool = False, name: str = '') -> None:
    """Draw a shape on a body; solid shapes also collide."""
    geom = ET.SubElement(parent, 'geom', type=shape.kind, material=shape.colour)
    geom.set('size', numbers(shape.size))
    geom.set('fromto' if len(shape.at) == 6 else 'pos', numbers(shape.at))
    if name:
        geom.set('name', name)
    if not solid:
        geom.set('contype', '0')
        geom.set('conaffinity', '0')
    # Without a density of its own a drawn shape weighs nothing: inertias are given explicitly.
    geom.set('mass', '0')


def add_inertia(
    body: ET.Element, mass: float, com: Iterable[float], gyration: Iterable[float], quat: str = ''
) -> None:
    """Give a body its mass (kg), centre of mass (m) and radii of gyration (m)."""
    inertial = ET.SubElement(body, 'inertial', mass=numbers([mass]), pos=numbers(com))
    inertial.set('diaginertia', numbers(mass * radius**2 for radius in gyration))
    if quat:
        inertial.set('quat', quat)


def add_arm(
    root: ET.Element, parent: ET.Element, design: ArmDesign, name: str, position: Iterable[float],
    yaw: float,
) -> ET.Element:  # fmt: skip
    """Add an arm with torque motors; its flange body, z pointing away from the arm, comes back.

    Args:
        root: The scene.
        parent: Body (or world body) that carries the base.
        design: The arm.
        name: Prefix of all names of the arm: joints and motors are `<name>_joint<1..n>`.
        position: Base (x, y, z), m.
        yaw: Base turned about the vertical, rad.
    """
    quat = numbers((cos(yaw / 2), 0.0, 0.0, sin(yaw / 2)))
    body = ET.SubElement(parent, 'body', name=f'{name}_base', pos=numbers(position), quat=quat)
    for shape in design.base:
        add_shape(body, shape)
    place = (0.0, 0.0, 0.0), 0.0
    for index, link in enumerate(design.links, start=1):
        body = _add_link(root, body, link, f'{name}_joint{index}', place)
        place = (link.a, 0.0, link.d), link.alpha
    quat = numbers((cos(place[1] / 2), sin(place[1] / 2), 0.0, 0.0))
    return ET.SubElement(
        body, 'body', name=f'{name}_flange', pos=numbers(place[0]), quat=quat
    )  # fmt: skip


def _add_link(
    root: ET.Element, parent: ET.Element, link: Link, name: str,
    place: tuple[tuple[float, float, float], float],
) -> ET.Element:  # fmt: skip
    """Add a joint and its link at the frame (position, twist about x) of the parent link."""
    position, twist = place
    # Rx(twist) Rz(offset) as a quaternion.
    cx, sx, cz, sz = cos(twist / 2), sin(twist / 2), cos(link.offset / 2), sin(link.offset / 2)
    quat = numbers((cx * cz, sx * cz, -sx * sz, cx * sz))
    body = ET.SubElement(parent, 'body', name=name, pos=numbers(position), quat=quat)
    ET.SubElement(
        body, 'joint', name=name, axis='0 0 1', range=numbers((link.low, link.high)),
        armature=numbers([link.armature]), damping=numbers([link.damping]),
        frictionloss=numbers([link.friction]),
    )  # fmt: skip
    cos_a, sin_a = cos(link.alpha), sin(link.alpha)
    x, y, z = link.com
    com = (x + link.a, y * cos_a - z * sin_a, y * sin_a + z * cos_a + link.d)
    add_inertia(body, link.mass, com, link.gyration)
    for shape in link.shapes:
        add_shape(body, shape)
    motors = root.find('actuator')
    if motors is None:
        raise ValueError('the scene has no actuator section')
    limits = numbers((-link.torque, link.torque))
    ET.SubElement(motors, 'motor', name=name, joint=name, forcerange=limits, ctrlrange=limits)
    return body
