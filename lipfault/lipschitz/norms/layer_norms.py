"""Norms of all layers of a module at once, and their product, as the paper logs them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.exact import require_finite
from lipfault.lipschitz.norms.krylov import lanczos, start_vector
from lipfault.lipschitz.norms.norms import estimate_norms
from lipfault.lipschitz.norms.operators import LINEAR_LAYERS, linear_operator


def linear_layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Names and layers of the dense and convolutional layers of a module, each layer once."""
    for name, layer in module.named_modules():
        if isinstance(layer, LINEAR_LAYERS):
            yield name, layer


@dataclass
class InputSizes:
    """Spatial input sizes of convolutions, as their forward passes show them.

    Of a layer that is called with several sizes the one with most places counts: with zero padding
    its norm there is the largest.

    Args:
        found: Size by layer.
    """

    found: dict[nn.Module, tuple[int, ...]] = field(default_factory=dict)

    def watch(self, module: nn.Module) -> list[torch.utils.hooks.RemovableHandle]:
        """Hook all convolutions of a module; remove the handles when all have been seen."""
        return [
            layer.register_forward_pre_hook(self._record_size)
            for _, layer in linear_layers(module)
            if not isinstance(layer, nn.Linear)
        ]

    def _record_size(self, layer: nn.Module, args: tuple[Tensor, ...]) -> None:
        if args:
            axes = len(layer.kernel_size)  # type: ignore[arg-type]
            size = tuple(args[0].shape[-axes:])
            if math.prod(size) > math.prod(self.found.get(layer, (0,))):
                self.found[layer] = size


@dataclass
class NormTracker:
    """Estimates the norms of all layers of a module from below, warm from call to call.

    Args:
        steps: Lanczos steps per call once warm; the first call takes up to 40.
        right: Right singular vectors of the last call, by name.
    """

    steps: int = 4
    right: dict[str, Tensor] = field(default_factory=dict)

    @torch.no_grad()
    def norms(
        self, module: nn.Module, sizes: dict[nn.Module, tuple[int, ...]] | None = None
    ) -> dict[str, float]:
        """Norm of every dense layer, and of every convolution whose input size is known.

        Dense layers of one shape are estimated together.

        Args:
            module: Any module.
            sizes: Spatial input size of the convolutions.

        Raises:
            LipfaultError: If a weight is empty, or holds NaN or Inf, naming the layer.
        """
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
        warm = start is not None and start.shape[1:] == operator.in_shape
        if start is None or not warm:
            start = start_vector(operator.in_shape, weight)
        steps = self.steps if warm else 40
        triplet = lanczos(operator.apply, operator.adjoint, start, steps, 2e-4)
        self.right[name] = triplet.right
        return float(triplet.sigma)


def norm_product(module: nn.Module, norms: dict[str, float], prefix: str = '') -> float:
    """Product of the norms along a module, activations left out, as arXiv 2603.25103 logs it.

    Entries of an `nn.ModuleDict` count as branches of one input (root of the sum of squares),
    all others as a chain in the order of their registration; a layer that stands there twice
    counts twice. A raw figure, not a bound: for a bound see `lipfault.lipschitz.propagation`.

    Args:
        module: Any module.
        norms: Norm by name of the layer, as `NormTracker.norms` gives them.
        prefix: Name of the module inside the names.

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
