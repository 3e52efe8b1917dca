"""An interrupted run ends with the weights of an uninterrupted one, bit for bit."""

import importlib.util
import os
import signal
from pathlib import Path

import pytest
import torch
from forked import command
from test_stages import COMMON
from tiny_models import PRETRAIN

from lipfault.runs.checkpoints import WholeFileIO, read_checkpoint, resumable_checkpoint

STRIKE = '''
import os
from lightning import Callback


class Strike(Callback):
    """Sends the own process a signal after a step."""

    def __init__(self, step: int, number: int) -> None:
        self.step, self.number = step, number

    def on_train_batch_start(self, trainer, *_) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)
'''


def fit(folder, run, *options, strike=None):
    """Run stage 1 in a process of its own; return its exit status and what it printed."""
    args = ['--config', folder / 'pretrain.yaml', '--run', run, '--save_every', 1, *options]
    if strike is not None:
        (folder / 'strike.py').write_text(STRIKE)
        step, number = strike
        fields = f'{{class_path: strike.Strike, init_args: {{step: {step}, number: {number:d}}}}}'
        args += ['--trainer.callbacks', fields]  # one, without a list
    status, printed = command(['fit', *args], os.environ | {'PYTHONPATH': str(folder)})
    return status, ' '.join(printed.split())


def last(run):
    return read_checkpoint(run / 'checkpoints' / 'last.ckpt')


@pytest.fixture
def folder(tiny_recording, tmp_path):
    text = PRETRAIN + COMMON.format(path=tiny_recording, stage='pretrain')
    (tmp_path / 'pretrain.yaml').write_text(text)
    return tmp_path


@pytest.mark.slow
def test_killed_run_goes_on_to_the_same_weights(folder):
    assert fit(folder, folder / 'whole')[0] == 0
    run, resume = folder / 'run', ('--ckpt_path', 'last')

    assert fit(folder, run, strike=(1, signal.SIGTERM))[0] == 128 + signal.SIGTERM
    assert last(run)['global_step'] == 2  # the step that was under way is finished and saved
    assert fit(folder, run, *resume, strike=(5, signal.SIGKILL))[0] == -signal.SIGKILL
    assert last(run)['global_step'] == 5

    torn = run / 'checkpoints' / 'last.ckpt'
    torn.write_bytes(torn.read_bytes()[:5000])
    status, printed = fit(folder, run, *resume)
    assert status == 0
    assert 'last.ckpt is not a readable checkpoint' in printed
    assert 'going on from the one before' in printed

    wanted, found = last(folder / 'whole'), last(run)
    assert wanted['global_step'] == found['global_step'] == 6
    for name, value in wanted['state_dict'].items():
        assert torch.equal(found['state_dict'][name], value), name
    names = {p.name for p in (run / 'checkpoints').iterdir()}
    assert names == {'best.ckpt', 'last.ckpt', 'previous.ckpt'}


def test_run_without_a_save_starts_from_the_beginning(tmp_path):
    assert resumable_checkpoint(tmp_path) is None


def test_interrupted_save_leaves_what_was_there(tmp_path, monkeypatch):
    file = tmp_path / 'last.ckpt'
    WholeFileIO().save_checkpoint({'step': 1}, file)

    def torn(_: object, path: Path) -> None:
        Path(path).write_bytes(b'half')
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, 'save', torn)
    with pytest.raises(KeyboardInterrupt):
        WholeFileIO().save_checkpoint({'step': 2}, file)
    assert torch.load(file) == {'step': 1}
    assert [p.name for p in tmp_path.iterdir()] == ['last.ckpt']


def test_kill_script_sees_a_single_flipped_bit():
    path = Path(__file__).parents[2] / 'experiments' / 'resume' / 'kill.py'
    spec = importlib.util.spec_from_file_location('kill', path)
    kill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kill)
    one, nan = torch.ones(()), torch.tensor(float('nan'))
    assert kill.equal(one, one.clone())
    assert kill.equal(nan, nan.clone())
    assert not kill.equal(one, torch.nextafter(one, 2 * one))
    assert not kill.equal(torch.zeros(2), -torch.zeros(2))
