"""Bad input gives one message that names the faulty item, and damages no existing file."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest

from lipfault.data.recording import Recording
from lipfault.data.recording_set import RecordingSet
from lipfault.data.writer import write_recording
from lipfault.errors import LipfaultError


def _drop(name):
    def spoil(file):
        del file[name]

    return spoil


def _attribute(place, key, value):
    def spoil(file):
        if value is None:
            del file[place].attrs[key]
        else:
            file[place].attrs[key] = value

    return spoil


def _dataset(name, values):
    def spoil(file):
        if name in file:
            del file[name]
        file[name] = values

    return spoil


def _group(name):
    def spoil(file):
        del file[name]
        file.create_group(name)

    return spoil


CAMERA = 'episodes/swing-01/camera'
FORCE = 'episodes/swing-01/force'
SPOILS = {
    'no format': (_attribute('/', 'format', None), "root attribute format must be 'lipfault"),
    'other format': (_attribute('/', 'format', 'mine'), 'is no recording'),
    'other version': (_attribute('/', 'format_version', 3), 'format version 3 is not supported'),
    'no version': (_attribute('/', 'format_version', None), 'format version None is not'),
    'no episodes': (_drop('episodes'), 'group /episodes is missing or empty'),
    'no modalities': (_drop('modalities'), 'group /modalities is missing or empty'),
    'missing modality': (_drop(FORCE), "'swing-01': lacks the modality 'force'"),
    'group, no array': (_group(FORCE), "'swing-01': modality 'force' is no array"),
    'wrong shape': (_dataset(FORCE, np.zeros((300, 3), 'f4')), r"'force': shape must .* got \(300"),
    'no steps': (_dataset(FORCE, np.zeros((0, 2), 'f4')), r"'force': shape must .* got \(0, 2\)"),
    'flat': (_dataset(FORCE, np.zeros(300, 'f4')), r"'force': shape must .* got \(300,\)"),
    'scalar': (_dataset(FORCE, np.float32(1)), r"'force': shape must .* got \(\)"),
    'wrong dtype': (_dataset(FORCE, np.zeros((300, 2))), "'force': dtype must be float32, got fl"),
    'float image': (_dataset(CAMERA, np.zeros((30, 16, 16, 3), 'f4')), "'camera': dtype must be"),
    'grey image': (_dataset(CAMERA, np.zeros((30, 16, 16, 1), 'u1')), "'camera': shape must be"),
    'too short': (_dataset(FORCE, np.zeros((200, 2), 'f4')), "'force' lasts 2.000 s but .* 3.000"),
    'no rate': (_attribute('modalities/force', 'rate_hz', None), "force lacks .*'rate_hz'"),
    'negative rate': (_attribute('modalities/force', 'rate_hz', -1.0), "'force': rate_hz must"),
    'text as rate': (_attribute('modalities/force', 'rate_hz', 'fast'), 'force has .* wrong type'),
    'units too few': (_attribute('modalities/force', 'units', ['N']), "'force': units must have"),
    'text, no list': (_attribute('modalities/force', 'channels', 'xy'), "'channels' must be a lis"),
    'array, no episode': (_dataset('episodes/x', np.zeros(3)), "episode 'x': is no group of arr"),
    'other kind': (_attribute('modalities/force', 'kind', 'sound'), "'force': kind must be"),
    'parameters': (_attribute('episodes/swing-01', 'parameters', '{'), "'swing-01': .* not JSON"),
    'parameter list': (_attribute('episodes/swing-01', 'parameters', '[]'), 'a JSON object'),
    'mask length': (_dataset(f'{FORCE}_present', np.ones(3, bool)), r'force_present must be \(300'),
}


@pytest.fixture
def copy(tmp_path, tiny_recording):
    path = tmp_path / 'copy.h5'
    path.write_bytes(tiny_recording.read_bytes())
    return path


@pytest.mark.parametrize('name', SPOILS)
def test_a_spoilt_description_is_refused(copy, name):
    spoil, message = SPOILS[name]
    with h5py.File(copy, 'r+') as file:
        spoil(file)
    with pytest.raises(LipfaultError, match=message) as caught:
        Recording(copy)
    assert str(copy) in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('share', [0.0, 0.001, 0.3, 0.7, 0.999])
def test_a_truncated_file_is_refused(copy, share):
    content = copy.read_bytes()
    copy.write_bytes(content[: int(share * len(content))])
    with pytest.raises(LipfaultError, match=r'copy\.h5: cannot be read.*damaged or truncated'):
        Recording(copy)


def test_a_damaged_chunk_is_refused_when_read(copy):
    with h5py.File(copy) as file:
        chunk = file[FORCE].id.get_chunk_info(1)
    content = bytearray(copy.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b'\xff' * chunk.size
    copy.write_bytes(content)
    recording = Recording(copy)
    recording.read(1, 'force', 0, 100)
    with pytest.raises(LipfaultError, match="'swing-01', modality 'force': cannot be read"):
        recording.read(1, 'force', 120, 140)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused_when_read(copy, value):
    with h5py.File(copy, 'r+') as file:
        file[FORCE][150, 1] = value
    recording = Recording(copy)
    recording.read(1, 'force', 0, 150)
    message = rf"'swing-01', modality 'force': {value} at step 150 \(1.500 s\), channel 'fy'"
    with pytest.raises(LipfaultError, match=message):
        recording.read(1, 'force', 100, 200)


@pytest.mark.parametrize(('make', 'message'), [(None, 'does not exist'), ('dir', 'is a folder')])
def test_a_path_that_is_no_file_is_refused(tmp_path, make, message):
    path = tmp_path / 'x.h5'
    if make:
        path.mkdir()
    with pytest.raises(LipfaultError, match=f'recording .*x.h5 {message}'):
        Recording(path)


def test_a_file_that_is_being_written_is_refused(copy):
    with copy.open('rb') as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LipfaultError, match=r'copy\.h5: cannot be read: another program'):
            Recording(copy)


def test_a_file_system_without_locks_is_no_obstacle(copy, monkeypatch):
    def file(path, mode, *, locking, **options):
        if locking:
            raise OSError(errno.ENOLCK, 'No locks available')
        return opened(path, mode, locking=False, **options)

    opened = h5py.File
    monkeypatch.setattr(h5py, 'File', file)
    assert len(Recording(copy).episodes) == 6


def test_a_text_file_is_refused(tmp_path):
    path = tmp_path / 'x.h5'
    path.write_text('time,force\n')
    with pytest.raises(LipfaultError, match=r'x\.h5: cannot be read'):
        Recording(path)


def test_recordings_that_do_not_belong_together_are_refused(
    tmp_path, tiny_recording, tiny_modalities, tiny_episodes
):
    faster = [replace(m, rate_hz=2 * m.rate_hz) for m in tiny_modalities.values()]
    write_recording(tmp_path / 'fast.h5', faster, tiny_episodes)
    with pytest.raises(LipfaultError, match=r"fast\.h5: modality 'camera' differs from .*tiny\.h5"):
        RecordingSet([tiny_recording, tmp_path / 'fast.h5'])
    with pytest.raises(LipfaultError, match='have the same name'):
        RecordingSet([tiny_recording, tmp_path / 'tiny.h5'])
    with pytest.raises(LipfaultError, match='no recording given'):
        RecordingSet([])


def _with(episode, **signals):
    return replace(episode, signals={**episode.signals, **signals})


def _force(change):
    def spoil(episode):
        force = episode.signals['force'].copy()
        force[7, 1] = change
        return _with(episode, force=force)

    return spoil


EPISODES = {
    'NaN': (_force(np.nan), "'force': nan at step 7 .*channel 'fy'"),
    'Inf': (_force(np.inf), "'force': inf at step 7"),
    'range': (_force(1e4), "'force': 10000 N at step 7, channel 'fy', is outside .* -60 to 60"),
    'dtype': (lambda e: _with(e, force=np.zeros((300, 2))), "'force': dtype must be float32"),
    'shape': (lambda e: _with(e, camera=e.signals['camera'][:, :8]), "'camera': shape must be"),
    'shorter': (lambda e: _with(e, force=e.signals['force'][:250]), "'force' lasts 2.500 s but"),
    'missing': (lambda e: replace(e, signals={}), r'must hold the modalities .* got \[\]'),
    'extra': (lambda e: _with(e, sound=np.zeros(3)), 'must hold the modalities'),
    'slash': (lambda e: replace(e, episode_id='a/b'), "'a/b': an id must not be empty nor hold"),
    'twice': (lambda e: replace(e, episode_id='swing-00'), "'swing-00': the id occurs twice"),
    'mask': (
        lambda e: replace(e, present={'force': np.ones(4, bool)}),
        r"'force': presence must be \(300,\) bool, got \(4,\) bool",
    ),
}


@pytest.mark.parametrize('name', EPISODES)
@pytest.mark.parametrize('exists', [False, True])
def test_a_bad_episode_leaves_nothing_behind(
    tmp_path, tiny_modalities, tiny_episodes, name, exists
):
    spoil, message = EPISODES[name]
    path = tmp_path / 'a.h5'
    if exists:
        path.write_text('precious')
    episodes = [tiny_episodes[0], spoil(tiny_episodes[1])]
    with pytest.raises(LipfaultError, match=message):
        write_recording(path, list(tiny_modalities.values()), episodes, overwrite=True)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == (
        {'a.h5': 'precious'} if exists else {}
    )


def test_an_interrupted_simulation_leaves_nothing_behind(tmp_path, tiny_modalities, tiny_episodes):
    def episodes():
        yield tiny_episodes[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_recording(tmp_path / 'a.h5', list(tiny_modalities.values()), episodes())
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_write_is_refused(tmp_path, tiny_modalities, tiny_episodes):
    modalities = list(tiny_modalities.values())
    with pytest.raises(LipfaultError, match='there is no episode to write'):
        write_recording(tmp_path / 'a.h5', modalities, [])
    with pytest.raises(LipfaultError, match='unique names'):
        write_recording(tmp_path / 'a.h5', modalities * 2, tiny_episodes)
    with pytest.raises(LipfaultError, match='unique names'):
        write_recording(tmp_path / 'a.h5', [], tiny_episodes)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept_unless_overwrite_is_set(tmp_path, tiny_modalities, tiny_episodes):
    path = tmp_path / 'a.h5'
    path.write_text('precious')
    modalities = list(tiny_modalities.values())
    with pytest.raises(LipfaultError, match=r'a\.h5 exists already; .* overwrite=true'):
        write_recording(path, modalities, tiny_episodes)
    assert path.read_text() == 'precious'
    write_recording(path, modalities, tiny_episodes, overwrite=True)
    assert len(Recording(path).episodes) == len(tiny_episodes)


@pytest.mark.parametrize('place', ['/proc/nowhere/a.h5', '/dev/null/a.h5'])
def test_an_impossible_place_is_named(tiny_modalities, tiny_episodes, place):
    with pytest.raises(LipfaultError, match=f'cannot write {place}: '):
        write_recording(place, list(tiny_modalities.values()), tiny_episodes)


FULL_DISK = """
import json, os, resource, signal, sys
from lipfault.data.recording import Recording
from lipfault.data.episode import Episode
from lipfault.data.writer import write_recording
from lipfault.errors import LipfaultError

source, path, limits = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
old = Recording(source)
episodes = [
    Episode(info.episode_id, {n: old.read(i, n, 0, info.lengths[n]) for n in old.modalities})
    for i, info in enumerate(old.episodes)
]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for limit in limits:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write_recording(path, list(old.modalities.values()), episodes, overwrite=True)
    except LipfaultError as error:
        os.write(1, f'{error}\\n'.encode())
"""


def test_a_full_disk_is_reported_and_harms_nothing(tmp_path, tiny_recording):
    """HDF5 itself crashes here: the limit is met at every stage, closing included."""
    path = tmp_path / 'a.h5'
    path.write_text('precious')
    size = tiny_recording.stat().st_size
    limits = [0, 1, *range(1000, size - size // 20, size // 24)]
    arguments = [str(tiny_recording), str(path), json.dumps(limits)]
    run = subprocess.run(
        [sys.executable, '-c', FULL_DISK, *arguments], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, '')
    assert run.stdout.splitlines() == [f'cannot write {path}: {os.strerror(errno.EFBIG)}'] * len(
        limits
    )
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [('a.h5', 'precious')]
