"""The learning rate over a training: one cycle, also if a resumed run has other steps to go."""

import math
from typing import cast

import lightning
from lightning.pytorch.utilities import rank_zero_info
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR


def planned_steps(trainer: lightning.Trainer) -> int:
    """Optimizer steps of the whole training; the cycle needs two."""
    return max(2, int(trainer.estimated_stepping_batches))


def one_cycle(optimizer: Optimizer, steps: int, warmup: float, done: int = 0) -> OneCycleLR:
    """A cycle over so many steps, after some of them.

    Args:
        optimizer: Its groups have the highest rate as `lr` if nothing is done yet, otherwise what
            a cycle before has noted.
        steps: Steps of the whole cycle.
        warmup: Share of the steps in which the rate rises.
        done: Steps that are done.
    """
    # A rise of exactly one step would have no length: torch divides by it.
    rise = 0.0 if abs(steps * warmup - 1) < 1e-9 else warmup
    rates = [group['max_lr' if done else 'lr'] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, rates, total_steps=steps, pct_start=rise, last_epoch=done - 1)


def share_done(trainer: lightning.Trainer) -> float:
    """Share of the cycle that is done; 0 where nothing is trained."""
    if not trainer.lr_scheduler_configs:
        return 0.0
    cycle = cast(OneCycleLR, trainer.lr_scheduler_configs[0].scheduler)
    return cycle.last_epoch / cycle.total_steps


def settle_cycle(trainer: lightning.Trainer, batch_idx: int, warmup: float) -> None:
    """Let the cycle of a resumed run end where the training does.

    Nothing happens if the whole training has as many steps as before. Otherwise the run goes on in
    a cycle of the new length, so far from its end as the training is, and says so.

    Args:
        trainer: Before a step.
        batch_idx: Place in the epoch.
        warmup: As of `one_cycle`.
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
    ahead = trainer.max_steps - trainer.global_step if trainer.max_steps > 0 else math.inf
    if trainer.max_epochs is not None and trainer.max_epochs > 0:
        accumulated = trainer.accumulate_grad_batches
        of_epoch = math.ceil(trainer.num_training_batches / accumulated)
        epochs = trainer.max_epochs - trainer.current_epoch
        ahead = min(ahead, epochs * of_epoch - batch_idx // accumulated)
    return int(ahead)
