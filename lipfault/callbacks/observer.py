"""The base of callbacks that only look: training is bit-identical with and without them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning
import torch
from torch import nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.modulation.modulation import modulated


class Observer(lightning.Callback, ABC):
    """Looks at the model every so many optimizer steps, and logs what it sees.

    Args:
        every: Optimizer steps between two looks; the first look is at the first step.

    Raises:
        LipfaultError: If `every` is not a positive number.
    """

    def __init__(self, every: int) -> None:
        """Keep the cadence."""
        if every < 1:
            raise LipfaultError(f'every: must be at least 1 step, got {every}')
        self.every = every
        self._looked_at = -1

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Look, if it is time to."""
        step = trainer.global_step
        due = (step - 1) % self.every == 0
        if not due or step == self._looked_at:
            return
        self._looked_at = step
        with observing(pl_module):
            values = self.look(pl_module, batch)
        if self.local:
            device = trainer.strategy.root_device  # collectives may know no other
            values = {
                k: float(trainer.strategy.reduce(torch.tensor(v, device=device)))
                for k, v in values.items()
            }
        for logger in trainer.loggers if values else ():
            logger.log_metrics(values, step=step - 1)

    @property
    @abstractmethod
    def local(self) -> bool:
        """Whether values differ between ranks and must be averaged."""

    @abstractmethod
    def look(self, pl_module: lightning.LightningModule, batch: Any) -> dict[str, float]:  # noqa: ANN401
        """Values by metric name, the same names on every rank; may be none."""


@contextmanager
def observing(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; modes and random state are restored afterwards.

    Modulated layers keep the norms that training uses, so that nothing is computed anew.
    """
    modes = {part: part.training for part in module.modules()}
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices), torch.no_grad():
        try:
            for part in modes:
                part.training = False
            for entry in modulated(module):
                entry.modulation.training = True
            yield
        finally:
            for part, mode in modes.items():
                part.training = mode
