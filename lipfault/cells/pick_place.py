"""The scene of the `ur5` cell: a UR5 with a two-finger gripper, boxes on a table."""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from math import pi

from lipfault.cells.design import Shape
from lipfault.cells.poses import camera_axes
from lipfault.cells.scene import add_arm, add_inertia, add_shape, new_scene, numbers
from lipfault.cells.sensors import Channel, arm_channels
from lipfault.cells.ur5 import UR5

TIMESTEP = 0.002
STROKE = 0.0425
"""Way of a finger, m: half the 85 mm stroke of a Robotiq 2F-85 (mass 0.9 kg, force to 235 N)."""
_CENTRE = 0.145
"""Tool centre point between the finger tips, m from the flange."""


_EYE, _TARGET = (1.15, -0.72, 0.7), (0.24, -0.01, 0.25)
"""Camera position and the point it looks at, m."""


@dataclass(frozen=True)
class Box:
    """A box to be moved: half sizes (grip width, length, height), m, mass, kg, and colour."""

    half: tuple[float, float, float]
    mass: float
    colour: str


def channels() -> list[Channel]:
    """The channels of the modality `kinematics`, in order."""
    return [
        *arm_channels(UR5),
        Channel('gripper_opening', 'm', -0.005, 2 * STROKE + 0.005, 3e-4, 2**-12),
        Channel('gripper_force', 'N', -150.0, 150.0, 1.5, 0.5),
    ]


def build(boxes: list[Box]) -> ET.Element:
    """The scene with the given boxes, 2 ms steps."""
    root, world = new_scene(TIMESTEP)
    ET.SubElement(
        world, 'camera', name='camera', pos=numbers(_EYE), fovy='44',
        xyaxes=numbers(camera_axes(_EYE, _TARGET)),
    )  # fmt: skip
    ET.SubElement(
        world, 'geom', name='table', type='box', size='0.6 0.75 0.02', pos='0.25 0 -0.02',
        material='table', friction='0.8 0.01 0.001',
    )  # fmt: skip
    add_shape(world, Shape('box', (3.0, 3.0, 0.01), (0.0, 0.0, -0.8), 'floor'))
    # The base looks backwards so that joint 1 at zero points to the table's middle.
    flange = add_arm(root, world, UR5, 'arm', (0.0, 0.0, 0.0), pi)
    _add_gripper(root, flange)
    for index, box in enumerate(boxes):
        body = ET.SubElement(world, 'body', name=f'box{index}', pos=f'0.5 {index} 0')
        ET.SubElement(body, 'freejoint', name=f'box{index}')
        x, y, z = box.half
        gyration = (((y * y + z * z) / 3) ** 0.5, ((x * x + z * z) / 3) ** 0.5,
                    ((x * x + y * y) / 3) ** 0.5)  # fmt: skip
        add_inertia(body, box.mass, (0.0, 0.0, 0.0), gyration)
        add_shape(body, Shape('box', box.half, (0.0, 0.0, 0.0), box.colour), solid=True)
        body[-1].set('friction', '0.9 0.02 0.001')
        body[-1].set('condim', '4')
    return root


def _add_gripper(root: ET.Element, flange: ET.Element) -> None:
    """A parallel gripper; fingers close along the flange's x axis, coupled by a gear."""
    add_inertia(flange, 0.75, (0.0, 0.0, 0.05), (0.035, 0.035, 0.035))
    add_shape(flange, Shape('box', (0.055, 0.04, 0.04), (0.0, 0.0, 0.045), 'red'))
    add_shape(flange, Shape('box', (0.025, 0.035, 0.03), (0.0, 0.07, 0.04), 'cyan'))
    ET.SubElement(flange, 'site', name='tool', pos=numbers((0.0, 0.0, _CENTRE)))
    for side, sign in (('left', 1), ('right', -1)):
        finger = ET.SubElement(flange, 'body', name=side, pos=f'{sign * 0.011} 0 0.115')
        ET.SubElement(
            finger, 'joint', name=side, type='slide', axis=f'{sign} 0 0', armature='0.3',
            range=numbers((0.0, STROKE)), damping='20',
        )  # fmt: skip
        add_inertia(finger, 0.08, (0.0, 0.0, 0.0), (0.02, 0.02, 0.01))
        pad = Shape('box', (0.011, 0.016, 0.035), (0.0, 0.0, 0.01), 'white')
        add_shape(finger, pad, solid=True)
        finger[-1].set('friction', '1.2 0.02 0.001')
        finger[-1].set('condim', '4')
    equality, motors = root.find('equality'), root.find('actuator')
    if equality is not None and motors is not None:
        ET.SubElement(equality, 'joint', joint1='left', joint2='right', solref='0.004 1')
        ET.SubElement(motors, 'motor', name='gripper', joint='left', forcerange='-300 300')
