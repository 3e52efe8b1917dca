"""The learning rate over a training: one cycle, adapted when a resumed run changes its length."""

import math
from typing import cast

import lightning
from lightning.pytorch.utilities import rank_zero_info
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR


def planned_steps(trainer: lightning.Trainer) -> int:
    """Count the optimizer steps of the whole training.

    Args:
        trainer: The trainer.

    Returns:
        Steps, at least the two that a cycle needs.
    """
    return max(2, int(trainer.estimated_stepping_batches))


def one_cycle(optimizer: Optimizer, steps: int, warmup: float, done: int = 0) -> OneCycleLR:
    """Build a one-cycle learning rate schedule.

    Args:
        optimizer: Optimizer whose groups have the highest rate as `lr` before the first step, as
            `max_lr` after it.
        steps: Steps of the whole cycle.
        warmup: Share of the steps in which the rate rises.
        done: Steps that are done.

    Returns:
        The schedule.

    Reference:
        Smith and Topin 2018, https://arxiv.org/abs/1708.07120.
    """
    # A rise of exactly one step has length zero, by which torch divides.
    rise = 0.0 if abs(steps * warmup - 1) < 1e-9 else warmup
    rates = [group['max_lr' if done else 'lr'] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, rates, total_steps=steps, pct_start=rise, last_epoch=done - 1)


def share_done(trainer: lightning.Trainer) -> float:
    """Return the share of the cycle that is done.

    Args:
        trainer: The trainer.

    Returns:
        In [0, 1]; 0 without a schedule.
    """
    if not trainer.lr_scheduler_configs:
        return 0.0
    cycle = cast(OneCycleLR, trainer.lr_scheduler_configs[0].scheduler)
    return cycle.last_epoch / cycle.total_steps


def continue_cycle(trainer: lightning.Trainer, batch_idx: int, warmup: float) -> None:
    """Replace the cycle of a resumed run whose training has another length than before.

    The new cycle ends with the training, as many steps from its end as the training is; the change
    is logged.

    Args:
        trainer: The trainer, before a step.
        batch_idx: Place in the epoch.
        warmup: See `one_cycle`.
    """
    if not trainer.lr_scheduler_configs:
        return
    entry = trainer.lr_scheduler_configs[0]
    cycle, steps = cast(OneCycleLR, entry.scheduler), planned_steps(trainer)
    to_go, planned = _steps_to_go(trainer, batch_idx), cycle.total_steps - cycle.last_epoch
    if cycle.total_steps == steps and to_go <= planned:
        return
    done = max(0, steps - to_go)
    rank_zero_info(
        f'{to_go} steps are to go, planned were {planned}: the learning rate goes on as after '
        f'{done} of {steps} steps'
    )
    optimizer = cycle.optimizer
    if not done:
        for group in optimizer.param_groups:
            group['lr'] = group['max_lr']
    entry.scheduler = one_cycle(optimizer, steps, warmup, done)


def _steps_to_go(trainer: lightning.Trainer, batch_idx: int) -> int:
    """Optimizer steps until `max_steps` or `max_epochs`."""
    ahead = trainer.max_steps - trainer.global_step if trainer.max_steps > 0 else math.inf
    if trainer.max_epochs is not None and trainer.max_epochs > 0:
        accumulated = trainer.accumulate_grad_batches
        of_epoch = math.ceil(trainer.num_training_batches / accumulated)
        epochs = trainer.max_epochs - trainer.current_epoch
        ahead = min(ahead, epochs * of_epoch - batch_idx // accumulated)
    return int(ahead)
