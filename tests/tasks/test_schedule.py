"""The learning rate of a resumed run ends where the training does."""

import warnings

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from lipfault.tasks import schedule
from lipfault.tasks.base import BaseTask, OptimizerConfig

WINDOWS = torch.ones(24, 1)
"""Alike: torch's own loader starts anew after a resume."""


class Task(BaseTask):
    """One layer; notes the rate of each step."""

    stage = 'test'

    def __init__(self):
        config = OptimizerConfig(lr=0.1, warmup=0.25)
        super().__init__({'modalities': {}, 'steps': {}}, config)
        self.layer = nn.Linear(1, 1)
        self.rates, self.shares = [], []

    def training_step(self, batch, batch_idx):
        self.rates.append(self.optimizers().param_groups[0]['lr'])
        self.shares.append(schedule.share_done(self.trainer))
        return self.layer(batch).square().mean()


class Stop(lightning.Callback):
    """Saves after a step, where a save lies, and ends the training."""

    def __init__(self, step, file):
        self.step, self.file = step, file

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.file)
            raise KeyboardInterrupt


def train(epochs, size=4, resume=None, **options):
    """A trained task."""
    torch.manual_seed(0)
    task = Task()
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator='cpu', logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, **options,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of few workers, and that a loader does not resume
        trainer.fit(task, DataLoader(WINDOWS, size), ckpt_path=resume)
    return task, trainer


@pytest.fixture
def stopped(tmp_path):
    """A checkpoint of a run of two epochs of 6 steps, after so many steps."""

    def saved(step):
        file = tmp_path / 'last.ckpt'
        with pytest.raises(SystemExit):
            train(2, callbacks=[Stop(step, file)])
        return file

    return saved


@pytest.fixture
def told(monkeypatch):
    lines = []
    monkeypatch.setattr(schedule, 'rank_zero_info', lines.append)
    return lines


@pytest.mark.parametrize('step', [3, 8])
def test_the_same_steps_go_on_bit_for_bit(step, stopped, told):
    whole, _ = train(2)
    resumed, _ = train(2, resume=stopped(step))
    assert resumed.rates == whole.rates[step:]
    assert resumed.shares == [n / 12 for n in range(step, 12)]
    assert torch.equal(resumed.layer.weight, whole.layer.weight)
    assert not told


@pytest.mark.parametrize(
    ('epochs', 'size', 'options', 'steps', 'done'),
    [
        (4, 4, {}, 24, 3),
        (1, 4, {}, 6, 3),
        (2, 2, {}, 24, 3),  # half the batch, or half the processes: 3 of 12 batches are done
        (2, 4, {'max_steps': 9}, 9, 3),
        (3, 2, {'accumulate_grad_batches': 3}, 12, 1),
    ],
    ids=['more epochs', 'fewer epochs', 'smaller batch', 'last step given', 'accumulated'],
)
def test_other_steps_end_where_their_cycle_does(epochs, size, options, steps, done, stopped, told):
    task, trainer = train(epochs, size, stopped(3), **options)
    cycle = trainer.lr_scheduler_configs[0].scheduler
    assert cycle.total_steps == cycle.last_epoch == steps
    assert told == [
        f'{steps - done} steps are to go, planned were 9: the learning rate goes on as after '
        f'{done} of {steps} steps'
    ]
    fresh, _ = train(steps // 6 if not steps % 6 else 9, max_steps=steps)
    if options.get('accumulate_grad_batches', 1) == 1:
        assert task.rates == pytest.approx(fresh.rates[done:])
    assert task.shares[0] == done / steps
    assert all(a <= b for a, b in zip(task.shares, task.shares[1:], strict=False))


def test_a_finished_run_goes_on_for_more_epochs(tmp_path, told):
    _, trainer = train(2)
    trainer.save_checkpoint(tmp_path / 'last.ckpt')
    task, longer = train(4, resume=tmp_path / 'last.ckpt')
    assert longer.global_step == 24
    assert task.rates == pytest.approx(train(4)[0].rates[12:])
    assert len(told) == 1


def test_a_cycle_of_other_steps_is_resumed_like_any(tmp_path, stopped, told):
    file = tmp_path / 'second.ckpt'
    with pytest.raises(SystemExit):
        train(4, resume=stopped(3), callbacks=[Stop(8, file)])
    whole, _ = train(4, resume=stopped(3))
    told.clear()
    task, _ = train(4, resume=file)
    assert task.rates == whole.rates[5:]
    assert not told
