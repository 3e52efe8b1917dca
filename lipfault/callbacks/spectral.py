"""Monitor of the spectral norms: one value per layer, one product per module."""

from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import nn

from lipfault.callbacks.observer import Observer
from lipfault.domains import Count, validated
from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.layer_norms import InputSizes, NormTracker, norm_product


@validated
class SpectralNormMonitor(Observer):
    """Log `norm/<module>/<layer>` and their product `norm/<module>`, estimates from below.

    The product omits activations, as in the paper. It is no bound for gated branches, and any
    rescaling of layer weights changes it. Weights are equal on all ranks, so no value is reduced.
    A module without linear layers has no metric.

    Args:
        every: Optimizer steps between two measurements.
        modules: Paths of modules in the task, logged under the last part of the path; by default
            corrector and detector of stage 2, or the autoencoder of stage 1.

    Reference:
        Altinses & Schwung, 2026: https://arxiv.org/abs/2603.25103
        Miyato et al., Spectral normalization for generative adversarial networks, 2018:
        https://arxiv.org/abs/1802.05957
    """

    local = False

    def __init__(self, every: Count = 50, modules: tuple[str, ...] = ()) -> None:
        """Keep interval and paths."""
        super().__init__(every)
        self.modules = modules
        self._trackers: dict[str, NormTracker] = {}
        self._sizes = InputSizes()
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the input sizes of the convolutions, on which their norms depend.

        Args:
            trainer: The trainer.
            pl_module: The task.
        """
        for module in watched(pl_module, self.modules).values():
            self._handles += self._sizes.watch(module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the hooks.

        Args:
            trainer: The trainer.
            pl_module: The task.
        """
        self._release()

    def measure(self, pl_module: LightningModule, batch: Any) -> dict[str, float]:  # noqa: ANN401
        """Estimate the norms of all layers and the products of all modules.

        Args:
            pl_module: The task.
            batch: Not used.

        Returns:
            Norms and products by metric name.

        Raises:
            LipfaultError: If a path names no module, or a weight is empty, NaN or infinite.
        """
        # By the first measurement every convolution has had its first forward pass.
        self._release()
        values: dict[str, float] = {}
        for name, module in watched(pl_module, self.modules).items():
            # Singular vectors of the last call start the next one: weights change slowly.
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
