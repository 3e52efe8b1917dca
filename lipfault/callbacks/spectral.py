"""Spectral norms over training: one number a layer, one product a module."""

from typing import Any

import lightning
import torch
from torch import nn

from lipfault.callbacks.observer import Observer
from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.layer_norms import InputSizes, NormTracker, norm_product


class SpectralNormMonitor(Observer):
    """Logs `norm/<module>/<layer>` and their product `norm/<module>`, estimates from below.

    Weights are equal on all ranks, so nothing is reduced. The product is the paper's raw figure,
    without activations; it bounds nothing where branches are gated. Nothing for a module without
    layers.

    Args:
        every: Optimizer steps between two looks.
        modules: Paths of modules in the task, logged under the last part of their name; without
            it the corrector and the detector of stage 2, or encoder and decoder paths of stage 1.
    """

    local = False

    def __init__(self, every: int = 50, modules: tuple[str, ...] = ()) -> None:
        """Nothing is seen yet."""
        super().__init__(every)
        self.modules = modules
        self._trackers: dict[str, NormTracker] = {}
        self._sizes = InputSizes()
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def on_fit_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Have the convolutions tell their input sizes in the first forward passes."""
        for module in watched(pl_module, self.modules).values():
            self._handles += self._sizes.watch(module)

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take the hooks off."""
        self._release()

    def look(self, pl_module: lightning.LightningModule, batch: Any) -> dict[str, float]:  # noqa: ANN401
        """Norms of all layers and products of all modules."""
        self._release()
        values: dict[str, float] = {}
        for name, module in watched(pl_module, self.modules).items():
            tracker = self._trackers.setdefault(name, NormTracker())
            norms = tracker.norms(module, self._sizes.found)
            values |= {f'norm/{name}/{layer}': norm for layer, norm in norms.items()}
            if norms:
                values[f'norm/{name}'] = norm_product(module, norms)
        return values

    def _release(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []


def watched(task: nn.Module, paths: tuple[str, ...]) -> dict[str, nn.Module]:
    """Return the modules to watch.

    Args:
        task: The task.
        paths: Paths of modules; without any the corrector and detector that the block of stage 2
            has, or the autoencoder of stage 1.

    Returns:
        Modules by the last part of their path.

    Raises:
        LipfaultError: If a path names no module.
    """
    known = dict(task.named_modules())
    if not paths:
        block: Any = getattr(task, 'block', None)
        return {'autoencoder': known['autoencoder']} if block is None else block.monitored()
    missing = [p for p in paths if p not in known]
    if missing:
        near = ', '.join(sorted(n for n in known if n.count('.') < 2 and n))
        raise LipfaultError(f'modules: {missing[0]!r} names no module; there are {near}')
    return {p.rsplit('.', 1)[-1]: known[p] for p in paths}
