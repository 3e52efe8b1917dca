import numpy as np
import pytest

from lipfault.audit.types import Track, Tracks
from lipfault.modality import Modality

RATE = 30.0
STEPS = 300
CHANNELS = 5


def series(name: str) -> Modality:
    names = tuple(f'j{number}' for number in range(CHANNELS))
    one = (1.0,) * CHANNELS
    low, high = (-9.0,) * CHANNELS, (9.0,) * CHANNELS
    return Modality(name, 'series', RATE, names, ('rad',) * CHANNELS, low, high, one)


def camera() -> Modality:
    colours, three = ('red', 'green', 'blue'), (1.0,) * 3
    return Modality(
        'eye', 'image', RATE, colours, ('1',) * 3, (0.0,) * 3, three, (0.01,) * 3, size=(24, 32)
    )


def smooth(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Motions with rests, as of a robot: sums of slow steps."""
    motion = np.zeros((steps, CHANNELS))
    for _ in range(40):
        centre, width = rng.uniform(0, steps), rng.uniform(6, 15)
        step = 1 / (1 + np.exp(-(np.arange(steps) - centre) / width * 4))
        motion += step[:, None] * rng.normal(0, 0.3, CHANNELS)
    return motion


def make_episode(rng: np.random.Generator, steps: int = STEPS) -> dict[str, Track]:
    """Commands, joints that follow them 0.1 s later on a grid, and a film of their postures."""
    command = smooth(rng, steps + 3)
    joints = np.round(command[:-3] + rng.normal(0, 0.002, (steps, CHANNELS)), 3)
    command = command[3:] + rng.normal(0, 1e-3, (steps, CHANNELS))
    mixing = np.random.default_rng(7).normal(0, 20, (CHANNELS, 24))
    film = 120 + joints @ mixing + rng.normal(0, 0.3, (steps, 24))
    change = np.r_[np.nan, np.abs(np.diff(film, axis=0)).mean(axis=1)]
    present = np.ones(steps, bool)
    return {
        'command': Track(command, present.copy(), np.empty(0)),
        'joints': Track(joints, present.copy(), np.empty(0)),
        'eye': Track(film, present.copy(), change),
    }


def make_tracks(episodes: int = 24, seed: int = 0, steps: int = STEPS) -> Tracks:
    rng = np.random.default_rng(seed)
    modalities = {'command': series('command'), 'joints': series('joints'), 'eye': camera()}
    names = tuple(f'e{number:02d}' for number in range(episodes))
    return Tracks(modalities, names, tuple(make_episode(rng, steps) for _ in range(episodes)))


@pytest.fixture
def tracks() -> Tracks:
    return make_tracks()
