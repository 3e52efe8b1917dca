"""The runner: resumed runs, shared runs, changed configurations, processes."""

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Barrier

import pytest
import torch
import yaml

from experiments import __main__ as command
from experiments.__main__ import main
from experiments.runner import run as run_module
from experiments.runner.catalogue import experiments, results_folder
from experiments.runner.execute import execute, wanted_state
from experiments.runner.run import Run, with_stage_one
from experiments.runner.state import State, check_unchanged, flat, read_state
from lipfault.cli.lightning import settings
from lipfault.errors import LipfaultError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(run_module, 'ROOT', tmp_path / 'runs')


BELOW = Run('quick/a-0/pretrain', ('one.yaml',))
ABOVE = Run('quick/a-0/ours', ('two.yaml',), ('--data.seed=0',), BELOW)


def settings_of(args, rate=0.1):
    return {'model': {'lr': rate, 'init_args': {'pretrained': 'x'}}, 'run': 'y', 'args': args}


class Lipfault:
    """Command that records its calls and fails at one of them if configured."""

    def __init__(self, fails=''):
        self.calls, self.fails = [], fails

    def __call__(self, args):
        self.calls.append(args[0])
        if args[0] == self.fails:
            raise LipfaultError('interrupted')
        return 1.5


def test_a_run_is_trained_and_tested_once():
    command, wanted = Lipfault(), wanted_state(ABOVE, settings_of)
    for _ in range(2):
        state = execute(ABOVE, wanted, command)
    assert command.calls == ['fit', 'test']
    assert state.done == 'tested'
    assert state.cpu_s == {'fit': 1.5, 'test': 1.5}


@pytest.mark.parametrize(
    ('fails', 'then'), [('fit', ['fit', 'test']), ('test', ['test'])], ids=['fit', 'test']
)
def test_an_interrupted_run_is_resumed(fails, then):
    wanted = wanted_state(ABOVE, settings_of)
    with pytest.raises(LipfaultError, match='interrupted'):
        execute(ABOVE, wanted, Lipfault(fails))
    again = Lipfault()
    execute(ABOVE, wanted, again)
    assert again.calls == then
    # CPU seconds of an interrupted fit are incomplete, so they are not recorded.
    known = {'test'} if fails == 'fit' else {'fit', 'test'}
    assert set(read_state(ABOVE.folder).cpu_s) == known


def test_the_command_has_configuration_folder_and_stage_one():
    calls = []
    execute(ABOVE, wanted_state(ABOVE, settings_of), lambda args: calls.append(args) or 0.0)
    fit, test = (' '.join(c) for c in calls)
    assert fit.startswith('fit --config two.yaml --data.seed=0 --run ')
    assert f'--model.pretrained {BELOW.folder}' in fit
    assert fit.endswith('--ckpt_path last')
    assert test == f'test --ckpt_path {ABOVE.folder} --report=false'


def test_a_changed_configuration_is_refused_and_named():
    execute(ABOVE, wanted_state(ABOVE, settings_of), Lipfault())

    def changed(args):
        return settings_of(args, 0.2)

    command = Lipfault()
    with pytest.raises(LipfaultError, match=r'model\.lr: 0\.1 then, 0\.2 now'):
        execute(ABOVE, wanted_state(ABOVE, changed), command)
    assert command.calls == []


def test_a_changed_stage_one_is_refused_in_stage_two():
    one, two = State({'a': 1}, 'hash of one'), State({'a': 1}, 'hash of another')
    with pytest.raises(LipfaultError, match='stage 1 has another configuration'):
        check_unchanged(one, two, Path('x'))


def test_paths_are_left_out_of_the_settings():
    assert flat(settings_of(['fit'])) == {'model.lr': 0.1, 'args': ['fit']}


def test_a_run_is_locked_by_its_runner():
    ABOVE.folder.parent.mkdir(parents=True)
    with (ABOVE.folder.parent / '.ours.lock').open('w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(LipfaultError, match='another runner'):
            execute(ABOVE, wanted_state(ABOVE, settings_of), Lipfault())


def test_a_foreign_folder_is_left_alone():
    ABOVE.folder.mkdir(parents=True)
    (ABOVE.folder / 'mine.txt').write_text('mine')
    with pytest.raises(LipfaultError, match=r'not empty, has no state\.json'):
        execute(ABOVE, wanted_state(ABOVE, settings_of), Lipfault())
    assert [p.name for p in ABOVE.folder.iterdir()] == ['mine.txt']


def test_a_tested_stage_one_is_adopted_if_its_configuration_is_the_same():
    def left(rate):
        settings = {'model': {'lr': rate, 'init_args': {'coder': {}}}, 'run': 'elsewhere'}
        settings['group'] = 'demo'
        return settings | {'trainer': {'default_root_dir': 'elsewhere', 'callbacks': []}}

    def now(args):
        trainer = {'default_root_dir': None, 'callbacks': None}
        return left(0.1) | {'trainer': trainer, 'group': None}

    BELOW.folder.mkdir(parents=True)
    (BELOW.folder / 'lipfault_config.yaml').write_text(yaml.safe_dump(left(0.1)))
    with pytest.raises(LipfaultError, match='move it out of the way'):
        execute(BELOW, wanted_state(BELOW, now), Lipfault())
    (BELOW.folder / 'metrics.json').write_text('{}')
    command = Lipfault()
    assert execute(BELOW, wanted_state(BELOW, now), command).done == 'tested'
    assert command.calls == []
    (BELOW.folder / 'state.json').unlink(missing_ok=True)
    (BELOW.folder / 'lipfault_config.yaml').write_text(yaml.safe_dump(left(0.2)))
    with pytest.raises(LipfaultError, match=r'model\.lr: 0\.2 then, 0\.1 now'):
        execute(BELOW, wanted_state(BELOW, now), command)


def test_an_unreadable_state_is_named():
    ABOVE.folder.mkdir(parents=True)
    (ABOVE.folder / 'state.json').write_text('{"settings"')
    with pytest.raises(LipfaultError, match=r'state\.json is not readable'):
        read_state(ABOVE.folder)


def test_state_is_read_back_with_its_hash():
    state = State({'a': [1, None]}, 'below', 'fitted', {'fit': 2.0})
    state.write(ABOVE.folder)
    assert read_state(ABOVE.folder) == state
    assert json.loads((ABOVE.folder / 'state.json').read_text())['hash'] == state.hash


def test_equal_settings_have_equal_hashes():
    one, two = State({'a': 1, 'b': [1.0, {'c': 2}]}), State({'a': 1.0, 'b': [1, {'c': 2.0}]})
    assert one.hash == two.hash
    assert one.hash != State({'a': 1.5, 'b': [1.0, {'c': 2}]}).hash


def test_stage_one_comes_first_and_once():
    other = Run('quick/a-0/other', ('three.yaml',), (), BELOW)
    assert with_stage_one([ABOVE, other]) == [BELOW, ABOVE, other]


@pytest.mark.parametrize('preset', ['quick', 'full'])
def test_one_name_means_one_run_in_all_experiments(preset):
    named = {}
    for experiment in experiments().values():
        for run in with_stage_one(experiment.runs(preset)):
            assert named.setdefault(run.name, run) == run
    assert len({run.settings.__str__() + run.place[-1] for run in named.values()}) == len(named)


@pytest.mark.parametrize('name', sorted(experiments()))
def test_every_experiment_is_described_in_its_readme(name):
    found, page = experiments()[name], ROOT / 'experiments' / name / 'README.md'
    assert found.question in page.read_text()
    assert f'python -m experiments run {name} --preset full' in page.read_text()
    assert set(found.cost) == {'quick', 'full'}
    for preset in found.cost:
        for run in with_stage_one(found.runs(preset)):
            for config in run.configs:
                assert isinstance(yaml.safe_load((ROOT / config).read_text()), dict), config


def run_by_itself(script):
    """Run a script in a process with a fork server of its own."""
    runner = subprocess.run(
        [sys.executable, script], env=os.environ | {'PYTHONPATH': str(ROOT)}, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert runner.returncode == 0, runner.stderr[-2000:]
    return runner


def test_a_command_has_a_process_of_its_own(tmp_path):
    script = tmp_path / 'runner.py'
    script.write_text(
        'from experiments.runner import process\n'
        'from lipfault.errors import LipfaultError\n'
        'if __name__ == "__main__":\n'
        '    process.PRELOADED = ["lipfault.cli.faults"]\n'
        '    try:\n'
        '        process.lipfault(["faults", "gallery", "--data", "nowhere.h5", "--out", "x"])\n'
        '    except LipfaultError as error:\n'
        '        print("raised:", error)\n'
        '    assert process.lipfault(["faults", "list"]) > 0\n'
    )
    runner = run_by_itself(script)
    assert 'nowhere.h5' in runner.stderr  # printed by the command
    assert 'nowhere.h5 --out x ended with status 1' in runner.stdout


def test_commands_in_several_threads_are_independent(tmp_path):
    script = tmp_path / 'runner.py'
    script.write_text(
        'from concurrent.futures import ThreadPoolExecutor\n'
        'from experiments.runner import process\n'
        'process.main = lambda args: None\n'
        'if __name__ == "__main__":\n'
        '    process.PRELOADED = ["experiments.runner.process"]\n'
        '    with ThreadPoolExecutor(2) as pool:\n'
        '        seconds = list(pool.map(process.lipfault, [["fit"]] * 200))\n'
        '    assert len(seconds) == 200\n'
    )
    run_by_itself(script)


def test_a_command_ends_with_the_runner(tmp_path):
    started = tmp_path / 'started'
    script = tmp_path / 'runner.py'
    script.write_text(
        'import sys\n'
        'from experiments.runner import process\n'
        'def wait(args):\n'
        f'    import os; open({str(started)!r}, "w").write(str(os.getpid()))\n'
        '    import time; time.sleep(60)\n'
        'process.main = wait\n'
        'if __name__ == "__main__":\n'
        '    process.PRELOADED = []\n'
        '    process.lipfault([])\n'
    )
    runner = subprocess.Popen([sys.executable, script], env=os.environ | {'PYTHONPATH': str(ROOT)})
    pid = int(_content(started))
    runner.kill()
    runner.wait()
    assert _gone(pid)


def test_settings_are_complete_and_nothing_runs(monkeypatch, tmp_path):
    configs = [ROOT / 'configs' / name for name in ('finetune.yaml', 'block/vae.yaml')]
    monkeypatch.setattr('sys.argv', ['python', 'something', 'else'])
    monkeypatch.chdir(tmp_path)
    before = torch.get_rng_state()
    found = settings(['fit', *(str(a) for c in configs for a in ('--config', c))])
    model = found['model']['init_args']
    assert model['block']['kind'] == 'vae'
    assert model['losses']['rec'] == 0  # of the upper file
    assert model['losses']['margin'] == 50  # of the lower one
    assert model['optimizer']['warmup'] == 0.1  # the default
    assert list(model['config']['clip']) == ['block.experts', 'block.corrector', 'block.detector']
    assert torch.equal(torch.get_rng_state(), before)
    assert list(tmp_path.iterdir()) == []


def _content(path, patience=60.0):
    """Return the content of a file once it is not empty."""
    end = time.monotonic() + patience
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < end, f'{path} was not written'
        time.sleep(0.05)
    return path.read_text()


def _gone(pid, patience=20.0):
    """Return whether a process ends within some seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_an_unknown_preset_is_named():
    with pytest.raises(LipfaultError, match='quick, full, got'):
        results_folder('baselines', 'slow')


def test_a_part_that_does_not_exist_is_named(capsys):
    assert main(['run', 'main_path', '--only', 'ur6-0/*']) == 1
    assert "no run of main_path is called 'ur6-0/*'" in capsys.readouterr().err


def test_a_part_comes_with_its_stage_one(monkeypatch):
    done = []
    monkeypatch.setattr(command, 'execute', lambda run, state: done.append(run.name))
    command.run('main_path', 'full', '*-0/paper')
    assert done == ['full/ur5-0/pretrain', 'full/ur5-0/paper']


def test_jobs_run_at_a_time_and_stage_one_before_them(monkeypatch):
    done, both = [], Barrier(2, timeout=60)

    def execute(run, state):
        if run.pretrained is not None:
            both.wait()  # breaks if the other is not under way
        done.append(run.name)

    monkeypatch.setattr(command, 'execute', execute)
    command.run('norm_pair', 'quick', jobs=2)
    assert done[0] == 'quick/ur5-0/pretrain'
    assert set(done[1:]) == {'quick/ur5-0/paper_0.03', 'quick/ur5-0/fault_map_0.03'}


def test_after_a_failure_no_run_is_begun(monkeypatch):
    begun = []

    def execute(run, state):
        begun.append(run.name)
        if run.pretrained is not None:
            raise LipfaultError('interrupted')

    monkeypatch.setattr(command, 'execute', execute)
    with pytest.raises(LipfaultError, match='interrupted'):
        command.run('baselines', 'quick')
    assert begun == ['quick/ur5-0/pretrain', 'quick/ur5-0/fault_map']


def test_zero_jobs_are_refused(capsys):
    assert main(['run', 'main_path', '--jobs', '0']) == 1
    assert '--jobs: must be at least 1, got 0' in capsys.readouterr().err


def test_the_list_ignores_a_foreign_folder(capsys):
    folder = run_module.ROOT / 'full/ur5-0/pretrain'
    folder.mkdir(parents=True)
    (folder / 'mine.txt').write_text('mine')
    assert main(['list']) == 0
    assert 'main_path' in capsys.readouterr().out
