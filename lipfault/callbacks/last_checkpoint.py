"""Keeps the checkpoint from which an interrupted run goes on as if nothing had happened."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lipfault.errors import LipfaultError

TERMINATED = 128 + signal.SIGTERM
"""Exit status of a run that saved and stopped on SIGTERM."""


class LastCheckpoint(Checkpoint):
    """Saves `last.ckpt` every so many steps and after each epoch, keeps the one before it.

    The one before is `previous.ckpt`.

    A save lies between two optimizer steps after which no validation is due, or at the very end of
    an epoch: only from these places does a resumed trainer repeat and skip nothing. On SIGTERM,
    whichever process gets it, all processes save at the next such place and stop with status 143.
    The trainer's own handler talks to the other processes from within the signal, in the middle of
    whatever they exchange, and is replaced.

    Args:
        folder: Folder of the checkpoints.
        every: Optimizer steps between two saves.

    Raises:
        LipfaultError: If `every` is not a positive number.
    """

    def __init__(self, folder: Path, every: int) -> None:
        """Nothing is saved yet."""
        if every < 1:
            raise LipfaultError(f'save_every: must be at least 1 step, got {every}')
        self.file, self.before = folder / 'last.ckpt', folder / 'previous.ckpt'
        self.every, self._saved_at, self._told = every, 0, False
        self._before: Any = None

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Listen for SIGTERM."""
        if stage == 'fit':
            self._before = signal.getsignal(signal.SIGTERM)
            self._listen()

    def on_sanity_check_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Replace the handler that the trainer has put before ours."""
        self._listen()

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Replace the handler that the trainer has put before ours."""
        self._listen()

    def teardown(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Put back what was there before."""
        if self._before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._before)
            self._before = None

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Save if it is time to, or if the run is told to stop."""
        if not _between_steps(trainer, batch_idx + 1):
            return
        stop = self._stop(trainer)
        if stop or trainer.global_step - self._saved_at >= self.every:
            self._save(trainer)
        if stop:
            raise SIGTERMException(TERMINATED)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Save what the epoch and its validation have made."""
        self._save(trainer)
        if self._stop(trainer):
            raise SIGTERMException(TERMINATED)

    def state_dict(self) -> dict[str, Any]:
        """When the last save was, so that a resumed run saves at the same steps."""
        return {'saved_at': self._saved_at}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Count from the save that is resumed."""
        self._saved_at = state_dict['saved_at']

    def _save(self, trainer: lightning.Trainer) -> None:
        self._saved_at = trainer.global_step
        if trainer.is_global_zero and self.file.exists():
            os.replace(self.file, self.before)
        trainer.save_checkpoint(self.file, weights_only=False)

    def _listen(self) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._tell)

    def _tell(self, *_: object) -> None:
        self._told = True

    def _stop(self, trainer: lightning.Trainer) -> bool:
        """Whether any process was told to stop."""
        return trainer.strategy.reduce_boolean_decision(self._told, all=False)


def _between_steps(trainer: lightning.Trainer, done: int) -> bool:
    """Whether after `done` batches of the epoch neither a step is open nor a validation due."""
    if done >= trainer.num_training_batches or done % trainer.accumulate_grad_batches:
        return False
    return not trainer.val_check_batch or done % trainer.val_check_batch != 0
