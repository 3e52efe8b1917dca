"""Commands write in the folder of their own run, and a run from elsewhere decides nothing else."""

import json
import os
import shutil
import signal
import subprocess
import sys
from itertools import pairwise

import pytest
import yaml
from lightning import Callback
from tiny_models import FINETUNE, PRETRAIN

from lipfault.cli.main import main
from lipfault.cli.run_config import evaluation_settings, with_reduced_configs
from lipfault.errors import LipfaultError
from lipfault.runs.checkpoints import read_checkpoint
from lipfault.runs.config import read_config
from lipfault.runs.folder import CONFIG_NAME, RunFolder
from lipfault.runs.lock import RunLock
from lipfault.tasks.trained import trained_task

# Warnings of Lightning about tiny data; tests/tasks run the same commands with warnings shown.
pytestmark = pytest.mark.filterwarnings('ignore')

SETTINGS = """
report: false
data:
  path: {path}
  window_s: 0.64
  stride_s: 0.2
  history_s: 0.3
  batch_size: 8
  splits: {{pretrain: 0.34, finetune: 0.34, calibration: 0.16, test: 0.16}}
  train_split: {stage}
  faults: {{kinds: {{series: 1, image: 1}}, held_out: [bias, fog]}}
trainer:
  max_epochs: 1
  limit_train_batches: 1
  num_sanity_val_steps: 0
  accelerator: cpu
  enable_progress_bar: false
  enable_model_summary: false
"""
MODULATION = '      modulation: {corrector.*: {mode: cap, target: 3.0}}\n'


class Strike(Callback):
    """Send SIGTERM to the own process in the first batch of a test."""

    def on_test_batch_end(self, *_) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope='module')
def root(tiny_recording, tmp_path_factory):
    """A trained run of each stage, and the configurations of both."""
    root = tmp_path_factory.mktemp('commands')
    for stage, model in (('pretrain', PRETRAIN), ('finetune', FINETUNE + MODULATION)):
        text = model + SETTINGS.format(path=root / 'tiny.h5', stage=stage)
        (root / f'{stage}.yaml').write_text(text)
    shutil.copy(tiny_recording, root / 'tiny.h5')
    first = ['--model.pretrained', str(root / 'pretrain')]
    for stage, more in (('pretrain', []), ('finetune', first)):
        main(['fit', '--config', f'{root}/{stage}.yaml', '--run', f'{root}/{stage}', *more])
    return root


@pytest.fixture
def run(root, tmp_path):
    """A copy of the run of stage 2, whose configuration still names the original."""
    shutil.copytree(root / 'finetune', tmp_path / 'copy')
    return tmp_path / 'copy'


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def refused(*args, status=1, capsys=None):
    """Return the message with which a command ends."""
    with pytest.raises(SystemExit) as end:
        main([str(arg) for arg in args])
    assert end.value.code == status
    return '' if capsys is None else ' '.join(capsys.readouterr().err.split())


def change(run, **sections):
    """Change sections of the configuration of a run, as somebody who shares a run might."""
    file = RunFolder(run).config
    settings = read_config(file)
    for name, values in sections.items():
        settings[name] |= values
    file.write_text(yaml.safe_dump(settings))


@pytest.fixture
def intruder(tmp_path, monkeypatch):
    """A module that leaves a trace when it is imported."""
    trace = tmp_path / 'trace'
    (tmp_path / 'intruder.py').write_text(f'open({str(trace)!r}, "w").close()\n')
    monkeypatch.syspath_prepend(tmp_path)
    yield trace
    sys.modules.pop('intruder', None)


def test_a_copied_run_is_tested_in_its_own_folder(root, run):
    before = files(root / 'finetune')
    main(['test', '--ckpt_path', str(run), '--report=false'])
    assert files(root / 'finetune') == before
    assert json.loads(RunFolder(run).metrics.read_text())
    assert {'results.npz', 'test_faults.jsonl'} <= {path.name for path in run.iterdir()}


def test_a_moved_run_leaves_no_folder_behind(run, tmp_path):
    change(run, trainer={'default_root_dir': str(tmp_path / 'gone')})
    moved = run.rename(tmp_path / 'moved')
    main(['predict', '--ckpt_path', str(moved)])
    assert (moved / 'predictions.jsonl').is_file()
    assert not run.exists()
    assert not (tmp_path / 'gone').exists()


def test_results_never_go_into_another_run(root, run, capsys):
    before = files(run)
    message = refused('test', '--ckpt_path', root / 'finetune', '--run', run, capsys=capsys)
    assert f'run folder {run} has weights of its own' in message
    assert files(run) == before


@pytest.mark.parametrize('command', ['test', 'predict', 'certify'])
def test_a_read_only_run_asks_for_another_folder(run, command, capsys, monkeypatch):
    allowed = os.access
    monkeypatch.setattr(os, 'access', lambda path, mode: path != run and allowed(path, mode))
    message = refused(command, '--ckpt_path', run, capsys=capsys)
    assert 'name another folder for the results with --run' in message


def test_the_training_of_a_run_takes_no_part_in_its_evaluation(run, tmp_path, intruder):
    spy = {'class_path': 'intruder.Spy'}
    profiler = {
        'class_path': 'lightning.pytorch.profilers.SimpleProfiler',
        'init_args': {'dirpath': str(tmp_path / 'outside'), 'filename': 'profile'},
    }
    change(run, trainer={'callbacks': [spy], 'profiler': profiler, 'plugins': [spy]})
    main(['test', '--ckpt_path', str(run), '--report=false'])
    assert not intruder.exists()
    assert not (tmp_path / 'outside').exists()


def test_a_foreign_class_of_a_run_is_imported_with_consent_alone(run, intruder, capsys):
    block = {'class_path': 'lipfault.tasks.finetune.FinetuneTask'}
    change(run, model=block | {'init_args': {'block': {'kind': 'intruder.Block'}}})
    message = refused('test', '--ckpt_path', run, capsys=capsys)
    assert f'{run}/{CONFIG_NAME} names the class intruder.Block' in message
    assert 'trust_run_code=true' in message
    assert not intruder.exists()
    refused('test', '--ckpt_path', run, '--trust_run_code')
    assert intruder.exists()  # and has no such class


def test_a_foreign_fault_of_a_run_needs_consent(run, intruder, capsys):
    change(run, data={'faults': {'held_out': ['intruder.Fault']}})
    assert 'names the class intruder.Fault' in refused('test', '--ckpt_path', run, capsys=capsys)
    assert not intruder.exists()


def test_a_foreign_block_of_a_checkpoint_needs_consent(run, intruder):
    import torch

    for file in RunFolder(run).checkpoints.iterdir():
        checkpoint = read_checkpoint(file)
        checkpoint['lipfault']['block']['kind'] = 'intruder.Block'
        torch.save(checkpoint, file)
    with pytest.raises(LipfaultError, match=r'names the class intruder\.Block'):
        trained_task(str(run))
    assert not intruder.exists()
    with pytest.raises(LipfaultError, match='cannot import'):
        trained_task(str(run), trust_run_code=True)


@pytest.mark.parametrize(
    'settings',
    [
        {'model': 'other.yaml'},
        {'data': ['other.yaml']},
        {'trainer': 'other.yaml'},
        {'data': {'faults': 'other.yaml'}},
        {'model': {'init_args': 'other.yaml'}},
        {'model': {'init_args': {'block': 'other.yaml'}}},
    ],
)
def test_the_configuration_of_a_run_names_no_other_file(settings):
    with pytest.raises(LipfaultError, match=r'must hold settings by name, holds.*other\.yaml'):
        evaluation_settings(settings, 'here', consent=True)


@pytest.mark.parametrize('command', ['test', 'fit'])
def test_a_configuration_that_expands_without_end_is_refused(run, command, capsys):
    bomb = 'a: &a [1, 1, 1, 1, 1, 1, 1, 1]\n' + ''.join(
        f'{b}: &{b} [{", ".join([f"*{a}"] * 8)}]\n' for a, b in pairwise('abcdefghijkl')
    )
    RunFolder(run).config.write_text(bomb)
    words = ['--ckpt_path', run] if command == 'test' else ['--config', RunFolder(run).config]
    assert 'aliases expand to more than' in refused(command, *words, capsys=capsys)


def test_configurations_of_the_user_stay_as_they_are(run, tmp_path):
    own = tmp_path / 'mine.yaml'
    own.touch()
    words = ['test', f'--config={own}', '-c', str(own), '--ckpt_path', 'x']
    assert with_reduced_configs(words) == words
    reduced = with_reduced_configs(['test', f'--config={RunFolder(run).config}'])[1]
    settings = yaml.safe_load(reduced.removeprefix('--config='))
    assert set(settings) <= {'seed_everything', 'model', 'data', 'trainer', 'loggers', 'group'}
    assert settings['trainer']['accelerator'] == 'cpu'


def test_sigterm_ends_a_test_with_its_status_and_a_line(run, capsys):
    strike = f'--trainer.callbacks+={__name__}.Strike'
    handler = signal.getsignal(signal.SIGTERM)
    message = refused('test', '--ckpt_path', run, strike, status=143, capsys=capsys)
    assert 'test was ended by SIGTERM' in message
    assert not RunFolder(run).metrics.exists()
    assert signal.getsignal(signal.SIGTERM) == handler


def resume(root, run, *more):
    return [
        'fit',
        '--config',
        f'{root}/finetune.yaml',
        '--run',
        str(run),
        '--ckpt_path=last',
        *more,
    ]


@pytest.mark.parametrize(
    ('option', 'reason'),
    [
        ('--model.optimizer.lr=0.1', 'goes on with the rates'),
        ('--model.optimizer.weight_decay=0.1', 'goes on with the rates'),
        (
            '--model.config.modulation={corrector.*: {mode: cap, target: 5.0}}',
            'are part of the checkpoint',
        ),
        ('--seed_everything=7', 'the weights are those of the checkpoint'),
        ('--model.pretrained=elsewhere', 'its checkpoint holds the autoencoder'),
    ],
)
def test_what_a_resumed_run_cannot_change_is_refused(root, run, option, reason, capsys):
    before = files(run)
    assert reason in refused(*resume(root, run, option), capsys=capsys)
    assert {k: v for k, v in files(run).items() if not k.name.endswith('.lock')} == {
        k: v for k, v in before.items() if not k.name.endswith('.lock')
    }


def test_a_resumed_run_needs_no_stage_1_and_tells_what_has_changed(root, run, tmp_path, caplog):
    change(
        run,
        model={
            'init_args': read_config(RunFolder(run).config)['model']['init_args']
            | {'pretrained': str(tmp_path / 'removed')}
        },
    )
    environment = json.loads(RunFolder(run).environment.read_text())
    environment['packages'] |= {'torch': '1.0', 'lipfault': '0.0.1'}
    for found in environment['data'].values():
        found['blake2b'] = 'other'
    RunFolder(run).environment.write_text(json.dumps(environment))
    main(resume(root, run, '--trainer.max_epochs=2'))
    printed = ' '.join(caplog.text.split())
    assert 'trainer.max_epochs is 2, was 1' in printed
    assert 'torch is' in printed
    assert ', was 1.0' in printed
    assert 'tiny.h5 has changed (of the same size)' in printed
    settings = read_config(RunFolder(run).config)
    assert settings['model']['init_args']['pretrained'] == str(tmp_path / 'removed')
    assert read_checkpoint(RunFolder(run).checkpoint('last'))['epoch'] == 1


def test_the_best_checkpoint_of_a_moved_run_stays_the_best(root, run):
    last = RunFolder(run).checkpoint('last')
    import torch

    checkpoint = torch.load(last, weights_only=True)
    (state,) = [s for k, s in checkpoint['callbacks'].items() if k.startswith('ModelCheckpoint')]
    best = torch.tensor(-1e9)  # better than anything that the next epoch can find
    state |= {'best_model_score': best, 'kth_value': best}
    state['best_k_models'] = dict.fromkeys(state['best_k_models'], best)
    torch.save(checkpoint, last)
    before = RunFolder(run).checkpoint('best').read_bytes()
    main(resume(root, run, '--trainer.max_epochs=2'))
    assert RunFolder(run).checkpoint('best').read_bytes() == before


def test_a_run_that_has_stopped_early_trains_no_more(root, tmp_path, caplog):
    stop = {
        'class_path': 'lightning.pytorch.callbacks.EarlyStopping',
        'init_args': {'monitor': 'val/loss', 'patience': 1, 'min_delta': 1e9},
    }
    words = [
        'fit', '--config', f'{root}/pretrain.yaml', '--run', f'{tmp_path}/run',
        '--trainer.max_epochs=9', '--trainer.callbacks', json.dumps([stop]),
    ]  # fmt: skip
    main(words)
    last = RunFolder(tmp_path / 'run').checkpoint('last')
    steps = read_checkpoint(last)['global_step']
    assert steps < 9
    main([*words, '--ckpt_path=last'])
    assert read_checkpoint(last)['global_step'] == steps
    assert 'nothing is left to train' in caplog.text
    stop['init_args']['patience'] = 2
    main([*words[:-1], json.dumps([stop]), '--ckpt_path=last'])
    # One epoch more than the two of the first part.
    assert read_checkpoint(last)['global_step'] == steps * 3 // 2


def test_a_run_that_trains_elsewhere_is_not_touched(root, run, capsys):
    code = (
        'import sys; from pathlib import Path; from lipfault.runs.lock import RunLock; '
        f'lock = RunLock(Path({str(run)!r})); lock.sign(); '
        'print("locked", flush=True); sys.stdin.read()'
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, '-c', code], stdin=pipe, stdout=pipe) as other:
        assert other.stdout.readline() == b'locked\n'
        before = files(run)
        message = refused(*resume(root, run), capsys=capsys)
        other.stdin.close()
    assert f'another process ({other.pid}) is training in the run folder {run}' in message
    assert files(run) == before
    RunLock(run).release()


@pytest.mark.parametrize('variable', ['LOCAL_RANK', 'NODE_RANK', 'RANK'])
def test_a_number_of_an_earlier_launch_opens_no_run(root, run, variable, capsys, monkeypatch):
    monkeypatch.setenv(variable, '1')
    for name in ('WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.delenv(name, raising=False)
    before = files(run)
    fit = ('fit', '--config', root / 'pretrain.yaml', '--run', run)
    message = refused(*fit, capsys=capsys)
    assert f'run folder {run} is not empty' in message
    assert f'ignoring {variable}=1' in message
    assert files(run) == before


def test_the_process_that_writes_guards_the_run_whatever_its_number(root, run, capsys, monkeypatch):
    monkeypatch.setattr('lipfault.cli.lightning.first_process', lambda: False)
    before = files(run)
    message = refused('fit', '--config', root / 'pretrain.yaml', '--run', run, capsys=capsys)
    assert f'run folder {run} is not empty' in message
    assert {k: v for k, v in files(run).items() if k.name != '.lipfault.lock'} == {
        k: v for k, v in before.items() if k.name != '.lipfault.lock'
    }


def test_the_environment_holds_no_home(root, tmp_path, monkeypatch):
    from lipfault.runs.environment import data_files, without_home

    monkeypatch.setenv('HOME', str(tmp_path))
    program = str(tmp_path / 'bin' / 'lipfault')
    words = [program, 'fit', f'--data.path={tmp_path}/a.h5']
    assert without_home(words) == ['lipfault', 'fit', '--data.path=~/a.h5']
    assert list(data_files([str(tmp_path / 'a.h5')])) == ['~/a.h5']
    environment = RunFolder(root / 'finetune').environment.read_text()
    command = json.loads(environment)['command']
    assert '/' not in (command.split() if isinstance(command, str) else command)[0]
