"""Several processes share a study, and nothing is lost when one of them dies."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lipfault.cli.sweep import sweep
from lipfault.errors import LipfaultError

pytest.importorskip('optuna')
ROOT = Path(__file__).parents[2]

# Stands for `lipfault fit`: logs a metric that is a function of the parameters, slowly.
TRIAL = """
import sys, time, pathlib
given = dict(word.lstrip('-').split('=', 1) for word in sys.argv[1:] if '=' in word)
run = pathlib.Path(given['run'])
resumed = given.get('ckpt_path') == 'last'
run.mkdir(parents=True, exist_ok=resumed)
with (run / 'starts').open('a') as file:
    file.write('resumed' if resumed else 'fresh')
x, y = float(given['x']), float(given['y'])
time.sleep(0 if resumed else {seconds})
if x == {bad}:
    sys.exit(1)
(run / 'metrics.csv').write_text(f'step,val/loss,other\\n0,9,1\\n1,{{x * 10 + y}},nan\\n')
"""
FILE = """
method: {method}
metric: {{name: val/loss, goal: minimize}}
parameters:
  x: {{values: [1, 2, 3]}}
  y: {y}
command: ['${{interpreter}}', {trial}, '${{args}}']
"""


@pytest.fixture
def write(tmp_path: Path):
    """Writes the sweep file of a slow trial."""

    def written(seconds=0.0, bad=-1, method='grid', y='{values: [4, 5]}') -> Path:
        (tmp_path / 'trial.py').write_text(TRIAL.format(seconds=seconds, bad=bad))
        file = tmp_path / 'sweep.yaml'
        file.write_text(FILE.format(method=method, y=y, trial=tmp_path / 'trial.py'))
        return file

    return written


def start(file: Path, study: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, '-m', 'lipfault', 'sweep', '--file', str(file), '--study', str(study)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {'PYTHONPATH': str(ROOT)},
    )


def results(study: Path) -> list[dict]:
    return json.loads((study / 'results.json').read_text())['trials']


def starts(study: Path) -> list[str]:
    return sorted(path.read_text() for path in study.glob('trials/*/starts'))


def start_trial(file: Path, study: Path) -> subprocess.Popen:
    """Start a process, and wait until it works on its first trial."""
    worker = start(file, study)
    while not list(study.glob('trials/*/starts')):
        assert worker.poll() is None, worker.communicate()
        time.sleep(0.05)
    return worker


def test_two_processes_share_a_grid(write, tmp_path: Path) -> None:
    study = tmp_path / 'study'
    workers = [start(write(seconds=0.7), study) for _ in range(2)]
    printed = [worker.communicate(timeout=120)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert min(text.count('trial ') for text in printed) > 1, 'one process did all the work'
    found = results(study)
    assert sorted((t['values']['x'], t['values']['y']) for t in found) == [
        (x, y) for x in (1, 2, 3) for y in (4, 5)
    ]
    for trial in found:
        x, y = trial['values'].values()
        assert trial['state'] == 'complete'
        assert trial['metrics'] == {'val/loss': 10 * x + y}
    assert starts(study) == ['fresh'] * 6


def test_killed_process_loses_nothing(write, tmp_path: Path) -> None:
    """A trial whose process was killed is resumed in its folder, once nobody works on it."""
    study, file = tmp_path / 'study', write(seconds=2.0)
    worker = start_trial(file, study)
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    time.sleep(0.2)
    write(seconds=0.0)
    sweep(str(file), str(study))
    running = [t for t in results(study) if t['state'] == 'running']
    assert len(running) == 1, 'the orphan still works on its trial, nobody else may'
    time.sleep(2.5)
    sweep(str(file), str(study))
    found = results(study)
    assert [t['state'] for t in found] == ['complete'] * 6
    assert len({tuple(t['values'].values()) for t in found}) == 6
    assert starts(study) == ['fresh'] * 5 + ['freshresumed']


def test_terminated_process_takes_its_trial_along(write, tmp_path: Path) -> None:
    study, file = tmp_path / 'study', write(seconds=300.0)
    worker = start_trial(file, study)
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=60)
    assert worker.returncode == 128 + signal.SIGTERM
    write(seconds=0.0)
    sweep(str(file), str(study))
    assert [t['state'] for t in results(study)] == ['complete'] * 6
    assert starts(study) == ['fresh'] * 5 + ['freshresumed']


def test_a_finished_study_repeats_nothing(write, tmp_path: Path, capsys) -> None:
    file = write()
    sweep(str(file), str(tmp_path / 'study'))
    sweep(str(file), str(tmp_path / 'study'))
    assert starts(tmp_path / 'study') == ['fresh'] * 6
    assert 'best val/loss 14: trial' in capsys.readouterr().out


@pytest.mark.parametrize('method', ['random', 'bayes'])
def test_drawn_trials_are_a_function_of_the_seed(write, tmp_path: Path, method: str) -> None:
    file = write(method=method, y='{min: 0.001, max: 1.0, distribution: log_uniform_values}')
    for study in ('a', 'b'):
        sweep(str(file), str(tmp_path / study), trials=4, seed=7)
    a, b = ([t['values'] for t in results(tmp_path / study)] for study in 'ab')
    assert a == b
    assert len(a) == 4
    assert len({t['y'] for t in a}) == 4
    sweep(str(file), str(tmp_path / 'a'), trials=6, seed=7)
    assert [t['values'] for t in results(tmp_path / 'a')][:4] == a
    assert len(results(tmp_path / 'a')) == 6


def test_one_failure_is_noted_two_in_a_row_stop(write, tmp_path: Path) -> None:
    with pytest.raises(LipfaultError, match=r'2 trials failed in a row: see .*0001\.log'):
        sweep(str(write(bad=1)), str(tmp_path / 'two'))
    sweep(str(write(bad=3, y='{values: [4]}')), str(tmp_path / 'one'))
    assert [t['state'] for t in results(tmp_path / 'one')] == ['complete', 'complete', 'fail']


def test_study_of_another_sweep_is_refused(write, tmp_path: Path) -> None:
    sweep(str(write()), str(tmp_path / 'study'))
    with pytest.raises(LipfaultError, match='another sweep: parameters differ'):
        sweep(str(write(y='{values: [4, 5, 6]}')), str(tmp_path / 'study'))


def test_missing_extra_is_named(write, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, 'lipfault.sweeps.study', None)
    with pytest.raises(LipfaultError, match=r"pip install 'lipfault\[sweep\]'"):
        sweep(str(write()), str(tmp_path / 'study'))
