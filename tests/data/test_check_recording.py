"""What the format allows is written, read and checked alike; what is unlikely is a warning."""

import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from lipfault.cli import data
from lipfault.data.checking import findings, problems
from lipfault.data.episode import Episode
from lipfault.data.geometry import Geometry
from lipfault.data.recording import Recording
from lipfault.data.recording_set import RecordingSet
from lipfault.data.windows import WindowDataset
from lipfault.data.writer import write_recording
from lipfault.errors import LipfaultError
from lipfault.modality import Modality

GAUGE = Modality('gauge', 'series', 10.0, ('p',), ('Pa',), (0.0,), (9.0,), (0.1,))


def _sine(steps=60):
    return 4.0 + np.sin(np.arange(steps, dtype=np.float32))[:, None]


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, -999.0, 3e38])
def test_a_missing_sample_may_hold_any_value(tmp_path, value):
    signal, present = _sine(), np.ones(60, bool)
    signal[20:30], present[20:30] = value, False
    path = tmp_path / 'a.h5'
    write_recording(path, [GAUGE], [Episode('e', {'gauge': signal}, {}, {'gauge': list(present)})])
    recording = Recording(path)
    assert list(findings(recording)) == []
    np.testing.assert_array_equal(recording.read(0, 'gauge', 20, 30), signal[20:30])
    recordings = RecordingSet([path])
    windows = WindowDataset(recordings, [0], Geometry({'gauge': GAUGE}, 1.0, 0.1, 0.0)).fetch([22])
    assert windows.blocks['gauge'][0].isnan().any()
    assert not windows.blocks['gauge'].isinf().any()
    # The same values are refused where no sample is missing.
    with pytest.raises(LipfaultError, match=r"modality 'gauge': .*at step 20"):
        write_recording(path, [GAUGE], [Episode('e', {'gauge': signal})], overwrite=True)


REFUSED = {
    'unknown presence': (lambda e: replace(e, present={'p': np.ones(60, bool)}), "unknown .*'p'"),
    'list': (lambda e: replace(e, signals={'gauge': [[1.0]] * 60}), 'NumPy array of .* got list'),
    'scalar': (lambda e: replace(e, signals={'gauge': 1.0}), 'NumPy array of float32, got float'),
    'none': (lambda e: replace(e, signals={'gauge': None}), 'NumPy array of .* got NoneType'),
    'tensor': (lambda e: replace(e, signals={'gauge': torch.zeros(60, 1)}), 'array .* got Tensor'),
    'flat': (lambda e: replace(e, signals={'gauge': np.float32(3)}), 'NumPy array .* got float32'),
    'mask': (lambda e: replace(e, present={'gauge': [1] * 60}), r'must be \(60,\) bool, got'),
    'number as id': (lambda e: replace(e, episode_id=7), 'must be printable UTF-8 text, got 7'),
    'unprintable id': (lambda e: replace(e, episode_id='\x1b'), 'must be printable UTF-8 text'),
    'nested': (lambda e: replace(e, parameters={'a': {'b': 1}}), "parameter 'a' must be a finite"),
    'not finite': (lambda e: replace(e, parameters={'a': np.nan}), "parameter 'a' must be a finit"),
    'array': (lambda e: replace(e, parameters={'a': np.zeros(2)}), "parameter 'a' must be a finit"),
}


@pytest.mark.parametrize('name', REFUSED)
def test_what_cannot_be_written_is_named(tmp_path, name):
    spoil, message = REFUSED[name]
    with pytest.raises(LipfaultError, match=message):
        write_recording(tmp_path / 'a.h5', [GAUGE], [spoil(Episode('e', {'gauge': _sine()}))])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'noise': (np.inf,)}, "'gauge': noise must be finite"),
        ({'high': (np.inf,)}, "'gauge': high must be finite"),
        ({'units': ('',)}, "'gauge': a unit must be printable"),
        ({'channels': ('\n',)}, "'gauge': a channel must be printable"),
    ],
)
def test_what_a_reader_refuses_is_not_written(tmp_path, change, message):
    modality = replace(GAUGE, **change)
    with pytest.raises(LipfaultError, match=message):
        write_recording(tmp_path / 'a.h5', [modality], [Episode('e', {'gauge': _sine()})])


@pytest.mark.parametrize('value', [None, [1, 2], {'a': 1}, 'a\0b'])
def test_attributes_are_numbers_and_text(tmp_path, value):
    with pytest.raises(LipfaultError, match="attribute 'note' must be a number or text"):
        write_recording(
            tmp_path / 'a.h5', [GAUGE], [Episode('e', {'gauge': _sine()})], {'note': value}
        )


def test_numpy_scalars_are_numbers(tmp_path):
    parameters = {'load_kg': np.float32(1.5), 'count': np.int64(3), 'on': np.bool_(True), 't': 'é'}
    write_recording(
        tmp_path / 'a.h5',
        [GAUGE],
        [Episode('e', {'gauge': _sine()}, parameters)],
        {'seed': np.int64(3), 'note': 'é', 'empty': ''},
    )
    recording = Recording(tmp_path / 'a.h5')
    assert recording.episodes[0].parameters == {'load_kg': 1.5, 'count': 3, 'on': True, 't': 'é'}
    assert recording.attributes == {'seed': 3, 'note': 'é', 'empty': ''}


def test_descriptions_lie_under_the_checksums_of_hdf5(tiny_recording):
    """Text of variable length would lie in a heap without a checksum."""
    with h5py.File(tiny_recording) as file:
        holders = [file, *file['modalities'].values(), *file['episodes'].values()]
        attributes = [holder.attrs.get_id(key) for holder in holders for key in holder.attrs]
        assert len(attributes) > 20
        assert all(attribute.dtype.kind in 'fiuS' for attribute in attributes)


def _write(path, **change):
    camera = Modality('eye', 'image', 10.0, ('grey',), ('1',), (0.0,), (1.0,), (0.01,), (8, 8))
    frames = np.random.default_rng(0).integers(90, 160, (60, 8, 8, 1)).astype(np.uint8)
    modalities = {'eye': camera, 'gauge': GAUGE}
    signals = {'eye': frames, 'gauge': _sine()}
    for name, (fields, signal) in change.items():
        modalities[name] = replace(modalities[name], **fields)
        signals[name] = signals[name] if signal is None else signal
    write_recording(path, list(modalities.values()), [Episode('e', signals)])
    return path


GREY = np.full((60, 8, 8, 1), 7, np.uint8)
UNLIKELY = {
    'range of an image': ({'eye': ({'high': (255.0,)}, None)}, "'eye': the range 0 to 255 of an"),
    'noise': (
        {'gauge': ({'noise': (7.0,)}, None)},
        r"'p': the noise 7 is 9\.\d times the stan",
    ),
    'constant': ({'gauge': ({}, np.full((60, 1), 4, 'f4'))}, "'p': all samples are 4; a constant"),
    'constant image': ({'eye': ({}, GREY)}, "'eye', channel 'grey': all samples are 0.0274"),
}


@pytest.mark.parametrize('name', UNLIKELY)
def test_unlikely_descriptions_are_warnings(tmp_path, name, capsys):
    change, message = UNLIKELY[name]
    path = _write(tmp_path / 'a.h5', **change)
    (finding,) = findings(Recording(path))
    assert not finding.is_error
    assert list(problems(Recording(path))) == []
    assert re.search(message, finding.text)
    data.check(str(path))
    shown = capsys.readouterr().out
    assert 'warning: ' in shown
    assert 'good, 1 episodes, 6.0 s, 2 modalities, 1 warnings' in shown


def test_a_usual_recording_has_no_warning(tmp_path):
    assert list(findings(Recording(_write(tmp_path / 'a.h5')))) == []


def test_inspect_shows_no_escapes(tmp_path, capsys):
    path = tmp_path / 'a.h5'
    episode = Episode('e', {'gauge': _sine()})
    write_recording(path, [GAUGE], [episode], {'note': 'red \x1b[31m', 'a\x07': 1})
    data.inspect(str(path))
    shown = capsys.readouterr().out
    assert '\x1b[31m' not in shown
    assert r'note: red \x1b[31m' in shown
