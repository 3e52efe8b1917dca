"""A training that diverges ends with an error, and its weights replace no checkpoint."""

import math
from types import SimpleNamespace

import pytest
import torch
from forked import command
from test_settings import build, stage_one  # noqa: F401, the fixture builds stage 2
from test_stages import COMMON
from tiny_models import PRETRAIN

from lipfault.errors import LipfaultError
from lipfault.tasks.divergence import first_not_finite, require_finite_loss
from lipfault.tasks.finetune import FinetuneTask


def trained(task, step=20, every=10, clip=None):
    task._trainer = SimpleNamespace(
        global_step=step, log_every_n_steps=every, gradient_clip_val=clip, current_epoch=0
    )
    return task


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_training(tiny_modalities, value):
    task = trained(stage_one(tiny_modalities))
    with pytest.raises(LipfaultError, match=rf'train/loss at step 20 is {value}: .*optimizer\.lr'):
        task.on_train_batch_end({'loss': torch.tensor(value)}, None, 0)
    task.on_train_batch_end({'loss': torch.tensor(1.0)}, None, 0)
    task.on_train_batch_end({}, None, 0)
    trained(task, every=0).on_train_batch_end({'loss': torch.tensor(value)}, None, 0)
    trained(task, step=21).on_train_batch_end({'loss': torch.tensor(value)}, None, 0)


def test_weights_that_are_not_finite_are_not_saved(build, tiny_modalities):  # noqa: F811
    for task in (trained(stage_one(tiny_modalities)), trained(build())):
        task.on_save_checkpoint({})  # the threshold, NaN before the first validation, may be saved
        task.on_train_end()
        name, parameter = next((n, p) for n, p in task.named_parameters() if p.requires_grad)
        with torch.no_grad():
            parameter.flatten()[-1:].fill_(math.nan)
        checkpoint = {}
        with pytest.raises(LipfaultError, match=f'after 20 steps, {name} is not finite'):
            task.on_save_checkpoint(checkpoint)
        assert checkpoint == {}
        with pytest.raises(LipfaultError, match='has diverged'):
            task.on_train_end()


def test_the_first_entry_that_is_not_finite_is_named():
    tensors = {'a': torch.ones(2), 'b': torch.tensor([3]), 'c': torch.tensor([1.0, -math.inf])}
    assert first_not_finite(tensors) == 'c'
    assert first_not_finite({'b': tensors['b']}) is None
    assert first_not_finite({'a': tensors['a'], 'd': torch.ones(1) * 1j}) == 'd'
    with pytest.raises(LipfaultError, match='val/loss is nan'):
        require_finite_loss(torch.tensor(math.nan), 'val/loss')


def test_clipping_by_the_trainer_is_refused_in_python(build, monkeypatch):  # noqa: F811
    task = trained(build(), clip=1.0)
    for name in ('recording_data', 'warn_of_training_episodes'):
        monkeypatch.setattr(f'lipfault.tasks.finetune.{name}', lambda *_: None)
    assert isinstance(task, FinetuneTask)
    with pytest.raises(LipfaultError, match=r'gradient_clip_val: has no effect in stage 2'):
        task.setup('fit')


def test_a_diverged_run_has_no_checkpoint_and_a_status(tiny_recording, tmp_path):
    settings = PRETRAIN + COMMON.format(path=tiny_recording, stage='pretrain')
    (tmp_path / 'pretrain.yaml').write_text(settings)
    run = tmp_path / 'run'
    words = ['fit', '--config', tmp_path / 'pretrain.yaml', '--run', run]
    status, printed = command([*words, '--model.optimizer.lr=1e30', '--trainer.max_epochs=1'])
    assert status == 1
    assert 'the training has diverged; lower model.optimizer.lr' in ' '.join(printed.split())
    assert 'Traceback' not in printed
    assert not list(run.rglob('*.ckpt'))
