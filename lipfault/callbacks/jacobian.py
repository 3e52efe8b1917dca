"""Monitor of local gains: Jacobians and effective gains on a fixed probe batch."""

from collections.abc import Callable
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from lipfault.batch import Batch
from lipfault.callbacks.observer import Observer
from lipfault.callbacks.spectral import watched
from lipfault.domains import Count, validated
from lipfault.errors import LipfaultError
from lipfault.lipschitz.gains.jacobian import largest_gain, mean_gain
from lipfault.lipschitz.gains.pairwise import pairwise_gains
from lipfault.modality import Signals
from lipfault.tasks.inputs import finite


@validated
class JacobianMonitor(Observer):
    """Log the gains of modules along faults and between clean windows, on the same probe windows.

    Per module, at its own input and output:

    - `jacobian/<name>/max`: largest σ_max(J) over the probe, an estimate from below
    - `jacobian/<name>/mean`: RMS gain of isotropic faults, an estimate
    - `gain/<name>/fault`, `gain/<name>/clean`: effective gains (docs/theory.md, section 6)
    - `gain/<name>/selectivity`: clean gain / fault gain

    Logged values are means over ranks. The block receives the masks of missing values, but not the
    stillness of an image.

    Args:
        every: Optimizer steps between two measurements.
        modules: Paths of modules in the task, logged under the last part of the path, `layers` as
            `detector`; by default corrector and detector of stage 2.
        samples: Windows of the probe, taken from the first training batch.

    Raises:
        LipfaultError: If there are fewer than 2 windows: a clean gain needs a pair.

    Reference:
        Hutchinson, A stochastic estimator of the trace of the influence matrix, 1990:
        https://doi.org/10.1080/03610919008812866
        Yoshida & Miyato, Spectral norm regularization, 2017: https://arxiv.org/abs/1705.10941
    """

    local = True

    def __init__(
        self, every: Count = 200, modules: tuple[str, ...] = (), samples: Count = 16
    ) -> None:
        """Keep the settings; the first measurement takes the probe."""
        super().__init__(every)
        if samples < 2:
            raise LipfaultError(f'samples: gains need at least 2 windows, got {samples}')
        self.modules, self.samples = modules, samples
        self._probe: tuple[Signals, Signals] | None = None
        self._directions: dict[str, Tensor] = {}

    def measure(self, pl_module: LightningModule, batch: Any) -> dict[str, float]:  # noqa: ANN401
        """Measure the gains of all modules on the probe.

        Args:
            pl_module: The task.
            batch: Training batch; the first one becomes the probe.

        Returns:
            Gains by metric name.

        Raises:
            LipfaultError: If the first batch has fewer than 2 windows, a path names no module, or a
                module is not called.
        """
        clean, observed = self._probe or self._take(batch)
        modules = watched(pl_module, self.modules) if self.modules else _default(pl_module)
        clean_calls, faulty_calls = (
            self._calls(pl_module, modules, signals) for signals in (clean, observed)
        )
        values: dict[str, float] = {}
        for path, module in modules.items():
            # The detector's embedding layers are a list inside it, named `layers`.
            name = 'detector' if path == 'layers' else path
            values |= self._jacobian(name, module, faulty_calls[path])
            values |= _gains(name, clean_calls[path], faulty_calls[path])
        return values

    def _take(self, batch: Batch) -> tuple[Signals, Signals]:
        """Take the probe, clean and observed signals, from a batch."""
        if len(batch.sample_id) < 2:
            raise LipfaultError('the probe needs a first batch of at least 2 windows, got 1')
        # Clones: a slice would keep the whole batch in memory.
        self._probe = (
            {n: x[: self.samples].detach().clone() for n, x in batch.clean.items()},
            {n: x[: self.samples].detach().clone() for n, x in batch.observed.items()},
        )
        return self._probe

    def _calls(
        self, task: nn.Module, modules: dict[str, nn.Module], signals: Signals
    ) -> dict[str, 'Call']:
        """Record the last call of each module during a forward pass of the task."""
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
        """Estimate largest and mean gain of a module around the inputs of a call."""
        function, x = call.function(module), call.inputs
        start = self._directions.get(name)
        # A warm start converges in a few steps, since weights change slowly.
        warm = start is not None and start.shape == x.shape
        triple = largest_gain(function, x, steps=4 if warm else 20, start=start if warm else None)
        self._directions[name] = triple.right
        mean = mean_gain(function, x, probes=2)
        return {
            f'jacobian/{name}/max': float(triple.sigma.max()),
            f'jacobian/{name}/mean': float(mean.square().mean().sqrt()),
        }


class Call:
    """A call of a module with its tensors joined to one vector per sample.

    Args:
        args: Positional arguments.
        kwargs: Keyword arguments.
        output: Returned value.
    """

    def __init__(self, args: Any, kwargs: Any, output: Any) -> None:  # noqa: ANN401
        """Flatten all floating-point tensors with a sample axis."""
        self._leaves, self._spec = pytree.tree_flatten((args, kwargs))
        self._indices = [i for i, leaf in enumerate(self._leaves) if _is_signal(leaf)]
        self.inputs = _joined([self._leaves[i] for i in self._indices])
        self.output = _joined([x for x in pytree.tree_leaves(output) if _is_signal(x)])

    def function(self, module: nn.Module) -> Callable[[Tensor], Tensor]:
        """Return the module as a map between vectors, its other arguments held fixed.

        Args:
            module: The called module.

        Returns:
            Map from (sample, features) to (sample, features).
        """
        parts = [self._leaves[i] for i in self._indices]
        widths = [part[0].numel() for part in parts]

        def run(vector: Tensor) -> Tensor:
            leaves = list(self._leaves)
            chunks = torch.split(vector, widths, dim=1)
            for index, chunk, part in zip(self._indices, chunks, parts, strict=True):
                leaves[index] = chunk.reshape(len(vector), *part.shape[1:])  # (sample, ...)
            args, kwargs = pytree.tree_unflatten(leaves, self._spec)
            output = module(*args, **kwargs)
            return _joined([x for x in pytree.tree_leaves(output) if _is_signal(x)])

        return run


def _gains(name: str, clean: Call, faulty: Call) -> dict[str, float]:
    """Return the mean gains along faults and between clean windows, and their ratio."""
    fault = pairwise_gains(clean.inputs, faulty.inputs, clean.output, faulty.output).nanmean()
    # Pairs half a batch apart, as in the test: clean gains stay comparable.
    other = [x.roll(len(x) // 2, 0) for x in (clean.inputs, clean.output)]
    between = pairwise_gains(clean.inputs, other[0], clean.output, other[1]).nanmean()
    return {
        f'gain/{name}/fault': float(fault),
        f'gain/{name}/clean': float(between),
        f'gain/{name}/selectivity': float(between / fault),
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
    """Run the forward pass of the task on signals in physical units."""
    autoencoder: Any = task.autoencoder
    description: Any = task.description
    observation = finite(autoencoder, signals, description.modalities)
    if hasattr(task, 'block'):
        task.block(observation)  # type: ignore[operator]
    else:
        autoencoder(observation.signals)


def _is_signal(leaf: object) -> bool:
    """Return whether a leaf is a floating-point tensor with more than the sample axis."""
    return isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.ndim > 1


def _joined(parts: list[Tensor]) -> Tensor:
    """Join tensors (sample, ...) to one of shape (sample, features)."""
    return torch.cat([part.flatten(1).float() for part in parts], dim=1)
