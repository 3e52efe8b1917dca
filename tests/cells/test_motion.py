import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lipfault.cells.motion import follow, hold, plan

WAYPOINTS = arrays(np.float64, (4, 3), elements=st.floats(-3, 3, width=32))
LIMITS = np.array([1.0, 2.0, 4.0])


@given(WAYPOINTS)
def test_a_plan_passes_its_way_points_and_rests_at_both_ends(points):
    motion = plan(points, LIMITS, start=1.0, pace=0.7)
    for time, point in zip(motion.times, points, strict=True):
        np.testing.assert_allclose(motion.at(float(time))[0], point, atol=1e-9)
    for time in (motion.times[0], motion.end):
        _, speed, acceleration = motion.at(float(time))
        np.testing.assert_allclose(speed, 0.0, atol=1e-9)
        np.testing.assert_allclose(acceleration, 0.0, atol=1e-6)


@given(WAYPOINTS)
def test_no_joint_leaves_the_span_of_its_way_points(points):
    motion = plan(points, LIMITS, start=0.0, pace=1.0)
    angles = np.stack([motion.at(t)[0] for t in np.linspace(0, motion.end, 200)])
    assert np.all(angles <= points.max(axis=0) + 1e-6)
    assert np.all(angles >= points.min(axis=0) - 1e-6)


@pytest.mark.parametrize('order', [0, 1])
def test_speed_and_acceleration_are_the_derivatives(order):
    random = np.random.default_rng(0)
    motion = plan(random.normal(size=(5, 3)), LIMITS, start=0.0, pace=0.5)
    step = 1e-5
    for time in np.linspace(0.01, motion.end - 0.01, 50):
        before, after = motion.at(time - step)[order], motion.at(time + step)[order]
        expected = (after - before) / (2 * step)
        np.testing.assert_allclose(motion.at(time)[order + 1], expected, atol=1e-3)


@pytest.mark.parametrize('pace', [0.3, 1.0])
def test_two_points_are_joined_at_the_requested_pace(pace):
    motion = plan(np.array([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]]), LIMITS, start=0.0, pace=pace)
    fastest = max(np.abs(motion.at(t)[1] / LIMITS).max() for t in np.linspace(0, motion.end, 500))
    assert fastest == pytest.approx(pace, rel=1e-3)


def test_following_a_sine_gives_its_derivatives():
    times = np.arange(0, 3.2, 0.02)
    motion = follow((1 - np.cos(2 * times))[:, None], start=5.0, step=0.02)
    for time in (0.51, 1.234, 2.0):
        angle, speed, acceleration = motion.at(5.0 + time)
        assert angle[0] == pytest.approx(1 - np.cos(2 * time), abs=1e-4)
        assert speed[0] == pytest.approx(2 * np.sin(2 * time), abs=5e-3)
        assert acceleration[0] == pytest.approx(4 * np.cos(2 * time), abs=0.1)


def test_holding_is_rest():
    angle, speed, acceleration = hold(np.array([1.0, -1.0]), 2.0, 0.5).at(2.3)
    assert angle.tolist() == [1.0, -1.0]
    assert not speed.any()
    assert not acceleration.any()
