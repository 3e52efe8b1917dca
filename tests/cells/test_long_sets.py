import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from lipfault.cells import long_sets, set_files
from lipfault.cells.long_sets import SETS, LongSet, compare
from lipfault.cells.registry import CELLS, simulate_episode
from lipfault.cells.set_files import (
    assemble,
    parts_path,
    require_plan,
    set_path,
    simulate_parts,
    verified,
)
from lipfault.cli import data
from lipfault.cli.main import main
from lipfault.data.checksum import Checksum, content_checksum
from lipfault.data.episode import Episode
from lipfault.data.recording import Recording
from lipfault.errors import LipfaultError

ROOT = Path(__file__).parents[2]

# Four episodes of 1 s.
PLAN = LongSet('ur5', 'test', hours=3.5 / 3600, image_size=16, episode_s=1.0)


def fake_episode(cell, seed, index, *, image_size, episode_s, variety, camera_bits):
    """Stands in for MuJoCo; like it, a function of its arguments."""
    random = np.random.default_rng([seed, index])
    signals = {}
    for modality in CELLS[cell].modalities(image_size, variety=variety, camera_bits=camera_bits):
        length = round(episode_s * modality.rate_hz)
        if modality.kind == 'image':
            shape = (length, *modality.size, 3)
            signals[modality.name] = random.integers(0, 256, shape, dtype=np.uint8)
        else:
            steps = random.integers(-9, 10, (length, len(modality.channels)))
            signals[modality.name] = (steps * np.array(modality.quantum)).astype(np.float32)
            np.clip(signals[modality.name], modality.low, modality.high, signals[modality.name])
    return Episode(f'{cell}-{index:04d}', signals, {'pace': random.random()})


@pytest.fixture
def fake(mujoco, monkeypatch):
    """Indices of the simulated episodes."""
    asked = []

    def simulate(*args, **options):
        asked.append(args[2])
        return fake_episode(*args, **options)

    monkeypatch.setattr(set_files, 'simulate_episode', simulate)
    return asked


def make(plan, folder):
    for _ in simulate_parts(plan, folder):
        pass
    return assemble(plan, folder)


@pytest.fixture
def whole(tmp_path, fake):
    checksum = make(PLAN, tmp_path / 'whole')
    fake.clear()
    return checksum


def kill_in_the_third(folder):
    def simulate(*args, **options):
        if args[2] == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return fake_episode(*args, **options)

    set_files.simulate_episode = simulate
    list(simulate_parts(PLAN, Path(folder)))


def test_a_killed_run_goes_on_to_the_same_contents(tmp_path, fake, whole):
    # Not a forked process: Python warns of one where threads run, such as those of other tests.
    code = f'import runpy; runpy.run_path({__file__!r})["kill_in_the_third"]({str(tmp_path)!r})'
    child = subprocess.run([sys.executable, '-c', code], cwd=ROOT)
    assert child.returncode == -signal.SIGKILL
    assert verified(PLAN, tmp_path) is None
    assert make(PLAN, tmp_path) == whole
    assert fake == [2, 3]
    assert verified(PLAN, tmp_path) == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ['ur5-test.h5', 'whole']


def test_a_damaged_part_is_made_again(tmp_path, fake, whole):
    list(simulate_parts(PLAN, tmp_path))
    part = parts_path(PLAN, tmp_path) / 'ur5-0001.h5'
    part.write_bytes(part.read_bytes()[:3000])
    fake.clear()
    assert make(PLAN, tmp_path) == whole
    assert fake == [1]


def test_a_longer_set_goes_on_with_the_same_episodes(tmp_path, fake):
    list(simulate_parts(PLAN, tmp_path))
    fake.clear()
    assert list(simulate_parts(replace(PLAN, hours=6 / 3600), tmp_path)) == [0, 1, 2, 3, 4, 5]
    assert fake == [4, 5]


def test_the_checksum_covers_the_contents_and_nothing_else(tmp_path, fake, whole):
    path = set_path(PLAN, tmp_path / 'whole')
    assert content_checksum(Recording(path)) == whole
    with h5py.File(path, 'r+') as file:
        file.attrs['note'] = 'moved'
    assert verified(PLAN, path.parent) == whole
    with h5py.File(path, 'r+') as file:
        file['episodes/ur5-0002/camera'][3, 2, 1, 0] ^= 1
        del file['episodes/ur5-0002/camera'].attrs['crc32']
    changed = content_checksum(Recording(path))
    assert changed.series == whole.series
    assert changed.images != whole.images
    with pytest.raises(LipfaultError, match='contents have changed'):
        verified(PLAN, path.parent)
    with h5py.File(path, 'r+') as file:
        file['episodes/ur5-0002/camera'][3, 2, 1, 0] ^= 1
        file['episodes/ur5-0000'].attrs['parameters'] = '{"pace": 0.5}'
    assert content_checksum(Recording(path)).images == whole.images
    assert content_checksum(Recording(path)).series != whole.series


@pytest.mark.parametrize(
    'other', [{'variety': 0.0}, {'camera_bits': 5}, {'image_size': 32}, {'hours': 2 / 3600}]
)
def test_a_finished_set_of_other_settings_is_kept(tmp_path, fake, whole, other):
    path = set_path(PLAN, tmp_path / 'whole')
    before = path.read_bytes()
    with pytest.raises(LipfaultError, match=r'other settings.*not overwritten'):
        verified(replace(PLAN, **other), path.parent)
    assert path.read_bytes() == before


def test_parts_of_other_settings_are_kept(tmp_path, fake):
    list(simulate_parts(PLAN, tmp_path))
    part = parts_path(PLAN, tmp_path) / 'ur5-0000.h5'
    before = part.read_bytes()
    with pytest.raises(LipfaultError, match=r'other settings: variety 1.0 instead of 0.5'):
        list(simulate_parts(replace(PLAN, variety=0.5), tmp_path))
    assert part.read_bytes() == before


def test_the_finished_set_passes_the_check(whole, tmp_path, capsys):
    data.check(str(set_path(PLAN, tmp_path / 'whole')))
    assert 'good, 4 episodes' in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_named_before_the_simulation(tmp_path, fake):
    (tmp_path / 'file').touch()
    with pytest.raises(LipfaultError, match=r'cannot write to .*file'):
        list(simulate_parts(PLAN, tmp_path / 'file'))
    assert fake == []


def test_no_process_is_too_few(tmp_path):
    with pytest.raises(LipfaultError, match='jobs must be at least 1, got 0'):
        list(simulate_parts(PLAN, tmp_path, jobs=0))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'name': 'tset'}, "no set 'tset'; choose one of train, calibration, test"),
        ({'cell': 'ur10'}, "no cell 'ur10'"),
        ({'hours': -1.0}, 'hours must be above 0'),
        ({'hours': 0.0}, 'hours must be above 0'),
        ({'hours': float('nan')}, 'hours must be above 0'),
        ({'hours': float('inf')}, 'hours must be above 0'),
        ({'variety': 2.0}, 'variety'),
    ],
)
def test_wrong_settings_say_what_is_right(changes, message):
    with pytest.raises(LipfaultError, match=message):
        require_plan(replace(PLAN, **changes))


def test_the_sets_are_long_and_share_no_episode():
    hours = {name: LongSet('ur5', name, entry.hours).episodes * 20 for name, entry in SETS.items()}
    assert hours['test'] >= 7200
    assert hours['calibration'] >= 3600
    seeds = [entry.seed for entry in SETS.values()]
    seeds += {Recording(path).attributes['seed'] for path in (ROOT / 'data').glob('*.h5')}
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize(
    ('reference', 'message'),
    [
        (None, "no reference for ur5 test, 4 x 1 s.*'ur5 test, 4 x 1 s.*': \\('a', 'b'\\),"),
        (('a', 'b'), 'contents are equal'),
        (('a', 'c'), 'pixels are not: this graphics card or OpenGL driver'),
        (('c', 'b'), 'series are not equal'),
    ],
)
def test_other_contents_than_the_reference_are_reported(monkeypatch, reference, message):
    table = {} if reference is None else {PLAN.title: reference}
    monkeypatch.setattr(long_sets, 'REFERENCE', table)
    assert re.search(message, compare(PLAN, Checksum('a', 'b')), flags=re.DOTALL)


def test_the_command_makes_a_set_and_verifies_it_afterwards(tmp_path, fake, capsys):
    options = {'cell': 'ur5', 'set': 'calibration', 'folder': str(tmp_path)}
    options |= {'hours': 0.01, 'image_size': 16}
    data.benchmark(**options)
    shown = capsys.readouterr().out
    assert 'written, 2 episodes of 20 s' in shown
    assert 'there is no reference' in shown
    assert fake == [0, 1]
    data.benchmark(**options)
    assert 'verified, 2 episodes' in capsys.readouterr().out
    assert fake == [0, 1]


def test_ctrl_c_ends_the_command_with_a_line(tmp_path, fake, monkeypatch, capsys):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(set_files, 'simulate_episode', interrupted)
    with pytest.raises(SystemExit) as exit_info:
        data.benchmark(cell='ur5', set='test', folder=str(tmp_path), hours=0.01, image_size=16)
    assert exit_info.value.code == 130
    assert 'the same command goes on' in capsys.readouterr().out.replace('\n', ' ')


def test_a_wrong_set_is_one_line_and_status_1(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(['data', 'benchmark', '--set', 'tset', '--folder', str(tmp_path)])
    assert exit_info.value.code == 1
    assert "no set 'tset'" in capsys.readouterr().err


@pytest.mark.slow
def test_several_processes_make_the_same_episodes(tmp_path, opengl):
    plan = replace(PLAN, hours=0.4 / 3600, episode_s=0.2)
    assert sorted(simulate_parts(plan, tmp_path, jobs=2)) == [0, 1]
    assemble(plan, tmp_path)
    recording = Recording(set_path(plan, tmp_path))
    episode = simulate_episode(
        'ur5', plan.seed, 1, image_size=16, episode_s=0.2, variety=1.0, camera_bits=8
    )
    assert recording.episodes[1].parameters == episode.parameters
    for name, samples in episode.signals.items():
        np.testing.assert_array_equal(recording.read(1, name, 0, len(samples)), samples)
