"""Local gains over training: Jacobians and effective gains on a fixed probe batch."""

from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from lipfault.batch import Batch
from lipfault.callbacks.observer import Observer
from lipfault.callbacks.spectral import watched
from lipfault.errors import LipfaultError
from lipfault.lipschitz.gains.jacobian import largest_gain, mean_gain
from lipfault.lipschitz.gains.pairwise import pairwise_gains
from lipfault.modality import Signals
from lipfault.tasks.inputs import finite


class JacobianMonitor(Observer):
    """Logs, on the same few windows throughout, what modules do to faults and to clean signals.

    For every module `jacobian/<name>/max` (largest σ_max over the probe, an estimate from below),
    `jacobian/<name>/mean` (root mean square gain of isotropic faults, an estimate),
    `gain/<name>/fault` and `gain/<name>/clean` (THEORY 6, exact for the probe), and
    `gain/<name>/selectivity`. All at the module's own input and output; means over ranks. The
    block is told where values are missing, not how still an image is.

    Args:
        every: Optimizer steps between two looks.
        modules: Paths of modules in the task, logged under the last part of their name but one
            where that is a list of layers; without it corrector and detector of stage 2.
        samples: Windows of the probe, taken from the first training batch.
    """

    local = True

    def __init__(self, every: int = 200, modules: tuple[str, ...] = (), samples: int = 16) -> None:
        """Nothing is seen yet."""
        super().__init__(every)
        if samples < 2:
            raise LipfaultError(f'samples: gains need at least 2 windows, got {samples}')
        self.modules, self.samples = modules, samples
        self._probe: tuple[Signals, Signals] | None = None
        self._directions: dict[str, Tensor] = {}

    def look(self, pl_module: lightning.LightningModule, batch: Any) -> dict[str, float]:  # noqa: ANN401
        """Gains of all modules on the probe."""
        clean, observed = self._probe or self._take(batch)
        modules = watched(pl_module, self.modules) if self.modules else _default(pl_module)
        calm, moved = (self._calls(pl_module, modules, s) for s in (clean, observed))
        values: dict[str, float] = {}
        for path, module in modules.items():
            name = 'detector' if path == 'layers' else path
            values |= self._jacobian(name, module, moved[path])
            values |= _gains(name, calm[path], moved[path])
        return values

    def _take(self, batch: Batch) -> tuple[Signals, Signals]:
        if len(batch.sample_id) < 2:
            raise LipfaultError('the probe needs a first batch of at least 2 windows, got 1')
        self._probe = (
            {n: x[: self.samples].detach().clone() for n, x in batch.clean.items()},
            {n: x[: self.samples].detach().clone() for n, x in batch.observed.items()},
        )
        return self._probe

    def _calls(
        self, task: nn.Module, modules: dict[str, nn.Module], signals: Signals
    ) -> dict[str, 'Call']:
        """The last call of each module while the task treats the signals."""
        calls: dict[str, Call] = {}
        handles = [
            module.register_forward_hook(
                lambda _, args, kwargs, out, n=name: calls.update({n: Call(args, kwargs, out)}),
                with_kwargs=True,
            )
            for name, module in modules.items()
        ]
        try:
            _treat(task, signals)
        finally:
            for handle in handles:
                handle.remove()
        idle = sorted(modules.keys() - calls.keys())
        if idle:
            raise LipfaultError(f'JacobianMonitor: {idle} are never called; leave them out')
        return calls

    def _jacobian(self, name: str, module: nn.Module, call: 'Call') -> dict[str, float]:
        function, x = call.function(module), call.inputs
        start = self._directions.get(name)
        warm = start is not None and start.shape == x.shape
        triple = largest_gain(function, x, steps=4 if warm else 20, start=start if warm else None)
        self._directions[name] = triple.right
        mean = mean_gain(function, x, probes=2)
        return {
            f'jacobian/{name}/max': float(triple.sigma.max()),
            f'jacobian/{name}/mean': float(mean.square().mean().sqrt()),
        }


class Call:
    """A call of a module, its tensors joined to one vector per sample.

    Args:
        args: Positional arguments.
        kwargs: Keyword arguments.
        output: What it returned.
    """

    def __init__(self, args: Any, kwargs: Any, output: Any) -> None:  # noqa: ANN401
        """Flatten all floating tensors."""
        self._leaves, self._spec = pytree.tree_flatten((args, kwargs))
        self._places = [i for i, leaf in enumerate(self._leaves) if _is_signal(leaf)]
        self.inputs = _joined([self._leaves[i] for i in self._places])
        self.output = _joined([x for x in pytree.tree_leaves(output) if _is_signal(x)])

    def function(self, module: nn.Module) -> Any:  # noqa: ANN401
        """The module as a map from (sample, number) to (sample, number)."""
        parts = [self._leaves[i] for i in self._places]
        widths = [part[0].numel() for part in parts]

        def run(vector: Tensor) -> Tensor:
            leaves = list(self._leaves)
            pieces = torch.split(vector, widths, dim=1)
            for place, piece, part in zip(self._places, pieces, parts, strict=True):
                leaves[place] = piece.reshape(len(vector), *part.shape[1:])
            args, kwargs = pytree.tree_unflatten(leaves, self._spec)
            output = module(*args, **kwargs)
            return _joined([x for x in pytree.tree_leaves(output) if _is_signal(x)])

        return run


def _gains(name: str, calm: Call, moved: Call) -> dict[str, float]:
    fault = pairwise_gains(calm.inputs, moved.inputs, calm.output, moved.output).nanmean()
    other = [x.roll(len(x) // 2, 0) for x in (calm.inputs, calm.output)]
    clean = pairwise_gains(calm.inputs, other[0], calm.output, other[1]).nanmean()
    return {
        f'gain/{name}/fault': float(fault),
        f'gain/{name}/clean': float(clean),
        f'gain/{name}/selectivity': float(clean / fault),
    }


def _default(task: nn.Module) -> dict[str, nn.Module]:
    """Corrector, and layers of the detector, those that the block has."""
    block: Any = getattr(task, 'block', None)
    if block is None:
        raise LipfaultError(
            'JacobianMonitor watches stage 2; for another task give it the modules to watch'
        )
    found = {'corrector': block.corrector, 'layers': block.detector.layers}
    return {name: module for name, module in found.items() if module is not None}


def _treat(task: nn.Module, signals: Signals) -> None:
    autoencoder: Any = task.autoencoder
    description: Any = task.description
    observation = finite(autoencoder, signals, description.modalities)
    if hasattr(task, 'block'):
        task.block(observation)  # type: ignore[operator]
    else:
        autoencoder(observation.signals)


def _is_signal(leaf: object) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.ndim > 1


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat([part.flatten(1).float() for part in parts], dim=1)
