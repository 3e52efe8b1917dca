"""Estimates agree with known noise, steps and relations."""

import numpy as np
import pytest

from lipfault.importers import estimate
from lipfault.importers.statistics import SeriesStatistics, without


def blocks_of(values, size=512):
    values = values if values.ndim == 2 else values[:, None]
    return [values[start : start + size] for start in range(0, len(values), size)]


@pytest.mark.parametrize('sigma', [1e-4, 0.02, 5.0])
def test_noise_is_found_under_a_moving_signal(sigma):
    rng = np.random.default_rng(0)
    time = np.arange(20000) / 100.0
    moving = 3 * sigma * 100 * np.sin(2 * np.pi * 0.3 * time)
    found = estimate.noise_floor(blocks_of(moving + rng.normal(0, sigma, len(time))))
    assert found[0] == pytest.approx(sigma, rel=0.1)


def test_noise_of_a_sensor_that_rests_half_of_the_time():
    rng = np.random.default_rng(1)
    time = np.arange(12000) / 30.0
    jerky = np.cumsum(rng.normal(0, 0.5, len(time))) * (time % 30 < 15)
    found = estimate.noise_floor(blocks_of(jerky + rng.normal(0, 0.01, len(time))))
    assert found[0] == pytest.approx(0.01, rel=0.2)


def test_noise_is_not_spoilt_by_outliers_and_missing_values():
    rng = np.random.default_rng(2)
    values = rng.normal(0, 0.1, 10000)
    values[::500] = 100.0
    values[1234:1300] = np.nan
    assert estimate.noise_floor(blocks_of(values))[0] == pytest.approx(0.1, rel=0.15)


def test_a_command_without_noise_gets_that_of_its_steps_or_range():
    held = np.repeat(np.random.default_rng(0).uniform(-1, 1, 40), 100)
    floor = estimate.noise_floor(blocks_of(held))[0]
    assert floor == 0
    assert estimate.noise_of(floor, 0.01, -1, 1) == pytest.approx(0.01 / np.sqrt(12))
    assert estimate.noise_of(floor, None, -1, 1) == pytest.approx(2e-4)
    assert estimate.noise_of(float('nan'), None, 5, 5) == pytest.approx(5e-4)


def test_coarse_steps_count_as_noise():
    values = np.round(np.sin(np.arange(8000) / 900) / 0.05) * 0.05
    floor = estimate.noise_floor(blocks_of(values))[0]
    assert estimate.noise_of(floor, 0.05, -1, 1) == pytest.approx(0.05 / np.sqrt(12), rel=0.3)


def test_steps_of_decimals_integers_and_of_none():
    rng = np.random.default_rng(0)
    columns = np.stack(
        [
            np.round(rng.uniform(0, 1, 3000), 3),
            rng.integers(0, 4, 3000).astype(float),
            rng.integers(-300, 300, 3000) * 4.0,
            rng.normal(size=3000),
        ],
        axis=1,
    )
    statistics = SeriesStatistics(4)
    statistics.add(columns)
    assert estimate.steps(blocks_of(columns), statistics.whole) == [0.001, 1.0, 4.0, None]


def test_spacing_holds_every_float32_of_full_size():
    step = estimate.spacing(-3.0, 2.9)
    values = np.random.default_rng(0).uniform(2, 2.9, 100).astype(np.float32)
    np.testing.assert_array_equal((np.rint(values / step) * step).astype(np.float32), values)


def test_ranges_have_a_margin_and_are_never_empty():
    assert estimate.margins(0.0, 10.0) == (-1.0, 11.0)
    low, high = estimate.margins(0.0, 0.0)
    assert low < 0 < high


def test_positions_and_velocities_are_paired():
    rng = np.random.default_rng(0)
    time = np.arange(3000) / 100.0
    position = np.sin(time) + 0.3 * np.sin(3.1 * time)
    velocity = np.cos(time) + 0.93 * np.cos(3.1 * time)
    other = np.cumsum(rng.normal(size=3000))
    values = np.stack([other, position, velocity], axis=1)
    assert estimate.velocities(blocks_of(values)) == [(1, 2)]


def test_noise_of_images_is_that_of_still_pixels():
    rng = np.random.default_rng(0)
    still = rng.uniform(50, 200, (24, 32, 3))
    frames = np.clip(still + rng.normal(0, 4, (12, 24, 32, 3)), 0, 255)
    frames[:, :8] = rng.uniform(0, 255, (12, 8, 32, 3))  # a moving third
    noise = estimate.image_noise([np.round(frames).astype(np.uint8)], 255.0)
    np.testing.assert_allclose(noise, 4 / 255, rtol=0.35)
    same = np.repeat(frames[:1].astype(np.uint8), 6, axis=0)
    np.testing.assert_allclose(estimate.image_noise([same], 255.0), 1 / 255 / np.sqrt(12))


def test_sentinels_are_found_where_they_lie_apart():
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 5, (1000, 3))
    values[10:20, 0] = -999.0
    values[::2, 1] = 999.0  # half of the values
    values[:, 2] = rng.integers(990, 1005, 1000)  # 999 among its neighbours
    statistics = SeriesStatistics(3)
    statistics.add(values)
    assert statistics.found_sentinels() == {-999.0: 10, 999.0: 500}
    low, high = statistics.limits()
    assert high[0] <= 5
    assert low[0] >= 0
    assert (low[2], high[2]) == (990, 1004)


def test_statistics_name_equal_channels_and_count_repeated_samples():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(100, 4))
    values[:, 3] = values[:, 1]
    values[:, 2] = 7.0
    values[50:60] = values[49]
    statistics = SeriesStatistics(4)
    statistics.add(values[:55])
    statistics.add(values[55:])
    assert statistics.duplicates() == [(1, 3)]
    assert statistics.repeated == 10
    low, high = statistics.limits()
    assert (low == high).tolist() == [False, False, True, False]


def test_memory_of_the_statistics_is_bounded():
    statistics = SeriesStatistics(2)
    for _ in range(400):
        statistics.add(np.random.default_rng(0).normal(size=(512, 2)))
    assert len(statistics.blocks) <= 64
    assert statistics.samples == 400 * 512


def test_missing_values_become_nan():
    values = without(np.array([[1, -999], [65535, 2]]), (-999.0, 65535.0))
    np.testing.assert_array_equal(values, [[1, np.nan], [np.nan, 2]])
