"""Checkpoint from which an interrupted run resumes bit-identically."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lipfault.batch import Batch
from lipfault.errors import LipfaultError

TERMINATED = 128 + signal.SIGTERM
"""Exit status of a run that saved and stopped on SIGTERM, 143 as in POSIX shells."""


class LastCheckpoint(Checkpoint):
    """Save `last.ckpt` every few steps and after each epoch; keep the one before it.

    The one before is `previous.ckpt`.

    A save lies between two optimizer steps without a validation due, or at the very end of an
    epoch: only there a resumed trainer repeats and skips nothing. If any process receives SIGTERM,
    all processes save at the next such point and exit with status 143. This handler replaces the
    one of the trainer, which communicates with the other processes from within the signal and may
    interrupt a collective operation.

    Args:
        folder: Folder of the checkpoints.
        every: Optimizer steps between two saves.

    Raises:
        LipfaultError: If `every` is not positive.
    """

    def __init__(self, folder: Path, every: int) -> None:
        """Keep paths and interval."""
        if every < 1:
            raise LipfaultError(f'save_every: must be at least 1 step, got {every}')
        self.file, self.previous = folder / 'last.ckpt', folder / 'previous.ckpt'
        self.every, self._saved_at, self._stop_requested = every, 0, False
        self._original_handler: Any = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Install the handler of SIGTERM.

        Args:
            trainer: The trainer.
            pl_module: The task.
            stage: `fit`, `validate`, `test` or `predict`.
        """
        if stage == 'fit':
            self._original_handler = signal.getsignal(signal.SIGTERM)
            self._install_handler()

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the handler again, since the trainer has replaced it.

        Args:
            trainer: The trainer.
            pl_module: The task.
        """
        self._install_handler()

    # The trainer skips the sanity check on request, and when it resumes.
    on_train_start = on_sanity_check_start

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the original handler of SIGTERM.

        Args:
            trainer: The trainer.
            pl_module: The task.
            stage: `fit`, `validate`, `test` or `predict`.
        """
        original = self._original_handler
        # Python allows signal handlers in the main thread only.
        if original is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, original)
            self._original_handler = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: Batch, *idx: int
    ) -> None:
        """Save if the interval has passed or a stop is requested, then stop if requested.

        Args:
            trainer: The trainer.
            pl_module: The task in training, not used.
            outputs: Not used.
            batch: Not used.
            idx: Index of the batch in the epoch.

        Raises:
            SIGTERMException: If any process received SIGTERM.
        """
        if not _between_steps(trainer, idx[0] + 1):
            return
        stop = self._any_stop_requested(trainer)
        if stop or trainer.global_step - self._saved_at >= self.every:
            self._save(trainer)
        if stop:
            raise SIGTERMException(TERMINATED)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after the epoch and its validation, then stop if requested.

        Args:
            trainer: The trainer.
            pl_module: The task.

        Raises:
            SIGTERMException: If any process received SIGTERM.
        """
        self._save(trainer)
        if self._any_stop_requested(trainer):
            raise SIGTERMException(TERMINATED)

    def state_dict(self) -> dict[str, Any]:
        """Return the step of the last save, so that a resumed run saves at the same steps."""
        return {'saved_at': self._saved_at}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the step of the last save.

        Args:
            state_dict: State as of `state_dict`.
        """
        self._saved_at = state_dict['saved_at']

    def _save(self, trainer: Trainer) -> None:
        self._saved_at = trainer.global_step
        # Renamed first: a torn last.ckpt leaves a whole previous.ckpt.
        if trainer.is_global_zero and self.file.exists():
            os.replace(self.file, self.previous)
        trainer.save_checkpoint(self.file, weights_only=False)

    def _install_handler(self) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._request_stop)

    def _request_stop(self, *_: object) -> None:
        self._stop_requested = True

    def _any_stop_requested(self, trainer: Trainer) -> bool:
        """Return whether any process received SIGTERM, the same in all processes."""
        return trainer.strategy.reduce_boolean_decision(self._stop_requested, all=False)


def _between_steps(trainer: Trainer, done: int) -> bool:
    """Return whether after `done` batches no optimizer step is open and no validation is due."""
    if done >= trainer.num_training_batches or done % trainer.accumulate_grad_batches:
        return False
    return not trainer.val_check_batch or done % trainer.val_check_batch != 0
