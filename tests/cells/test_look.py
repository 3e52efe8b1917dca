import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipfault.cells import look as looks
from lipfault.cells import pick_place
from lipfault.cells.camera import expose, noise_of, through_lens
from lipfault.cells.look import draw_look
from lipfault.cells.registry import CELLS, simulate, simulate_episode
from lipfault.cells.run import run
from lipfault.cells.sorting import Sorting
from lipfault.errors import LipfaultError

SHORT = {'image_size': 64, 'episode_s': 0.3}
FULL = {'variety': 1.0, 'camera_bits': 8}


def drawn(seed, variety=1.0):
    return draw_look(np.random.default_rng(seed), variety)


def bounds(variety):
    """(low, high) of each drawn number, as docs/cells.md states them."""
    ratio = {'look_light_k': (5500, 1.5), 'look_light_intensity': (1, 1.25)}
    ratio |= {'look_exposure': (1, 1.3), 'look_gain_red': (1, 1.15), 'look_gain_blue': (1, 1.15)}
    ends = {name: (at / r**variety, at * r**variety) for name, (at, r) in ratio.items()}
    ends |= {f'look_camera_{axis}_m': (-0.04 * variety, 0.04 * variety) for axis in 'xyz'}
    ends |= {f'look_camera_{name}_rad': (-0.03 * variety, 0.03 * variety)
             for name in ('pitch', 'yaw')}  # fmt: skip
    ends['look_camera_roll_rad'] = (-0.04 * variety, 0.04 * variety)
    ends['look_vignetting'] = (0, 0.35 * variety)
    ends['look_contrast'] = (0.35 * variety, 0.75 * variety)
    ends['look_light_elevation_rad'] = (1 - 0.4 * variety, 1 + 0.4 * variety)
    ends['look_clutter'] = (np.floor(3 * variety), np.ceil(8 * variety))
    return ends


@given(st.integers(0, 2**31), st.sampled_from([0.01, 0.3, 1.0]))
def test_drawn_numbers_stay_in_the_documented_ranges(seed, variety):
    parameters = drawn(seed, variety).parameters
    for name, (low, high) in bounds(variety).items():
        assert low - 1e-12 <= parameters[name] <= high + 1e-12, name


def test_the_ranges_are_used():
    values = [drawn(seed).parameters for seed in range(200)]
    for name, (low, high) in bounds(1.0).items():
        found = [row[name] for row in values]
        assert max(found) - min(found) > 0.8 * (high - low), name


def test_a_look_is_a_function_of_its_seed_and_small_varieties_come_near_the_shipped_one():
    assert drawn(3).parameters == drawn(3).parameters
    assert drawn(3).parameters != drawn(4).parameters
    assert drawn(3, 0.0) is None
    nearly = drawn(3, 1e-6)
    frame = np.full((1, 8, 8, 3), 100.0, np.float32)
    np.testing.assert_allclose(through_lens(frame, nearly), frame, rtol=1e-5)
    assert len(nearly.clutter) == 0
    # The same draws at each variety, only scaled.
    half, full = drawn(3, 0.5), drawn(3, 1.0)
    np.testing.assert_allclose(2 * np.array(half.camera_shift), full.camera_shift)


def test_light_is_white_at_5500_k_and_redder_below():
    look = drawn(0)
    for kelvin, order in ((5500.0, 0), (3700.0, 1), (8000.0, -1)):
        red, green, blue = replace(look, kelvin=kelvin, intensity=1.0).light
        assert green == 1.0
        assert np.sign(round(red - blue, 9)) == order


def test_the_lens_darkens_the_corners_and_keeps_the_middle():
    look = replace(drawn(0), exposure=1.2, gains=(1.1, 0.9), vignetting=0.3)
    frame = np.full((1, 65, 65, 3), 100.0, np.float32)
    (out,) = through_lens(frame, look)
    np.testing.assert_allclose(out[32, 32], [132.0, 120.0, 108.0], rtol=1e-3)
    # A pixel's centre lies half a pixel inside the corner: 1 - 0.3 * (64 / 65)².
    np.testing.assert_allclose(out[0, 0] / out[32, 32], 1 - 0.3 * (64 / 65) ** 2, rtol=1e-4)
    assert through_lens(np.full((1, 4, 4, 3), 255.0, np.float32), look).max() == 255.0


def test_variety_0_compiles_the_scene_as_it_is(mujoco, monkeypatch):
    scenes = []
    compiled = mujoco.MjModel.from_xml_string

    def keep(text):
        scenes.append(text)
        return compiled(text)

    monkeypatch.setattr(
        'lipfault.cells.dress.load_mujoco',
        lambda: type('', (), {'MjModel': type('', (), {'from_xml_string': staticmethod(keep)})}),
    )
    task = Sorting(np.random.default_rng(1))
    assert scenes == [ET.tostring(pick_place.build(task.boxes), encoding='unicode')]


def test_five_bits_are_exposed_as_before():
    frame = np.linspace(0, 255, 24, dtype=np.float32).reshape(8, 3)
    # Written out before cameras of 8 bits.
    noise = np.random.default_rng(5).standard_normal(frame.shape, dtype=np.float32)
    noisy = frame + np.sqrt(0.6**2 + 0.005 * frame) * noise
    levels = np.array([31, 31, 31], dtype=np.float32)
    expected = np.round(np.round(np.clip(noisy, 0, 255) / 255 * levels) / levels * 255)
    recorded = expose(frame, np.random.default_rng(5))
    np.testing.assert_array_equal(recorded, expected.astype(np.uint8))


def test_eight_bits_round_to_whole_levels():
    recorded = expose(np.full((64, 64, 3), 77.3, np.float32), np.random.default_rng(0), bits=8)
    assert len(np.unique(recorded)) > 4
    assert recorded.mean() == pytest.approx(77.3, abs=0.05)


@pytest.mark.parametrize('cell', sorted(CELLS))
def test_variety_changes_what_the_camera_sees_and_no_series(opengl, cell):
    plain = simulate_episode(cell, 5, 1, **SHORT)
    varied = simulate_episode(cell, 5, 1, **SHORT, **FULL)
    for name in CELLS[cell].series:
        np.testing.assert_array_equal(varied.signals[name], plain.signals[name])
    plain_frames, frames = plain.signals['camera'], varied.signals['camera']
    assert (frames != plain_frames).mean() > 0.9
    assert varied.parameters['look_variety'] == 1.0
    assert plain.parameters.items() <= varied.parameters.items()
    assert not any(name.startswith('look_') for name in plain.parameters)

    # The same alone, after others and in another order.
    (_, again) = simulate(cell, episodes=2, seed=5, **SHORT, **FULL)[1]
    np.testing.assert_array_equal(again.signals['camera'], frames)
    assert again.parameters == varied.parameters

    # A palette of 8 levels a channel has 512 colours; the shipped look has less.
    def colours(pictures):
        return len(np.unique(pictures.reshape(-1, 3), axis=0))

    assert colours(plain_frames) < 512 < 1000 < colours(frames)
    for channel in range(3):
        assert len(np.unique(frames[..., channel])) > 64


def test_backgrounds_differ_between_episodes(opengl):
    means = []
    for index in range(2):
        frames = simulate_episode('ur5', 8, index, image_size=32, episode_s=0.1, **FULL)
        means.append(frames.signals['camera'].astype(float).mean(axis=0))
    assert np.abs(means[0] - means[1]).mean() > 10


def test_clutter_stands_out_of_reach_and_touches_nothing(mujoco):
    look = drawn(2)
    task = Sorting(np.random.default_rng(2), look)
    model = task.model
    for index in range(len(look.clutter)):
        geom = model.geom(f'clutter{index}')
        assert geom.contype == geom.conaffinity == 0
        assert np.hypot(*geom.pos[:2]) - geom.size[0] > 1.2
    plain = Sorting(np.random.default_rng(2)).model
    assert model.nv == plain.nv
    assert model.ngeom == plain.ngeom + len(look.clutter)
    np.testing.assert_array_equal(model.body_mass, plain.body_mass)


@pytest.mark.parametrize('bits', [5, 8])
def test_the_declared_noise_fits_varied_frames(opengl, bits):
    errors = []
    for seed in (0, 1):
        look = drawn(seed)
        _, frames = run(Sorting(np.random.default_rng(seed), look), 0.1, 64)
        truth = through_lens(frames, look)
        errors.append(expose(truth, np.random.default_rng(1), bits) / 255.0 - truth / 255.0)
    assert np.sqrt((np.concatenate(errors) ** 2).mean()) == pytest.approx(noise_of(bits), rel=0.2)
    (camera, *_) = CELLS['ur5'].modalities(64, variety=1.0, camera_bits=bits)
    assert camera.noise == (noise_of(bits),) * 3
    assert camera.quantum == (1 / (2**bits - 1),) * 3


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'variety': -0.1}, 'variety must be 0'),
        ({'variety': 1.5}, 'variety must be 0'),
        ({'variety': float('nan')}, 'variety must be 0'),
        ({'camera_bits': 10}, 'camera_bits must be 5 or 8, got 10'),
    ],
)
def test_wrong_settings_of_the_appearance_say_what_is_right(changes, message):
    with pytest.raises(LipfaultError, match=message):
        simulate('ur5', episodes=1, seed=0, **changes)


def test_the_page_states_the_ranges():
    text = (Path(__file__).parents[2] / 'docs' / 'cells.md').read_text()
    for number in (100 * looks.CAMERA_SHIFT_M, looks.CAMERA_AIM_RAD, looks.CAMERA_ROLL_RAD):
        assert f'± {number:g}' in text
    assert f'{100 * looks.VIGNETTING:g} %' in text
