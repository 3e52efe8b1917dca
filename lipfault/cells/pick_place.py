"""Scene of the `ur5` cell: a UR5 with a two-finger gripper, boxes on a table."""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from math import pi

import lipfault.cells.scene as mjcf
from lipfault.cells.design import Shape
from lipfault.cells.poses import camera_axes
from lipfault.cells.sensors import Channel, arm_channels
from lipfault.cells.ur5 import UR5

STROKE = 0.0425
"""Stroke of a finger, m: half the 85 mm of a Robotiq 2F-85 (mass 0.9 kg, force to 235 N)."""

# Tool centre point between the fingertips, m from the flange.
_CENTRE = 0.145

# Position of the camera and the point in the centre of its image, m; field of view, degrees.
_EYE, _TARGET, _FOVY = (1.15, -0.72, 0.7), (0.24, -0.01, 0.25), 44.0

# Coefficients of sliding (1), torsional (m) and rolling (m) friction. Assumed.
_BOX_FRICTION = '0.9 0.02 0.001'
_PAD_FRICTION = '1.2 0.02 0.001'


@dataclass(frozen=True)
class Box:
    """A box to be moved.

    Args:
        half: Half sizes (grip width, length, height), m.
        mass: Mass, kg.
        colour: Name of one of the scene's colours.
    """

    half: tuple[float, float, float]
    mass: float
    colour: str


def channels() -> list[Channel]:
    """Return the channels of the modality `kinematics`, in order."""
    return [
        *arm_channels(UR5),
        Channel('gripper_opening', 'm', -0.005, 2 * STROKE + 0.005, 3e-4, 2**-12),
        Channel('gripper_force', 'N', -150.0, 150.0, 1.5, 0.5),
    ]


def build(boxes: list[Box]) -> ET.Element:
    """Build the scene.

    Args:
        boxes: The boxes; their positions are set later.

    Returns:
        Root of the scene.
    """
    root, world = mjcf.new_scene(mjcf.TIMESTEP)
    mjcf.add_camera(world, _EYE, camera_axes(_EYE, _TARGET), _FOVY)
    ET.SubElement(
        world, 'geom', name='table', type='box', size='0.6 0.75 0.02', pos='0.25 0 -0.02',
        material='table', friction='0.8 0.01 0.001',
    )  # fmt: skip
    mjcf.add_shape(world, Shape('box', (3.0, 3.0, 0.01), (0.0, 0.0, -0.8), 'floor'))
    # The base faces backwards, so that joint 1 at zero points to the middle of the table.
    flange = mjcf.add_arm(root, world, UR5, 'arm', (0.0, 0.0, 0.0), pi)
    _add_gripper(root, flange)
    for index, box in enumerate(boxes):
        _add_box(world, box, index)
    return root


def _add_box(world: ET.Element, box: Box, index: int) -> None:
    """Add a homogeneous box, away from the other boxes."""
    body = ET.SubElement(world, 'body', name=f'box{index}', pos=f'0.5 {index} 0')
    ET.SubElement(body, 'freejoint', name=f'box{index}')
    x, y, z = box.half
    # A solid cuboid: r² = (b² + c²) / 3 with half sizes b and c.
    gyration = (((y * y + z * z) / 3) ** 0.5, ((x * x + z * z) / 3) ** 0.5,
                ((x * x + y * y) / 3) ** 0.5)  # fmt: skip
    mjcf.add_inertia(body, box.mass, (0.0, 0.0, 0.0), gyration)
    _add_gripped(body, Shape('box', box.half, (0.0, 0.0, 0.0), box.colour), _BOX_FRICTION)


def _add_gripped(body: ET.Element, shape: Shape, friction: str) -> None:
    """Add a solid shape with torsional friction: a box must not turn between the fingers."""
    geom = mjcf.add_shape(body, shape, solid=True)
    geom.set('friction', friction)
    geom.set('condim', '4')


def _add_gripper(root: ET.Element, flange: ET.Element) -> None:
    """Add a parallel gripper; fingers close along the flange's x axis, coupled by a gear."""
    # With the two fingers of 0.08 kg the 0.9 kg of a Robotiq 2F-85.
    mjcf.add_inertia(flange, 0.75, (0.0, 0.0, 0.05), (0.035, 0.035, 0.035))
    mjcf.add_shape(flange, Shape('box', (0.055, 0.04, 0.04), (0.0, 0.0, 0.045), 'red'))
    mjcf.add_shape(flange, Shape('box', (0.025, 0.035, 0.03), (0.0, 0.07, 0.04), 'cyan'))
    ET.SubElement(flange, 'site', name='tool', pos=mjcf.numbers((0.0, 0.0, _CENTRE)))
    for side, sign in (('left', 1), ('right', -1)):
        _add_finger(flange, side, sign)
    ET.SubElement(
        mjcf.section(root, 'equality'), 'joint', joint1='left', joint2='right', solref='0.004 1'
    )
    ET.SubElement(
        mjcf.section(root, 'actuator'), 'motor', name='gripper', joint='left', forcerange='-300 300'
    )


def _add_finger(flange: ET.Element, side: str, sign: int) -> None:
    """Add a finger that slides along ±x."""
    finger = ET.SubElement(flange, 'body', name=side, pos=f'{sign * 0.011} 0 0.115')
    ET.SubElement(
        finger, 'joint', name=side, type='slide', axis=f'{sign} 0 0', armature='0.3',
        range=mjcf.numbers((0.0, STROKE)), damping='20',
    )  # fmt: skip
    mjcf.add_inertia(finger, 0.08, (0.0, 0.0, 0.0), (0.02, 0.02, 0.01))
    _add_gripped(finger, Shape('box', (0.011, 0.016, 0.035), (0.0, 0.0, 0.01), 'white'),
                 _PAD_FRICTION)  # fmt: skip
