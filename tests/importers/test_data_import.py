"""`lipfault data import` from words to a recording."""

import builtins
import json
import sys

import numpy as np
import pytest

from lipfault.cli.main import main
from lipfault.data.recording import Recording


@pytest.fixture
def logs(tmp_path):
    """Two logs of one clock that start and end at different times."""
    folder = tmp_path / 'logs'
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, rate, start in (('imu', 50, 100.0), ('motor', 20, 100.2)):
        times = start + np.arange(rate * 8) / rate
        values = np.sin(times) + rng.normal(0, 0.02, len(times))
        rows = [f'{time:.6f},{value:.3f}' for time, value in zip(times, values, strict=True)]
        (folder / f'{name}.csv').write_text('time [s],angle [rad]\n' + '\n'.join(rows) + '\n')
    return folder


def run(*words):
    main(['data', 'import', *map(str, words)])


def test_two_files_are_merged_reported_and_proposed(logs, tmp_path, capsys):
    out, yaml = tmp_path / 'out.h5', tmp_path / 'map.yaml'
    run(logs / 'imu.csv', logs / 'motor.csv', '--out', out, '--propose', yaml)
    text = capsys.readouterr().out
    for word in ('Clocks', 'imu', 'motor', '50', '20', 'estimated: low, high, noise, quantum'):
        assert word in text
    recording = Recording(out)
    assert {name: each.rate_hz for name, each in recording.modalities.items()} == {
        'imu': 50,
        'motor': 20,
    }
    assert recording.modalities['imu'].units == ('rad',)
    assert recording.modalities['imu'].quantum == (0.001,)
    clocks = json.loads(str(recording.attributes['clocks']))
    assert clocks['motor'][0]['start_s'] == 0
    assert clocks['imu'][0]['start_s'] == pytest.approx(-0.2)
    # 0.2 s before the span; both last 8 s.
    assert clocks['imu'][0]['end_s'] == pytest.approx(0, abs=1e-4)
    assert clocks['motor'][0]['end_s'] == pytest.approx(0.2, abs=1e-4)
    assert clocks['imu'][0]['measured_hz'] == pytest.approx(50)
    # The proposal is a mapping that gives the same recording.
    run(logs / 'imu.csv', logs / 'motor.csv', f'--out={tmp_path / "again.h5"}', f'--mapping={yaml}')
    again = Recording(tmp_path / 'again.h5')
    assert again.modalities == recording.modalities
    for name in ('imu', 'motor'):
        length = recording.episodes[0].lengths[name]
        np.testing.assert_array_equal(
            recording.read(0, name, 0, length), again.read(0, name, 0, length)
        )
    main(['data', 'check', '--path', str(out)])


def test_a_folder_with_options_and_a_proposal_alone(logs, tmp_path):
    yaml = tmp_path / 'map.yaml'
    # Both have the same columns and would be episodes.
    run(
        logs, '--propose', yaml, '--reader', 'csv', '--options', '{time: "time [s]", files: fields}'
    )
    text = yaml.read_text()
    assert 'imu:' in text
    assert 'estimated' in text
    assert list(tmp_path.glob('*.h5')) == []


FIELDS = '--options={{files: fields}}'

WRONG = {
    'nothing to write': (['{logs}'], 'give --out FILE'),
    'no such file': (['{logs}/none.csv', '--out={out}'], 'none.csv does not exist'),
    'no mapping': (['{logs}', '--out={out}', '--mapping=none.yaml'], 'none.yaml cannot be read'),
    'no episode': (
        ['{logs}', '--out={out}', '--episodes=[x]'],
        "there is no episode 'x'; there are",
    ),
    'episodes of none': (['{logs}', '--out={out}', '--episodes=[]'], 'episodes: names none'),
    'no option': (
        ['{logs}', '--out={out}', '--options={{tome: stamp}}'],
        "there is no option 'tome'; there are time, time_unit, rate_hz",
    ),
    'no reader': (['{logs}', '--out={out}', '--reader=bag'], "no reader 'bag'"),
    'exists': (['{logs}', '--out={logs}/imu.csv'], 'imu.csv exists already'),
    'limit': (
        ['{logs}', '--out={out}', '--limits.cut=0.001', FIELDS],
        'would be cut off, more than 0%',
    ),
    'option': (
        ['{logs}', '--out={out}', '--maping=x'],
        'no option --maping; did you mean --mapping',
    ),
}


@pytest.mark.parametrize('name', WRONG)
def test_what_is_wrong_is_one_line_and_nothing_is_written(name, logs, tmp_path, capsys):
    words, message = WRONG[name]
    before = (logs / 'imu.csv').read_bytes()
    with pytest.raises(SystemExit) as caught:
        run(*(word.format(logs=logs, out=tmp_path / 'out.h5') for word in words))
    assert caught.value.code in (1, 2)
    error = capsys.readouterr().err
    assert message in error
    assert 'Traceback' not in error
    assert [path.name for path in tmp_path.iterdir()] == ['logs']
    assert (logs / 'imu.csv').read_bytes() == before


def test_folders_of_tables_in_a_folder_are_episodes(logs, tmp_path):
    # Recognized without --reader, as a folder of tables is.
    for name in ('a', 'b'):
        (tmp_path / 'drives' / name).mkdir(parents=True)
        for table in logs.iterdir():
            (tmp_path / 'drives' / name / table.name).write_bytes(table.read_bytes())
    run(tmp_path / 'drives', '--options={files: fields}', '--out', tmp_path / 'out.h5')
    assert [each.episode_id for each in Recording(tmp_path / 'out.h5').episodes] == ['a', 'b']


@pytest.mark.parametrize(
    'name', ['x.csv', 'x.h5', 'x.parquet', 'x.db3', 'x.bag', 'd/x.csv', 'd/meta/info.json']
)
def test_a_pointer_of_git_lfs_is_named_by_every_reader(name, tmp_path, capsys):
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n')
    source = tmp_path / 'd' if name[0] == 'd' else file
    with pytest.raises(SystemExit):
        run(source, '--out', tmp_path / 'out.h5')
    assert f'{file}: a pointer of Git LFS' in capsys.readouterr().err


def test_without_the_extra_the_command_names_it(logs, tmp_path, monkeypatch, capsys):
    imported = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split('.')[0] == 'pyarrow':
            raise ModuleNotFoundError(f'No module named {name!r}', name='pyarrow')
        return imported(name, *args, **kwargs)

    for name in list(sys.modules):
        if name.startswith('lipfault.importers.readers.'):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, '__import__', without)
    with pytest.raises(SystemExit):
        run(logs, '--out', tmp_path / 'out.h5')
    assert 'needs the package \'pyarrow\': pip install "lipfault[importers]"' in (
        capsys.readouterr().err
    )


def test_the_disk_fills_up_half_way(logs, tmp_path, monkeypatch, capsys):
    from lipfault.runs.atomic import Sink

    written = Sink.write

    def full(self, data):
        if self.tell() > 4096 and self._error is None:
            self._error = OSError(28, 'No space left on device')
        return written(self, data)

    monkeypatch.setattr(Sink, 'write', full)
    with pytest.raises(SystemExit):
        run(logs, '--out', tmp_path / 'out.h5')
    assert 'No space left on device' in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ['logs']
