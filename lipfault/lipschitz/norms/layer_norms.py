"""Spectral norms of all layers of a module, tracked over training, and their product."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.krylov import lanczos, start_vector
from lipfault.lipschitz.norms.norms import estimate_norms
from lipfault.lipschitz.norms.operators import LINEAR_LAYERS, linear_operator, require_finite


def linear_layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Iterate over the dense and convolutional layers of a module, each layer once.

    Args:
        module: Any module.

    Yields:
        Name inside the module, and layer, in the order of `named_modules`.
    """
    for name, layer in module.named_modules():
        if isinstance(layer, LINEAR_LAYERS):
            yield name, layer


@dataclass
class InputSizes:
    """Spatial input sizes of convolutions, recorded by hooks in their forward passes.

    Of a layer that is called with several sizes the largest is kept: with zero padding the norm
    grows with the size.

    Args:
        found: Spatial size by layer.
    """

    found: dict[nn.Module, tuple[int, ...]] = field(default_factory=dict)

    def watch(self, module: nn.Module) -> list[torch.utils.hooks.RemovableHandle]:
        """Register a forward pre-hook on every convolution of a module.

        Args:
            module: Any module.

        Returns:
            Handles, to be removed after the forward passes of interest.
        """
        return [
            layer.register_forward_pre_hook(self._record_size)
            for _, layer in linear_layers(module)
            if not isinstance(layer, nn.Linear)
        ]

    def _record_size(self, layer: nn.Module, args: tuple[Tensor, ...]) -> None:
        if args:
            # (batch, channel, *size) or unbatched: the last axes are the spatial ones.
            axes = len(layer.kernel_size)  # type: ignore[arg-type]
            size = tuple(args[0].shape[-axes:])
            if math.prod(size) > math.prod(self.found.get(layer, (0,))):
                self.found[layer] = size


@dataclass
class NormTracker:
    """Estimate of the norms of all layers from below, warm-started from call to call.

    Args:
        steps: Lanczos steps per call after a warm start; the first call takes up to 40.
        right: Right singular vectors of the last call, by name of the layer.

    Reference:
        Warm start over training steps: Miyato et al. 2018, https://arxiv.org/abs/1802.05957
    """

    steps: int = 4
    right: dict[str, Tensor] = field(default_factory=dict)

    @torch.no_grad()
    def norms(
        self, module: nn.Module, sizes: dict[nn.Module, tuple[int, ...]] | None = None
    ) -> dict[str, float]:
        """Estimate the norm of every dense layer and of every convolution of known input size.

        Args:
            module: Any module.
            sizes: Spatial input size by convolution, see `InputSizes.found`.

        Returns:
            Norm by name of the layer, estimates from below; weights are not changed.

        Raises:
            LipfaultError: If a weight is empty, or holds NaN or Inf, naming the layer.
        """
        # Dense layers of equal shape form one stack (layer, rows, columns) for one batched call.
        groups: dict[tuple[int, ...], dict[str, Tensor]] = {}
        found: dict[str, float] = {}
        for name, layer in linear_layers(module):
            weight: Tensor = layer.weight.detach().float()  # type: ignore[operator]
            _require_norm(name, weight)
            if isinstance(layer, nn.Linear):
                groups.setdefault(tuple(weight.shape), {})[name] = weight
            elif sizes is not None and layer in sizes:
                found[name] = self._convolution(name, layer, sizes[layer], weight)
        for group in groups.values():
            found |= self._dense(group)
        return {name: found[name] for name, _ in linear_layers(module) if name in found}

    def _dense(self, group: dict[str, Tensor]) -> dict[str, float]:
        warm = all(name in self.right for name in group)
        start = torch.stack([self.right[name] for name in group]) if warm else None
        stack = torch.stack(list(group.values()))
        norms, right = estimate_norms(stack, start, self.steps if warm else 40)
        self.right |= dict(zip(group, right, strict=True))
        return dict(zip(group, norms.tolist(), strict=True))

    def _convolution(
        self, name: str, layer: nn.Module, size: tuple[int, ...], weight: Tensor
    ) -> float:
        operator = linear_operator(layer, size, weight)
        start = self.right.get(name)
        # The input size may have changed since the last call, and with it the singular vector.
        warm = start is not None and start.shape[1:] == operator.in_shape
        if start is None or not warm:
            start = start_vector(operator.in_shape, weight)
        steps = self.steps if warm else 40
        triplet = lanczos(operator.apply, operator.adjoint, start, steps, 2e-4)
        self.right[name] = triplet.right
        return float(triplet.sigma)


def norm_product(module: nn.Module, norms: dict[str, float], prefix: str = '') -> float:
    """Multiply the norms along a module, activations left out.

    Entries of an `nn.ModuleDict` are branches of one input and count by the root of the sum of
    their squares; all other submodules form a chain in the order of registration. A layer that is
    registered twice counts twice. Neither an estimate nor a bound of the module's Lipschitz
    constant, since residual connections and gates are not followed: see
    `lipfault.lipschitz.propagation` for a bound.

    Args:
        module: Any module.
        norms: Norm by name of the layer, see `NormTracker.norms`.
        prefix: Prefix of the names, the name of the module inside its parent.

    Returns:
        Product of the norms; 1 for a module without layers.

    Reference:
        Altinses & Schwung 2026, https://arxiv.org/abs/2603.25103;
        product bound of a chain: Szegedy et al. 2014, https://arxiv.org/abs/1312.6199

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
        >>> norm_product(net, {'0': 2.0, '2': 3.0})
        6.0
    """
    names = module.named_modules(prefix=prefix)
    return _norm_product(module, {layer: norms[name] for name, layer in names if name in norms})


def _norm_product(module: nn.Module, norms: dict[nn.Module, float]) -> float:
    if module in norms:
        return norms[module]
    # `_modules`, not `named_children`, which would leave out a layer that is registered twice.
    parts = [
        _norm_product(child, norms)
        for child in module._modules.values()
        if child is not None and any(isinstance(m, LINEAR_LAYERS) for m in child.modules())
    ]
    if isinstance(module, nn.ModuleDict) and parts:
        return math.sqrt(sum(part**2 for part in parts))
    return math.prod(parts)


def _require_norm(name: str, weight: Tensor) -> None:
    try:
        if weight.numel() == 0:
            raise LipfaultError(f'its weight is empty, shape {tuple(weight.shape)}')
        require_finite(weight)
    except LipfaultError as error:
        raise LipfaultError(f'layer {name!r}: {error}') from error
