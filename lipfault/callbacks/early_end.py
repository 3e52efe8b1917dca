"""Respect an early stop when a run is resumed."""

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities import rank_zero_info


class EarlyEnd(Callback):
    """End a resumed training at once if `EarlyStopping` had ended it.

    Lightning forgets that the training was stopped, and trains another epoch before it stops again.
    It also restores the patience of the checkpoint, so that a larger one has no effect; here the
    configured patience counts.
    """

    def __init__(self) -> None:
        """Start without values."""
        self._patience: dict[EarlyStopping, int] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep the configured patience, before the states are restored.

        Args:
            trainer: The trainer.
            pl_module: The task.
            stage: `fit`, `validate`, `test` or `predict`.
        """
        self._patience = {stop: stop.patience for stop in _early_stopping(trainer)}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop before the first step if the patience was already exceeded.

        Args:
            trainer: The trainer.
            pl_module: The task.
        """
        for stop, patience in self._patience.items():
            stop.patience = patience
            if _has_stopped(stop):
                trainer.should_stop = True
                rank_zero_info(
                    f'the training had ended early, by {stop.monitor}: nothing is left to train; a '
                    f'larger patience than {patience} goes on'
                )


def _has_stopped(stop: EarlyStopping) -> bool:
    """Return whether the restored state is that of a stopped training."""
    # A value that is not finite or beyond a threshold stops, too, whatever the patience.
    reason = getattr(getattr(stop, 'stopping_reason', None), 'name', 'NOT_STOPPED')
    by_value = reason not in ('NOT_STOPPED', 'PATIENCE_EXHAUSTED')
    return by_value or 0 < stop.patience <= stop.wait_count


def _early_stopping(trainer: Trainer) -> list[EarlyStopping]:
    return [c for c in trainer.callbacks if isinstance(c, EarlyStopping)]  # type: ignore[attr-defined]
