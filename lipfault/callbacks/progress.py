"""Progress of a run as plain lines, for a log file or a pipe."""

import math
import time
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.utilities import rank_zero_info
from rich.console import Console

from lipfault.batch import Batch

SHARE = 0.1
"""Share of an epoch, or of an evaluation, between two lines."""

LEAST_S = 10.0
"""Seconds between two lines within an epoch, so that short epochs have one line each."""


class SetupMessages(Callback):
    """Log what the set-up of a fit computes before the first step."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Log the fit of the closed forms, which the task runs in its own `setup` after this one.

        Args:
            trainer: The trainer.
            pl_module: The task.
            stage: `fit`, `validate`, `test` or `predict`.
        """
        data: Any = getattr(trainer, 'datamodule', None)
        if stage == 'fit' and hasattr(data, 'train_split'):
            windows = len(data.dataset(data.train_split))
            rank_zero_info(
                f'fitting the closed forms of the model on windows of split {data.train_split!r}, '
                f'which has {windows}'
            )


class ProgressLines(ProgressBar):
    """Print a line after each epoch, and at most ten within one.

    A bar that is drawn over itself fills a log file with control characters, or leaves nothing in
    it. Values come from the same dictionary as those of Lightning's bar, at the same hooks.
    """

    def __init__(self) -> None:
        """Start the clock."""
        super().__init__()
        self._enabled = True
        self._began = self._printed = time.monotonic()
        self._done = 0

    def disable(self) -> None:
        """Print nothing, as in all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Print again."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print what lies ahead.

        Args:
            trainer: The trainer.
            pl_module: The task.
        """
        self._start()
        steps = _of(trainer.num_training_batches)
        self._print(f'training: {_epochs(trainer)} epochs of {steps} steps')

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: Batch, *idx: int
    ) -> None:
        """Print the step and the loss, if it is time to.

        Args:
            trainer: The trainer.
            pl_module: The task, whose logged metrics are printed.
            outputs: Loss of the step; the line has the logged value instead.
            batch: Ignored.
            idx: Index of the batch in the epoch, from 0.
        """
        done, total = idx[0] + 1, trainer.num_training_batches
        if done < total and self._due(done, total):
            self._print(f'{_epoch(trainer)}, step {done}/{_of(total)}{self._values()}')

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the epoch and its last values.

        Args:
            trainer: The trainer.
            pl_module: The task.
        """
        self._done = 0
        self._print(f'{_epoch(trainer)} done{self._values()}')

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print that an evaluation begins, unless it is part of a fit.

        Args:
            trainer: The trainer.
            pl_module: The task.
        """
        if _job(trainer) != 'fit':
            self._start()
            self._print(f'{_job(trainer)}: running')

    on_test_start = on_predict_start = on_validation_start

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: Any,  # noqa: ANN401
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Print the batch of an evaluation, if it is time to.

        Args:
            trainer: The trainer.
            pl_module: The task.
            outputs: Ignored.
            batch: Ignored.
            batch_idx: Index of the batch in its loader, from 0.
            dataloader_idx: Index of the loader, from 0.
        """
        if _job(trainer) == 'fit':
            return
        batches = _evaluated(trainer)
        done, total = batch_idx + 1, batches[dataloader_idx]
        if self._due(done, total):
            loader = f', loader {dataloader_idx + 1}/{len(batches)}' if len(batches) > 1 else ''
            self._print(f'{_job(trainer)}: batch {done}/{_of(total)}{loader}')

    on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    def _start(self) -> None:
        self._began = self._printed = time.monotonic()
        self._done = 0

    def _due(self, done: int, total: float) -> bool:
        """Return whether a tenth more is done than at the last line, which is some seconds ago."""
        if done == 1:
            self._done = 0
        # Never of an endless loader, whose total is infinite.
        if done - self._done < SHARE * total or time.monotonic() - self._printed < LEAST_S:
            return False
        self._done = done
        return True

    def _values(self) -> str:
        """Return the values that the task has logged for its bar."""
        # As Lightning's bar does: where other processes read them too, one might wait for another.
        if not self._enabled:
            return ''
        found = self.get_metrics(self.trainer, self.trainer.lightning_module)
        # Numbers only: the dictionary also holds the version of the logger, v_num.
        shown = {key: value for key, value in found.items() if isinstance(value, int | float)}
        return ''.join(f', {key} {value:.4g}' for key, value in shown.items() if key != 'v_num')

    def _print(self, text: str) -> None:
        """Print a line with the time since the start."""
        if self._enabled:
            self._printed = time.monotonic()
            line = f'{text}, {_clock(self._printed - self._began)} elapsed'
            Console().print(line, highlight=False, markup=False, soft_wrap=True)


def _job(trainer: Trainer) -> str:
    """Return `fit`, `validate`, `test` or `predict`."""
    return '' if trainer.state.fn is None else trainer.state.fn.value


def _evaluated(trainer: Trainer) -> list[int | float]:
    """Return the number of batches of each loader of an evaluation."""
    counts = {
        'validate': trainer.num_val_batches,
        'test': trainer.num_test_batches,
        'predict': trainer.num_predict_batches,
    }
    return list(counts[_job(trainer)])


def _epoch(trainer: Trainer) -> str:
    return f'epoch {trainer.current_epoch + 1}/{_epochs(trainer)}'


def _epochs(trainer: Trainer) -> str:
    return str(trainer.max_epochs) if (trainer.max_epochs or -1) > 0 else '?'


def _of(count: float) -> str:
    return '?' if math.isinf(count) else str(int(count))


def _clock(seconds: float) -> str:
    """Return hours, minutes and seconds, as 0:01:23."""
    whole = int(seconds)
    return f'{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}'
