"""What goes wrong in a run ends it with one line, and nothing that was saved is lost."""

import json
import os
import shutil
import signal
import socket

import pytest
import torch
from forked import Started
from test_stages import COMMON
from tiny_models import PRETRAIN

from lipfault.runs.checkpoints import read_checkpoint

STRIKE = '''
import os
from lightning import Callback


class Strike(Callback):
    """Sends the process of a rank a signal before a step."""

    def __init__(self, rank: int, step: int, number: int) -> None:
        self.rank, self.step, self.number = rank, step, number

    def on_train_batch_start(self, trainer, *_) -> None:
        if (trainer.global_rank, trainer.global_step) == (self.rank, self.step):
            os.kill(os.getpid(), self.number)
'''
PAIR = ('--trainer.devices=2', '--trainer.strategy=ddp')


@pytest.fixture(scope='module')
def folder(tiny_recording, tmp_path_factory):
    folder = tmp_path_factory.mktemp('broken')
    (folder / 'pretrain.yaml').write_text(
        PRETRAIN + COMMON.format(path=tiny_recording, stage='pretrain')
    )
    (folder / 'strike.py').write_text(STRIKE)
    return folder


def start(folder, run, *options, variables=None, strike=None, limit=None):
    """Start stage 1 in a process of its own, files limited to a size if asked for."""
    args = ['--config', folder / 'pretrain.yaml', '--run', run, '--save_every=1', *options]
    if strike is not None:
        fields = dict(zip(('rank', 'step', 'number'), map(int, strike), strict=True))
        value = json.dumps({'class_path': 'strike.Strike', 'init_args': fields})
        args += ['--trainer.callbacks+', value]
    python_path = f'{folder}:{os.environ.get("PYTHONPATH", "")}'
    environment = os.environ | {'PYTHONPATH': python_path} | (variables or {})
    return Started(['fit', *args], environment, file_bytes=limit)


def end(started):
    """Exit status and what was printed, as one line."""
    status, printed = started.end()
    return status, ' '.join(printed.split())


def fit(*args, **options):
    return end(start(*args, **options))


def last(run):
    return read_checkpoint(run / 'checkpoints' / 'last.ckpt')


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


@pytest.fixture(scope='module')
def whole(folder):
    """A run of two processes that nothing interrupts: 2 epochs of 2 steps."""
    status, printed = fit(folder, folder / 'whole', *PAIR)
    assert status == 0, printed
    return folder / 'whole'


@pytest.mark.ddp
@pytest.mark.slow
def test_a_dead_process_ends_the_others_and_the_pair_goes_on(folder, whole):
    run = folder / 'killed'
    status, printed = fit(folder, run, *PAIR, strike=(1, 3, signal.SIGKILL))
    assert status not in (0, 143)
    if status == 1:  # unless the watcher of the launcher came first
        assert 'another process of this run has ended' in printed
        assert 'Traceback' not in printed
    assert last(run)['global_step'] == 3
    shutil.copytree(run, folder / 'alone')

    assert fit(folder, run, *PAIR, '--ckpt_path=last')[0] == 0
    assert same(last(run)['state_dict'], last(whole)['state_dict'])

    status, printed = fit(folder, folder / 'alone', '--data.batch_size=32', '--ckpt_path=last')
    assert status == 0
    assert 'data.batch_size is 32, was 16' in printed
    assert 'trainer.devices is auto, was 2' in printed
    one, two = (last(r)['state_dict'] for r in (folder / 'alone', whole))
    for name, value in two.items():
        torch.testing.assert_close(one[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.ddp
@pytest.mark.slow
def test_sigterm_for_one_process_saves_and_stops_both(folder):
    run = folder / 'stopped'
    status, printed = fit(folder, run, *PAIR, strike=(1, 0, signal.SIGTERM))
    assert status == 128 + signal.SIGTERM, printed
    assert last(run)['global_step'] == 1


@pytest.mark.ddp
@pytest.mark.slow
def test_a_port_in_use_is_named_and_no_process_stays(folder, tmp_path):
    with socket.socket() as busy:
        busy.bind(('127.0.0.1', 0))
        busy.listen()
        variables = {'MASTER_PORT': str(busy.getsockname()[1])}
        status, printed = fit(folder, tmp_path / 'run', *PAIR, variables=variables)
    assert status == 1
    assert f'port {variables["MASTER_PORT"]} for the processes to meet at is in use' in printed
    assert 'Traceback' not in printed


@pytest.mark.ddp
@pytest.mark.slow
def test_processes_started_by_slurm_train_as_those_that_we_start(folder, whole, tmp_path):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    shared = {
        'SLURM_JOB_ID': '4711', 'SLURM_JOB_NAME': 'train', 'SLURM_NTASKS': '2', 'SLURM_NNODES': '1',
        'SLURM_NTASKS_PER_NODE': '2', 'SLURM_NODEID': '0', 'SLURM_NODELIST': '127.0.0.1',
        'MASTER_PORT': port,
    }  # fmt: skip
    tasks = [
        start(
            folder, tmp_path / 'run', *PAIR,
            variables=shared | {'SLURM_PROCID': rank, 'SLURM_LOCALID': rank},
        )
        for rank in '01'
    ]  # fmt: skip
    for status, printed in map(end, tasks):
        assert status == 0, printed
    assert same(last(tmp_path / 'run')['state_dict'], last(whole)['state_dict'])


@pytest.mark.slow
def test_a_full_disk_is_named_and_the_save_before_stays(folder, tmp_path):
    run = tmp_path / 'run'
    status, printed = fit(folder, run, strike=(0, 1, signal.SIGKILL))
    assert status == -signal.SIGKILL
    size = (run / 'checkpoints' / 'last.ckpt').stat().st_size
    status, printed = fit(folder, run, '--ckpt_path=last', limit=size // 2)
    assert status == 1
    assert 'last.ckpt, is the disk full?' in printed
    assert 'Traceback' not in printed
    assert read_checkpoint(run / 'checkpoints' / 'previous.ckpt')['global_step'] == 1

    sizes = '--model.relations.width=24'
    status, printed = fit(folder, run, '--ckpt_path=last', sizes)
    assert status == 1
    assert 'relations.width is 24, was 16' in printed
    assert 'tensors do not fit, relations.predictors' in printed
    assert 'Traceback' not in printed
    assert read_checkpoint(run / 'checkpoints' / 'previous.ckpt')['global_step'] == 1
