"""Base class of monitors, which leave the training bit-identical."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import nn

from lipfault.batch import Batch
from lipfault.errors import LipfaultError
from lipfault.lipschitz.modulation.parametrization import Modulation


class Observer(Callback, ABC):
    """Measure the model every few optimizer steps and log the values.

    Args:
        every: Optimizer steps between two measurements; the first is at the first step.

    Raises:
        LipfaultError: If `every` is not positive.
    """

    def __init__(self, every: int) -> None:
        """Keep the interval."""
        if every < 1:
            raise LipfaultError(f'every: must be at least 1 step, got {every}')
        self.every = every
        self._measured_at = -1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: Batch, *idx: int
    ) -> None:
        """Measure and log if the interval has passed.

        Args:
            trainer: The trainer.
            pl_module: The task to measure.
            outputs: Not used.
            batch: Training batch of the step.
            idx: Not used.
        """
        step = trainer.global_step
        due = (step - 1) % self.every == 0
        # With accumulated gradients several batches end at the same step.
        if not due or step == self._measured_at:
            return
        self._measured_at = step
        with observing(pl_module):
            values = self.measure(pl_module, batch)
        if self.local:
            device = trainer.strategy.root_device  # NCCL reduces tensors on the GPU only
            values = {
                k: float(trainer.strategy.reduce(torch.tensor(v, device=device)))
                for k, v in values.items()
            }
        for logger in trainer.loggers if values else ():
            # The global step is already incremented; Lightning logs the loss at step - 1, too.
            logger.log_metrics(values, step=step - 1)

    @property
    @abstractmethod
    def local(self) -> bool:
        """Return whether values depend on the rank, so that their mean over ranks is logged."""

    @abstractmethod
    def measure(self, pl_module: LightningModule, batch: Any) -> dict[str, float]:  # noqa: ANN401
        """Compute the values to log.

        Args:
            pl_module: The task, in evaluation mode and without gradients.
            batch: Training batch of the step.

        Returns:
            Values by metric name, the same names on every rank; may be empty.
        """


@contextmanager
def observing(module: nn.Module) -> Iterator[None]:
    """Switch a module to evaluation mode without gradients, and restore modes and random state.

    Modulated layers stay in training mode: in evaluation mode they would compute exact norms.

    Args:
        module: Module to observe.

    Yields:
        Nothing.
    """
    # A mode per part: a task may keep some parts, such as the frozen autoencoder, in eval mode.
    modes = {part: part.training for part in module.modules()}
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices), torch.no_grad():
        try:
            for part in modes:
                part.training = isinstance(part, Modulation)
            yield
        finally:
            for part, mode in modes.items():
                part.training = mode
