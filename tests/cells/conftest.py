"""Short simulated episodes; skips what needs MuJoCo or OpenGL where they are missing."""

from importlib.util import find_spec

import numpy as np
import pytest

from lipfault.cells.engine import load_mujoco
from lipfault.cells.registry import CELLS
from lipfault.cells.run import run
from lipfault.errors import LipfaultError


@pytest.fixture(scope='session')
def mujoco():
    # Not importorskip: whoever imports MuJoCo first decides on its OpenGL backend.
    if find_spec('mujoco') is None:
        pytest.skip('MuJoCo is not installed')
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
        pytest.skip(f'no OpenGL: {error}')


@pytest.fixture(scope='session', params=sorted(CELLS))
def truth(request, opengl):
    """(cell, parameters, noise-free series, noise-free pictures) of two 3 s episodes each."""
    cell = CELLS[request.param]
    episodes = []
    for seed in (3, 4):
        task = cell.task(np.random.default_rng(seed))
        series, pictures = run(task, 3.0, 64)
        episodes.append((task.parameters, series, pictures))
    return cell, episodes
