"""Import MuJoCo on first use, so that lipfault is importable without it."""

import importlib
import os
import sys
from functools import cache
from typing import Any

from lipfault.errors import LipfaultError


@cache
def load_mujoco() -> Any:  # noqa: ANN401 - mujoco ships no stubs
    """Import `mujoco`, with off-screen rendering by EGL on Linux unless `MUJOCO_GL` is set.

    Returns:
        The module.

    Raises:
        LipfaultError: If mujoco is not installed or its OpenGL backend does not load.

    Reference:
        Todorov, Erez and Tassa, "MuJoCo: a physics engine for model-based control", IROS 2012,
        https://doi.org/10.1109/IROS.2012.6386109.
    """
    # MuJoCo reads the variable once, while it is imported; its default needs a display.
    if sys.platform.startswith('linux'):
        os.environ.setdefault('MUJOCO_GL', 'egl')
    try:
        return importlib.import_module('mujoco')
    except ModuleNotFoundError as error:
        raise LipfaultError(
            "robot cells need MuJoCo, which is not installed: pip install 'lipfault[simulate]'"
        ) from error
    except Exception as error:  # PyOpenGL raises any type of error if the driver is missing
        raise LipfaultError(
            f'MuJoCo found no OpenGL backend for MUJOCO_GL={os.environ.get("MUJOCO_GL")!r} '
            f'({error}); install EGL (libegl1) or set MUJOCO_GL to egl, osmesa or glfw'
        ) from error
