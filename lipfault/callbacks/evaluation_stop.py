"""End an evaluation on SIGTERM with a status that says so."""

import signal
import threading
from typing import Any

from lightning import Callback, LightningModule, Trainer

from lipfault.callbacks.last_checkpoint import TERMINATED


class EvaluationStop(Callback):
    """Exit with status 143 if SIGTERM is received in `validate`, `test` or `predict`.

    The trainer notes the signal and goes on, and an interrupted evaluation ends with status 0. An
    evaluation has nothing to save, so that it is left at once.
    """

    def __init__(self) -> None:
        """Start without a handler."""
        self._original_handler: Any = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep the handler that the trainer is about to replace.

        Args:
            trainer: The trainer.
            pl_module: The task.
            stage: `fit`, `validate`, `test` or `predict`.
        """
        if stage != 'fit' and _in_main_thread():
            self._original_handler = signal.getsignal(signal.SIGTERM)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace the handler of the trainer, which has noted a signal received before.

        Args:
            trainer: The trainer.
            pl_module: The task.

        Raises:
            SystemExit: If SIGTERM was received during the set-up.
        """
        if self._original_handler is None:
            return
        signal.signal(signal.SIGTERM, _stop)
        if trainer.received_sigterm:
            _stop()

    on_validation_start = on_predict_start = on_test_start

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Restore the original handler, since the trainer calls no `teardown` after an error.

        Args:
            trainer: The trainer.
            pl_module: The task.
            exception: The error, or the exit by the handler.
        """
        self.teardown(trainer, pl_module, '')

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the original handler.

        Args:
            trainer: The trainer.
            pl_module: The task.
            stage: `fit`, `validate`, `test` or `predict`.
        """
        if self._original_handler is not None:
            signal.signal(signal.SIGTERM, self._original_handler)
            self._original_handler = None


def _in_main_thread() -> bool:
    """Return whether Python allows signal handlers here."""
    return threading.current_thread() is threading.main_thread()


def _stop(*_: object) -> None:
    """Leave the evaluation; a second signal finds the same handler."""
    raise SystemExit(TERMINATED)
