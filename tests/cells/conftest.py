"""Short simulated episodes; skips what needs MuJoCo or OpenGL where they are missing."""

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from lipfault.cells.engine import load_mujoco
from lipfault.cells.registry import CELLS
from lipfault.cells.run import run
from lipfault.errors import LipfaultError

BACKENDS = ('egl', 'osmesa')
"""Off-screen OpenGL backends of MuJoCo, in the order in which they are tried."""

TRIAL = """
import mujoco
mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 16, 16).close()
"""


def working_backend():
    """The first backend that renders; `disable`, with which MuJoCo simulates only, if none does.

    Each is tried in a process of its own: MuJoCo chooses its backend once, when it is imported.
    """
    for name in BACKENDS:
        environment = {**os.environ, 'MUJOCO_GL': name}
        command = [sys.executable, '-c', TRIAL]
        if subprocess.run(command, env=environment, capture_output=True).returncode == 0:
            return name
    return 'disable'


@pytest.fixture(scope='session')
def mujoco():
    # Not importorskip: the first import of MuJoCo decides on its OpenGL backend.
    if find_spec('mujoco') is None:
        pytest.skip("MuJoCo is not installed: pip install 'lipfault[simulate]'")
    if 'MUJOCO_GL' not in os.environ:
        os.environ['MUJOCO_GL'] = working_backend()
    try:
        return load_mujoco()
    except LipfaultError as error:
        pytest.skip(str(error))


@pytest.fixture(scope='session')
def opengl(mujoco):
    model = mujoco.MjModel.from_xml_string('<mujoco/>')
    try:
        mujoco.Renderer(model, 16, 16).close()
    except Exception as error:
        pytest.skip(f'no OpenGL: {error}; install libegl1 and libgl1-mesa-dri')


@pytest.fixture(scope='session', params=sorted(CELLS))
def truth(request, opengl):
    """(cell, parameters, noise-free series, noise-free frames) of two 3 s episodes each."""
    cell = CELLS[request.param]
    episodes = []
    for seed in (3, 4):
        task = cell.task(np.random.default_rng(seed))
        series, frames = run(task, 3.0, 64)
        episodes.append((task.parameters, series, frames))
    return cell, episodes
