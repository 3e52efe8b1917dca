import importlib
import subprocess
import sys

import pytest

from lipfault.cells.engine import load_mujoco
from lipfault.errors import LipfaultError

WITHOUT_MUJOCO = """
import sys
sys.modules['mujoco'] = None
from lipfault.cells.registry import CELLS, simulate
from lipfault.errors import LipfaultError
print(len(CELLS['ur5'].modalities()))
try:
    simulate('ur5', episodes=1, seed=0)
except LipfaultError as error:
    print(error)
"""


def test_cells_can_be_described_without_mujoco():
    done = subprocess.run(
        [sys.executable, '-c', WITHOUT_MUJOCO], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith('2\n')
    assert "pip install 'lipfault[simulate]'" in done.stdout


@pytest.mark.parametrize(
    ('failure', 'remedy'),
    [
        (ModuleNotFoundError('mujoco'), r'lipfault\[simulate\]'),
        (AttributeError('glGetError'), 'MUJOCO_GL'),
    ],
)
def test_a_failing_import_says_what_to_do(monkeypatch, failure, remedy):
    def refuse(name):
        raise failure

    monkeypatch.setattr(importlib, 'import_module', refuse)
    load_mujoco.cache_clear()
    with pytest.raises(LipfaultError, match=remedy):
        load_mujoco()
    load_mujoco.cache_clear()


def test_egl_is_only_the_default(monkeypatch, mujoco):
    monkeypatch.setenv('MUJOCO_GL', 'osmesa')
    load_mujoco.cache_clear()
    load_mujoco()
    assert importlib.import_module('os').environ['MUJOCO_GL'] == 'osmesa'
