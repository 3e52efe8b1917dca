"""A trained model on a user's arrays: kinds of arrays, missing values, and bad input."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch

import lipfault
from lipfault.data.recording import Recording
from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.norms import exact_norm
from lipfault.models.autoencoder.sizes import CoderConfig
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.blocks.interface.types import Observation, SideInfo
from lipfault.models.relations.relations import RelationsConfig
from lipfault.runs.checkpoints import CARD
from lipfault.runs.folder import CONFIG_NAME
from lipfault.tasks.base import Description
from lipfault.tasks.finetune import FinetuneTask
from lipfault.tasks.pretrain import PretrainTask
from lipfault.tasks.trained import TrainedModel

STEPS = {'joints': 32, 'force': 64}


@pytest.fixture(scope='module')
def model(tiny_modalities, tmp_path_factory):
    """An untrained stage 2 with a threshold; what it finds does not matter here."""
    torch.manual_seed(0)
    description = Description(tiny_modalities, STEPS).to_dict()
    first = PretrainTask(
        description,
        CoderConfig(4, (6, 6), 8, 16, 12),
        RelationsConfig(width=16, depth=2, channels=6, positions=2, grid=4),
    )
    path = tmp_path_factory.mktemp('model') / 'first.ckpt'
    torch.save({CARD: first.card(), 'state_dict': first.state_dict()}, path)
    sizes = BlockConfig('fault_map', 32, 24, 8, {'series': 12, 'image': 8})
    task = FinetuneTask(description, str(path), sizes)
    with torch.no_grad():
        for part in task.block.parts.values():
            part.locator.end.bias += 1.0  # else nothing is corrected
    task.threshold.fill_(-100.0)
    return TrainedModel(task.requires_grad_(False).eval(), 'test')


@pytest.fixture
def arrays(tiny_modalities):
    rng = np.random.default_rng(0)
    return {
        'camera': rng.uniform(0.2, 0.8, (3, 16, 16)).astype(np.float32),
        'joints': rng.normal(0, 0.3, (4, 32)).astype(np.float32),
        'force': rng.normal(0, 5.0, (2, 64)).astype(np.float32),
    }


def batched(arrays, count=3):
    return {n: np.stack([x] * count) for n, x in arrays.items()}


def test_one_window_has_plain_fields(model, arrays):
    found = model.predict(arrays)
    assert isinstance(found.score, float)
    assert found.alarm is True
    assert found.faulty_modality in arrays
    assert found.missing == {}
    assert {n: x.shape for n, x in found.corrected.items()} == {
        n: x.shape for n, x in arrays.items()
    }
    assert {n: m.shape for n, m in found.fault_maps.items()} == {
        'camera': (1, 16, 16), 'joints': (4, 32), 'force': (2, 64)
    }  # fmt: skip
    assert all(isinstance(x, np.ndarray) for x in found.corrected.values())


def test_the_result_is_that_of_the_block(model, arrays):
    standardized = model.task.autoencoder.standardized(
        {n: torch.from_numpy(x)[None] for n, x in arrays.items()}
    )
    with torch.no_grad():
        detection, correction = model.task.block(Observation(standardized))
    found = model.predict(arrays)
    assert found.score == float(detection.score)
    physical = model.task.autoencoder.physical(correction.signals)
    for name, x in physical.items():
        np.testing.assert_array_equal(found.corrected[name], x[0].numpy())


def test_a_batch_is_its_windows(model, arrays):
    one, many = model.predict(arrays), model.predict(batched(arrays))
    assert many.score.shape == many.alarm.shape == (3,)
    assert many.faulty_modality == [one.faulty_modality] * 3
    np.testing.assert_allclose(many.score, one.score, rtol=1e-4)
    for name in arrays:
        np.testing.assert_allclose(
            many.corrected[name][1], one.corrected[name], rtol=1e-3, atol=1e-4
        )


def test_torch_in_torch_out(model, arrays):
    tensors = {n: torch.from_numpy(x) for n, x in arrays.items()}
    found = model.predict(tensors)
    assert all(isinstance(x, torch.Tensor) for x in found.corrected.values())
    assert found.score == model.predict(arrays).score


def test_no_alarm_names_no_modality(model, arrays):
    quiet = TrainedModel(model.task, 'test')
    quiet.threshold = 1e9
    found = quiet.predict(arrays)
    assert found.alarm is False
    assert found.faulty_modality is None


def test_bytes_and_doubles_are_the_same_picture(model, arrays):
    levels = np.rint(255 * arrays['camera']).astype(np.uint8)
    as_bytes = model.predict(arrays | {'camera': levels})
    as_floats = model.predict(arrays | {'camera': levels / 255.0, 'force': arrays['force'] * 1.0})
    assert as_bytes.score == pytest.approx(as_floats.score, rel=1e-5)


def test_stillness_comes_from_the_frame_before(model, arrays):
    moving = model.predict(arrays)
    frozen = model.predict(arrays, previous={'camera': arrays['camera']})
    with torch.no_grad():
        standardized = model.task.autoencoder.standardized(
            {n: torch.from_numpy(x)[None] for n, x in arrays.items()}
        )
        still = SideInfo(stillness={'camera': torch.ones(1)})
        wanted = float(model.task.block.detect(Observation(standardized, still)).score)
    assert frozen.score == wanted != moving.score


@pytest.mark.parametrize('value', [np.nan, np.inf, -1e30])
def test_a_frame_before_without_readings_is_unknown(model, arrays, value):
    before = {'camera': np.full_like(arrays['camera'], value)}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        found = model.predict(arrays, previous=before)
    assert found.score == pytest.approx(model.predict(arrays).score, rel=1e-5)


def test_a_window_of_a_recording_is_predicted(model, tiny_recording, tiny_episodes):
    window = model.read_window(tiny_recording, episode='swing-02', end_s=2.0)
    joints = Recording(tiny_recording).read(2, 'joints', 68, 100)
    np.testing.assert_array_equal(window['joints'], joints.T)
    np.testing.assert_array_equal(
        window['camera'], np.moveaxis(tiny_episodes[2].signals['camera'][19], -1, 0)
    )
    np.testing.assert_array_equal(
        window.previous['camera'], np.moveaxis(tiny_episodes[2].signals['camera'][18], -1, 0)
    )
    assert model.predict(window).missing == {}
    assert model.read_window(tiny_recording, 2, 2.0)['force'].shape == (2, 64)


def test_missing_values_are_counted_and_corrected(model, arrays):
    arrays['joints'][1, :8] = np.nan
    found = model.predict(arrays)
    assert found.missing == {'joints': 8 / (4 * 32)}
    assert found.fault_maps['joints'][1, :8].min() > 0.99
    assert all(np.isfinite(x).all() for x in found.corrected.values())


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.filterwarnings('ignore:modality')
def test_values_that_are_no_readings_are_a_finding_of_their_sensor(model, arrays, value):
    quiet = TrainedModel(model.task, 'test')
    quiet.threshold = 1e9
    arrays['joints'][:] = value
    found = quiet.predict(arrays)
    assert found.alarm is True
    assert np.isfinite(found.score)
    assert found.faulty_modality == 'joints'
    assert found.faulty_channels == ['q0', 'q1', 'dq0', 'dq1']
    assert all(np.isfinite(x).all() for x in found.corrected.values())


def test_one_value_that_is_no_reading_is_a_finding_of_its_channel(model, arrays):
    quiet = TrainedModel(model.task, 'test')
    quiet.threshold = 1e9
    arrays['force'][1, 3] = np.nan
    found = quiet.predict(arrays)
    assert (found.alarm, found.faulty_modality) == (True, 'force')
    assert 'fy' in found.faulty_channels


def test_an_absent_modality_is_missing_and_named(model, arrays):
    del arrays['camera']
    with pytest.warns(UserWarning, match="'camera': no array given, treated as missing"):
        found = model.predict(arrays)
    assert found.missing == {'camera': 1.0}
    assert found.corrected['camera'].shape == (3, 16, 16)
    assert np.isfinite(found.corrected['camera']).all()


def test_values_outside_the_range_are_named(model, arrays):
    arrays['joints'][0] *= 180 / np.pi
    with pytest.warns(UserWarning, match="'joints': values of q0 lie outside"):
        model.predict(arrays)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        model.predict(arrays | {'joints': arrays['joints'] * 0})


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'nose': np.zeros(3)}, "unknown modality 'nose': the model has 'camera', 'joints'"),
        ({'joints': np.zeros((32, 4))}, 'transpose the array'),
        ({'joints': np.zeros((4, 16))}, r'0\.64 s at 50 Hz, that is 32 samples.*at 25 Hz'),
        ({'joints': np.zeros((3, 32))}, 'the channels are q0, q1, dq0, dq1'),
        ({'camera': np.zeros((16, 16, 3))}, 'the channels are last'),
        ({'camera': np.zeros((3, 8, 8))}, r'expected \(3, 16, 16\).*got \(3, 8, 8\)'),
        ({'camera': np.full((3, 16, 16), 200.0)}, r'values up to 200; give float in \[0, 1\]'),
        ({'camera': np.zeros((3, 16, 16), np.int64)}, 'give uint8 in 0 to 255'),
        ({'joints': np.zeros((4, 32), bool)}, 'real numbers'),
        ({'joints': np.zeros((4, 32), complex)}, 'real numbers'),
        ({'joints': [['a'] * 32] * 4}, 'array of numbers, got list'),
        ({'joints': [[0.0] * 32, [0.0]]}, 'array of numbers, got list'),
        ({'joints': None}, 'array of numbers, got NoneType'),
        (
            {'joints': np.zeros((2, 4, 32))},
            r'a batch dimension or none; these have one: ',
        ),
    ],
)
def test_bad_arrays_are_named(model, arrays, change, message):
    with pytest.raises(LipfaultError, match=message):
        model.predict(arrays | change)


def test_bad_batches_are_named(model, arrays):
    many = batched(arrays)
    with pytest.raises(LipfaultError, match=r"at least one; got .*'joints': 2"):
        model.predict(many | {'joints': many['joints'][:2]})
    with pytest.raises(LipfaultError, match='at least one; got'):
        model.predict({n: x[:0] for n, x in many.items()})
    with pytest.raises(LipfaultError, match='give at least one modality'):
        model.predict({})
    with pytest.raises(LipfaultError, match='dictionary of arrays by modality'):
        model.predict(many['joints'])


def test_bad_frames_before_are_named(model, arrays):
    with pytest.raises(LipfaultError, match="'joints' is a series"):
        model.predict(arrays, previous={'joints': arrays['joints']})
    with pytest.raises(LipfaultError, match="unknown modality 'nose'"):
        model.predict(arrays, previous={'nose': arrays['joints']})
    with pytest.raises(LipfaultError, match=r'as many frames as there are windows; got \[1, 3\]'):
        model.predict(batched(arrays), previous={'camera': arrays['camera']})


def test_bad_windows_are_named(model, tiny_recording, tmp_path, tiny_modalities):
    with pytest.raises(LipfaultError, match='does not exist'):
        model.read_window(tmp_path / 'no.h5')
    with pytest.raises(LipfaultError, match="no episode 'x'; there are 'swing-00' to 'swing-05'"):
        model.read_window(tiny_recording, 'x')
    with pytest.raises(LipfaultError, match='no episode 6; there are 0 to 5'):
        model.read_window(tiny_recording, 6)
    with pytest.raises(LipfaultError, match=r'ends at 9 s needs .*it lasts 3 s'):
        model.read_window(tiny_recording, 0, 9.0)
    with pytest.raises(LipfaultError, match=r'ends at 0\.1 s needs samples -'):
        model.read_window(tiny_recording, 0, 0.1)
    other = TrainedModel(model.task, 'test')
    slower = dataclasses.replace(tiny_modalities['joints'], rate_hz=25.0)
    other.modalities = dict(other.modalities) | {'joints': slower}
    with pytest.raises(LipfaultError, match=r'joints\.rate_hz is 50\.0, the model was trained'):
        other.read_window(tiny_recording)


def test_the_front_door_is_the_same_thing():
    assert lipfault.TrainedModel is TrainedModel
    assert lipfault.lipschitz.exact_norm is exact_norm
    with pytest.raises(AttributeError):
        _ = lipfault.nothing_of_that_name


def test_a_result_prints_without_its_arrays(model, arrays):
    shown = repr(model.predict(arrays))
    assert shown.startswith('Prediction(score=')
    assert 'camera (3, 16, 16)' in shown
    assert len(shown) < 300


def test_a_run_of_an_earlier_version_is_named(model, tmp_path):
    (tmp_path / 'checkpoints').mkdir()
    (tmp_path / CONFIG_NAME).write_text('model: {init_args: {}}\n')
    state = {n.replace('.position', '.place'): x for n, x in model.task.state_dict().items()}
    torch.save(
        {CARD: model.task.card(), 'state_dict': state}, tmp_path / 'checkpoints' / 'best.ckpt'
    )
    with pytest.raises(LipfaultError, match=r'best\.ckpt: .*earlier version of lipfault, train'):
        lipfault.load(tmp_path)


def test_a_file_that_is_no_checkpoint_is_named(tiny_recording):
    with pytest.raises(LipfaultError, match=r'tiny\.h5 is not a readable checkpoint: it is no'):
        lipfault.load(tiny_recording)
