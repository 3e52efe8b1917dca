import numpy as np
import pytest

from lipfault.cells.camera import expose
from lipfault.cells.registry import CELLS, simulate, simulate_episode
from lipfault.errors import LipfaultError

SHORT = {'image_size': 16, 'episode_s': 0.5}
WITH_WRIST_SENSOR = sorted(name for name, cell in CELLS.items() if 'wrench' in cell.series)


def arms(cell):
    return [name for name in cell.series if name.startswith('kinematics')]


def columns(cell, name, prefix):
    channels = cell.series[name]
    return [i for i, channel in enumerate(channels) if channel.name.startswith(prefix + '_')]


def assert_same(first, second):
    assert first.episode_id == second.episode_id
    assert first.parameters == second.parameters
    assert first.signals.keys() == second.signals.keys()
    for name, signal in first.signals.items():
        np.testing.assert_array_equal(signal, second.signals[name])


@pytest.mark.parametrize('cell', sorted(CELLS))
def test_an_episode_is_the_same_alone_and_after_others(opengl, cell):
    modalities, stream = simulate(cell, episodes=2, seed=5, **SHORT)
    first, second = stream
    assert_same(second, simulate_episode(cell, 5, 1, **SHORT))
    assert_same(first, next(simulate(cell, episodes=1, seed=5, **SHORT)[1]))
    for modality in modalities:
        signal = first.signals[modality.name]
        assert len(signal) == round(0.5 * modality.rate_hz)
        assert np.any(signal != second.signals[modality.name])


def test_seeds_differ(opengl):
    first, second = (simulate_episode('ur5', seed, 0, **SHORT) for seed in (0, 1))
    assert np.any(first.signals['kinematics'] != second.signals['kinematics'])


@pytest.mark.parametrize('cell', sorted(CELLS))
def test_signals_fit_their_modalities(opengl, cell):
    modalities, stream = simulate(cell, episodes=1, seed=2, image_size=24, episode_s=1.0)
    signals = next(stream).signals
    for modality in modalities:
        signal = signals[modality.name]
        if modality.kind == 'image':
            assert signal.shape == (10, 24, 24, 3)
            assert signal.dtype == np.uint8
        else:
            assert signal.shape == (100, len(modality.channels))
            assert signal.dtype == np.float32
            assert np.all((signal >= modality.low) & (signal <= modality.high))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'cell': 'ur10'}, "no cell 'ur10'.*ur5"),
        ({'episodes': 0}, 'at least 1'),
        ({'seed': -1}, 'not negative'),
        ({'image_size': 512}, '16 to 256'),
        ({'episode_s': 0.0}, 'episode_s'),
    ],
)
def test_bad_requests_say_what_is_right(changes, message):
    with pytest.raises(LipfaultError, match=message):
        simulate(**({'cell': 'ur5', 'episodes': 1, 'seed': 0} | changes))


def test_velocities_are_the_derivatives_of_positions(truth):
    cell, episodes = truth
    for _, series, _ in episodes:
        for name in arms(cell):
            for position, velocity in (
                ('position', 'velocity'),
                ('tool_position', 'tool_velocity'),
            ):
                angles = series[name][:, columns(cell, name, position)]
                speeds = series[name][:, columns(cell, name, velocity)]
                slopes = (angles[2:] - angles[:-2]) / 0.02
                # At 100 Hz a central difference of these motions is good to some percent.
                error = np.abs(slopes - speeds[1:-1]).mean() / np.abs(speeds).mean()
                assert error < 0.03


def test_tool_rotations_are_orthonormal_and_turn_at_the_tool_rate(truth):
    cell, episodes = truth
    for _, series, _ in episodes:
        for name in arms(cell):
            values = series[name]
            x, y = np.split(values[:, columns(cell, name, 'tool_rotation')], 2, axis=1)
            rate = values[:, columns(cell, name, 'tool_rate')]
            np.testing.assert_allclose((x * x).sum(axis=1), 1.0, atol=1e-9)
            np.testing.assert_allclose((x * y).sum(axis=1), 0.0, atol=1e-9)
            turned = (x[2:] - x[:-2]) / 0.02
            error = np.abs(turned - np.cross(rate[1:-1], x[1:-1])).mean()
            assert error < 0.03 * np.abs(rate).mean()


def test_the_truth_stays_inside_the_declared_ranges(truth):
    cell, episodes = truth
    for _, series, _ in episodes:
        for name, channels in cell.series.items():
            low, high = (np.array([getattr(c, end) for c in channels]) for end in ('low', 'high'))
            assert np.all((series[name] >= low) & (series[name] <= high))


def test_the_robot_is_seldom_at_rest(truth):
    cell, episodes = truth
    for name in arms(cell):
        speeds = np.concatenate(
            [s[name][:, columns(cell, name, 'velocity')] for _, s, _ in episodes]
        )
        assert (np.abs(speeds).max(axis=1) < 0.01).mean() < 0.1


def test_the_mean_picture_is_a_bad_predictor(truth):
    cell, episodes = truth
    recorded = np.concatenate(
        [expose(pictures, np.random.default_rng(0)) for _, _, pictures in episodes]
    )
    variance = (recorded / 255.0).var(axis=0).mean()
    assert variance > 100 * cell.camera_noise**2
    assert variance > 0.02


def test_the_camera_is_as_noisy_as_declared(truth):
    cell, episodes = truth
    errors = np.concatenate(
        [expose(p, np.random.default_rng(1)) / 255.0 - p / 255.0 for _, _, p in episodes]
    )
    assert np.sqrt((errors**2).mean()) == pytest.approx(cell.camera_noise, rel=0.2)


@pytest.mark.parametrize('truth', WITH_WRIST_SENSOR, indirect=True)
def test_the_wrist_carries_the_torch(truth):
    _, episodes = truth
    for parameters, series, _ in episodes:
        # Weight of the torch; accelerations and the touch of the wire average out only roughly.
        force = np.linalg.norm(series['wrench'][:, :3], axis=1)
        assert np.median(force) == pytest.approx(9.81 * parameters['arm_torch_kg'], rel=0.2)


def test_the_gripper_lifts_a_box_by_friction(mujoco):
    from lipfault.cells.run import advance

    task = CELLS['ur5'].task(np.random.default_rng(1))
    carried = []
    for _ in range(1200):
        advance(task)
        if task._carried >= 0:
            box = task._box_pose(task._carried)[:3]
            carried.append((box[2], np.linalg.norm(box - task.data.site_xpos[task.arm.site])))
    height, distance = np.array(carried).T
    assert height.max() > 0.1
    assert distance.max() < 0.05


@pytest.mark.parametrize('name', ['welding_single', 'welding_dual'])
def test_the_wire_touches_the_piece_while_the_arc_burns(mujoco, name):
    from lipfault.cells.run import advance

    task = CELLS[name].task(np.random.default_rng(0))
    (welder, *_) = task.welders.values()
    burning, flying = [], []
    for _ in range(900):
        advance(task)
        squeeze = -float(task.data.qpos[welder._wire])
        (burning if welder._feed else flying).append(squeeze)
    assert len(burning) > 50
    assert 5e-4 < np.median(burning) < 1e-2
    assert max(flying) < 1e-2
