"""`lipfault data` makes, shows and judges recordings."""

import h5py
import numpy as np
import pytest

from lipfault.cli import data
from lipfault.cli.main import main
from lipfault.data.recording import Recording
from lipfault.errors import LipfaultError


@pytest.fixture
def copy(tmp_path, tiny_recording):
    path = tmp_path / 'copy.h5'
    path.write_bytes(tiny_recording.read_bytes())
    return path


@pytest.fixture
def cell(monkeypatch, tiny_modalities, tiny_episodes):
    """Stands in for MuJoCo; notes what it was asked for."""
    asked = {}

    def simulate(cell, **options):
        asked.update(cell=cell, **options)
        return list(tiny_modalities.values()), iter(tiny_episodes[: options['episodes']])

    monkeypatch.setattr(data, 'simulate_cell', simulate)
    return asked


def test_simulate_writes_a_recording(tmp_path, cell, capsys):
    out = tmp_path / 'a.h5'
    data.simulate('tiny', str(out), episodes=4, seed=7, image_size=16, episode_s=3.0)
    assert cell == {
        'cell': 'tiny',
        'episodes': 4,
        'seed': 7,
        'image_size': 16,
        'episode_s': 3.0,
        'variety': 0.0,
        'camera_bits': 5,
    }
    recording = Recording(out)
    assert len(recording.episodes) == 4
    assert recording.attributes['cell'] == 'tiny'
    assert recording.attributes['seed'] == 7
    assert recording.attributes['generator'].startswith('lipfault ')
    assert '4 episodes of 3 s' in capsys.readouterr().out


def test_simulate_keeps_what_exists(copy, cell):
    before = copy.read_bytes()
    with pytest.raises(LipfaultError, match='exists already'):
        data.simulate('tiny', str(copy), episodes=2)
    assert copy.read_bytes() == before
    data.simulate('tiny', str(copy), episodes=2, overwrite=True)
    assert len(Recording(copy).episodes) == 2


def test_inspect_shows_modalities_channels_and_episodes(tiny_recording, capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '120')
    data.inspect(str(tiny_recording))
    shown = capsys.readouterr().out
    for text in ('cell: tiny', 'camera', '16 x 16', '100 Hz', 'rad/s', '-60', 'swing-05', '3.00'):
        assert text in shown


def test_check_praises_a_good_recording(tiny_recording, capsys):
    data.check(str(tiny_recording))
    assert 'good, 6 episodes, 18.0 s, 3 modalities' in capsys.readouterr().out


def test_check_names_every_signal_at_fault(copy, capsys):
    with h5py.File(copy, 'r+') as file:
        file['episodes/swing-01/force'][123, 1] = np.nan
        file['episodes/swing-04/joints'][9, 2] = 77.0
        del file['episodes/swing-01/force'].attrs['crc32']
        del file['episodes/swing-04/joints'].attrs['crc32']
    with pytest.raises(LipfaultError, match=r'2 signals are faulty; the first: .*swing-01'):
        data.check(str(copy))
    shown = capsys.readouterr().out
    assert "'swing-01', modality 'force': nan at step 123 (1.230 s), channel 'fy'" in shown
    assert "'swing-04', modality 'joints': 77 rad/s at step 9, channel 'dq0', is outside" in shown


@pytest.mark.parametrize('command', ['inspect', 'check'])
@pytest.mark.parametrize('content', [None, b'', b'time,force\n'])
def test_mistakes_are_one_line_and_status_1(tmp_path, capsys, command, content):
    path = tmp_path / 'x.h5'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SystemExit) as exit_info:
        main(['data', command, '--path', str(path)])
    assert exit_info.value.code == 1
    printed = capsys.readouterr()
    assert 'x.h5' in printed.err.replace('\n', '')
    assert 'Traceback' not in printed.err
