"""Tool frames and camera frames as rotations."""

from collections.abc import Sequence
from math import cos, sin

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def lean(tilt: float, about: float) -> Array:
    """Rotation (3, 3) by `tilt` about the level axis in the direction `about`, rad."""
    x, y = cos(about), sin(about)
    cross = np.array([[0.0, 0.0, y], [0.0, 0.0, -x], [-y, x, 0.0]])
    rotation: Array = np.eye(3) + sin(tilt) * cross + (1 - cos(tilt)) * cross @ cross
    return rotation


def pointing_down(yaw: float, tilt: float = 0.0, about: float = 0.0) -> Array:
    """Tool frame (3, 3) whose z points down, turned by yaw, then tilted about a level axis, rad.

    Example:
        >>> pointing_down(0.0)[:, 2].tolist()
        [0.0, 0.0, -1.0]
    """
    down = np.array([[cos(yaw), sin(yaw), 0.0], [sin(yaw), -cos(yaw), 0.0], [0.0, 0.0, -1.0]])
    frame: Array = lean(tilt, about) @ down
    return frame


def camera_axes(eye: Sequence[float], target: Sequence[float]) -> list[float]:
    """Axes x and y (six numbers) of an upright camera at `eye` that looks at `target`, m."""
    backward = np.subtract(eye, target)
    backward /= np.linalg.norm(backward)
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    return [*right.tolist(), *np.cross(backward, right).tolist()]
