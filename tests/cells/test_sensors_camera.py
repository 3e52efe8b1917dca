import numpy as np
import pytest

from lipfault.cells.camera import expose
from lipfault.cells.registry import CELLS
from lipfault.cells.sensors import Channel, read, series

CHANNELS = [
    Channel('smooth', 'm', -1.0, 1.0, white=1e-2, quantum=2**-12),
    Channel('coarse', 'm', -1.0, 1.0, white=1e-2, quantum=2**-6),
]


@pytest.fixture
def readings():
    random = np.random.default_rng(0)
    truth = np.repeat(random.uniform(-0.5, 0.5, size=(20000, 1)), 2, axis=1)
    return truth, read(truth, CHANNELS, random)


def test_the_error_of_a_reading_has_the_declared_deviation(readings):
    truth, noisy = readings
    declared = series('position', CHANNELS).noise
    np.testing.assert_allclose((noisy - truth).std(axis=0), declared, rtol=0.03)


def test_the_errors_are_white_and_independent(readings):
    truth, noisy = readings
    error = (noisy - truth) / (noisy - truth).std(axis=0)
    assert abs((error[:, 0] * error[:, 1]).mean()) < 0.03
    assert np.all(np.abs((error[1:] * error[:-1]).mean(axis=0)) < 0.03)


def test_readings_are_whole_quanta_inside_the_range(readings):
    _, noisy = readings
    steps = noisy.astype(np.float64) / [c.quantum for c in CHANNELS]
    np.testing.assert_array_equal(steps, np.round(steps))
    far = read(np.full((10, 2), 7.0), CHANNELS, np.random.default_rng(0))
    assert far.dtype == np.float32
    assert np.all(far == 1.0)


@pytest.mark.parametrize('level', [0.0, 60.0, 128.0, 255.0])
def test_pictures_have_five_bits_a_colour(level):
    recorded = expose(np.full((64, 64, 3), level, np.float32), np.random.default_rng(0))
    allowed = np.round(np.arange(32) / 31 * 255)
    assert recorded.dtype == np.uint8
    assert np.isin(recorded, allowed).all()
    assert np.abs(recorded.mean() - level) < 4.2


def test_brighter_pictures_are_noisier():
    # Half way between two of the 32 levels, where noise decides which of them it is.
    dark, bright = (
        expose(np.full((128, 128, 3), (k + 0.35) / 31 * 255, np.float32), np.random.default_rng(0))
        for k in (2, 29)
    )
    assert (bright != bright[0, 0, 0]).mean() > (dark != dark[0, 0, 0]).mean()


@pytest.mark.parametrize('name', sorted(CELLS))
def test_every_series_is_richly_described(name):
    camera, *others = CELLS[name].modalities(128)
    assert camera.size == (128, 128)
    assert camera.rate_hz == 10
    for modality in others:
        assert modality.rate_hz == 100
        assert len(set(modality.channels)) == len(modality.channels)
        assert all(modality.units)
        if modality.name.startswith('kinematics'):
            assert len(modality.channels) >= 24
