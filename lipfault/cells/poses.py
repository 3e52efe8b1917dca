"""Rotations of tools and cameras."""

from collections.abc import Sequence
from math import cos, sin

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def tilted(tilt: float, about: float) -> Array:
    """Return the rotation about a horizontal axis.

    Args:
        tilt: Angle of the rotation, rad.
        about: Direction of the axis in the horizontal plane, rad.

    Returns:
        Rotation (3, 3).
    """
    x, y = cos(about), sin(about)
    cross = np.array([[0.0, 0.0, y], [0.0, 0.0, -x], [-y, x, 0.0]])
    # Rodrigues' formula with the cross-product matrix of the axis (x, y, 0).
    rotation: Array = np.eye(3) + sin(tilt) * cross + (1 - cos(tilt)) * cross @ cross
    return rotation


def pointing_down(yaw: float, tilt: float = 0.0, about: float = 0.0) -> Array:
    """Return a tool frame whose z points down, turned by yaw, then tilted.

    Args:
        yaw: Rotation about the vertical, rad.
        tilt: Angle between z and the vertical, rad.
        about: Direction of the horizontal axis of the tilt, rad.

    Returns:
        Tool frame (3, 3), world frame.

    Example:
        >>> pointing_down(0.0)[:, 2].tolist()
        [0.0, 0.0, -1.0]
    """
    down = np.array([[cos(yaw), sin(yaw), 0.0], [sin(yaw), -cos(yaw), 0.0], [0.0, 0.0, -1.0]])
    frame: Array = tilted(tilt, about) @ down
    return frame


def camera_axes(eye: Sequence[float], target: Sequence[float]) -> list[float]:
    """Return the axes x and y of an upright camera.

    Args:
        eye: Position of the camera (x, y, z), m.
        target: Point in the centre of the image (x, y, z), m.

    Returns:
        Six numbers, x then y, as MJCF's `xyaxes`.
    """
    # An OpenGL camera looks along its negative z axis.
    backward = np.subtract(eye, target)
    backward /= np.linalg.norm(backward)
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    return [*right.tolist(), *np.cross(backward, right).tolist()]
