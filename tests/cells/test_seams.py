from dataclasses import replace

import numpy as np
import pytest

from lipfault.cells.seams import Pass, Seam

STRAIGHT = Seam((1.0, 0.2, 0.5), 0.3, 0.0, 0.4)
ROUND = Seam((1.0, 0.2, 0.5), 0.3, 0.06, 0.3)
PLAIN = Pass(
    STRAIGHT, start=-0.1, end=0.05, speed=0.05, work_angle=0.7, travel_angle=0.1, spin=0.2,
    weave=0.0, weave_hz=2.0, press=0.0,
)  # fmt: skip


@pytest.mark.parametrize('seam', [STRAIGHT, ROUND])
def test_directions_of_a_seam_are_those_of_its_curve(seam):
    point, outward, along = seam.at(0.03)
    ahead, _, _ = seam.at(0.03 + 1e-6)
    np.testing.assert_allclose((ahead - point) / 1e-6, along, atol=1e-4)
    assert outward @ along == pytest.approx(0.0, abs=1e-12)


def test_a_round_seam_stays_on_its_pipe():
    for way in np.linspace(-0.15, 0.15, 7):
        point, outward, _ = ROUND.at(way)
        np.testing.assert_allclose(point - ROUND.middle, 0.06 * outward, atol=1e-12)


@pytest.mark.parametrize('seam', [STRAIGHT, ROUND])
@pytest.mark.parametrize(('start', 'end'), [(-0.1, 0.05), (0.08, -0.02)])
def test_a_pass_goes_from_start_to_end_at_its_speed(seam, start, end):
    weld = replace(PLAIN, seam=seam, start=start, end=end)
    np.testing.assert_allclose(weld.pose(0.0)[0], seam.at(start)[0], atol=1e-12)
    np.testing.assert_allclose(weld.pose(weld.duration)[0], seam.at(end)[0], atol=1e-9)
    middle = weld.duration / 2
    moved = weld.pose(middle + 1e-5)[0] - weld.pose(middle - 1e-5)[0]
    assert np.linalg.norm(moved) / 2e-5 == pytest.approx(weld.speed, rel=1e-4)


def test_the_torch_frame_is_a_rotation_that_leans_away_from_the_wall():
    _, frame = PLAIN.pose(1.0)
    np.testing.assert_allclose(frame.T @ frame, np.eye(3), atol=1e-12)
    assert np.linalg.det(frame) == pytest.approx(1.0)
    _, outward, _ = STRAIGHT.at(0.0)
    assert frame[2, 2] < 0
    assert frame[:, 2] @ outward < 0


def test_the_weave_swings_across_the_seam_by_its_amplitude():
    weld = replace(PLAIN, weave=0.003)
    times = np.linspace(0.3, weld.duration - 0.3, 400)
    swings = np.stack([weld.pose(t)[0] - PLAIN.pose(t)[0] for t in times])
    assert np.linalg.norm(swings, axis=1).max() == pytest.approx(0.003, rel=1e-2)
    _, _, along = STRAIGHT.at(0.0)
    np.testing.assert_allclose(swings @ along, 0.0, atol=1e-12)


def test_pressing_shifts_the_tip_along_the_wire():
    pressed, frame = replace(PLAIN, press=0.002).pose(1.0)
    np.testing.assert_allclose(pressed - PLAIN.pose(1.0)[0], 0.002 * frame[:, 2], atol=1e-12)
