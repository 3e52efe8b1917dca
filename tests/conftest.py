"""Provide a tiny recording, restore global state after each test, and count skipped tests."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lipfault.data.episode import Episode
from lipfault.data.writer import write_recording
from lipfault.modality import Modality

EPISODES = 6
DURATION_S = 3.0
LONG = ('docs', 'tasks', 'tracking')
"""Folders whose tests run whole commands, several seconds each."""

TOGETHER = 'tests/tracking/'
"""Folder whose modules share a session fixture that trains."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort long tests first, so that no process ends with one while the others are idle."""
    items.sort(key=lambda item: item.path.parent.name not in LONG)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker whole modules in the order above, so that no fixture is made twice."""
    from xdist.scheduler import LoadScopeScheduling

    class WholeModules(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return TOGETHER if nodeid.startswith(TOGETHER) else nodeid.split('::')[0]

    config.option.loadscopereorder = False
    return WholeModules(config, log)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Print how many tests were skipped and why, below the counts of pytest.

    The line is also written to `.pytest_cache/d/lipfault/skipped.txt`, which `make test` shows
    last.
    """
    reporter = config.pluginmanager.get_plugin('terminalreporter')
    if reporter is None or not reporter.stats:  # a worker of pytest-xdist, or nothing was run
        return
    reports = reporter.stats.get('skipped', [])
    reasons = Counter(str(report.longrepr[2]).removeprefix('Skipped: ') for report in reports)
    listed = ', '.join(f'{reason} ({count})' for reason, count in sorted(reasons.items()))
    line = f'skipped tests: {len(reports)}' + f': {listed}' * bool(reports)
    reporter.write_line(line)
    cache = getattr(config, 'cache', None)  # absent with -p no:cacheprovider
    if cache is not None:
        (cache.mkdir('lipfault') / 'skipped.txt').write_text(f'{line}\n')


@pytest.fixture(autouse=True)
def _restore_torch() -> Iterator[None]:
    """Set seed 0 before each test; restore threads, default dtype and modes after it."""
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    grad, deterministic = torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)
    torch.set_grad_enabled(grad)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture(scope='session')
def tiny_modalities() -> dict[str, Modality]:
    """Return a camera of 16 x 16 pixels at 10 Hz, four joints at 50 Hz, two forces at 100 Hz."""
    camera = Modality(
        'camera',
        'image',
        10.0,
        ('red', 'green', 'blue'),
        ('1',) * 3,
        (0.0,) * 3,
        (1.0,) * 3,
        (0.01,) * 3,
        (16, 16),
    )
    joints = Modality(
        'joints',
        'series',
        50.0,
        ('q0', 'q1', 'dq0', 'dq1'),
        ('rad', 'rad', 'rad/s', 'rad/s'),
        (-2.0, -2.0, -8.0, -8.0),
        (2.0, 2.0, 8.0, 8.0),
        (0.002, 0.002, 0.02, 0.02),
    )
    force = Modality(
        'force', 'series', 100.0, ('fx', 'fy'), ('N',) * 2, (-60.0,) * 2, (60.0,) * 2, (0.2, 0.2)
    )
    return {modality.name: modality for modality in (camera, joints, force)}


@pytest.fixture(scope='session')
def tiny_episodes() -> list[Episode]:
    """Return six episodes of 3 s in which every modality measures the same two swinging joints."""
    return [_swing(number) for number in range(EPISODES)]


@pytest.fixture(scope='session')
def tiny_recording(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_modalities: dict[str, Modality],
    tiny_episodes: list[Episode],
) -> Path:
    """Write `tiny_episodes` to an HDF5 file and return its path; tests only read the file."""
    path = tmp_path_factory.mktemp('recordings') / 'tiny.h5'
    write_recording(path, list(tiny_modalities.values()), tiny_episodes, {'cell': 'tiny'})
    return path


def _swing(number: int) -> Episode:
    """Simulate two swinging joints.

    The camera shows a spot at the two angles, the force is the second derivative of the angles.

    Args:
        number: Seed of rates and phases, and number in the episode's name.

    Returns:
        Signals of `tiny_modalities`, with sensor noise.
    """
    rng = np.random.default_rng(number)
    rate, phase = rng.uniform(0.3, 0.9, 2), rng.uniform(0, 2 * np.pi, 2)

    def angle(rate_hz: float, derivative: int = 0) -> np.ndarray:  # (time, joint), rad / s^n
        turns = np.arange(round(DURATION_S * rate_hz))[:, None] / rate_hz * rate
        scale = (2 * np.pi * rate) ** derivative
        return scale * np.sin(2 * np.pi * turns + phase + derivative * np.pi / 2)

    joints = np.concatenate([angle(50.0), angle(50.0, 1)], axis=1)
    joints += rng.normal(0, [0.002, 0.002, 0.02, 0.02], joints.shape)
    force = angle(100.0, 2) + rng.normal(0, 0.2, (round(DURATION_S * 100), 2))
    pixels = np.linspace(-1.5, 1.5, 16)  # rad; the joints reach at most 1 rad
    column, row = angle(10.0).T[:, :, None]
    spot = (
        np.exp(-8 * (pixels - row) ** 2)[:, :, None] * np.exp(-8 * (pixels - column) ** 2)[:, None]
    )
    # (time, row, column, colour)
    frames = spot[..., None] * np.array([1.0, 0.7, 0.4]) * 0.8 + 0.1
    frames += rng.normal(0, 0.01, frames.shape)
    return Episode(
        episode_id=f'swing-{number:02d}',
        signals={
            'camera': np.rint(255 * frames.clip(0, 1)).astype(np.uint8),
            'joints': joints.astype(np.float32),
            'force': force.astype(np.float32),
        },
        parameters={'rate_hz': float(rate[0]), 'kind': 'swing'},
    )
