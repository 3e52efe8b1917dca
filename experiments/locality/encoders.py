"""The encoders that are compared: of stage 1, linear and dense, and a layer as torch starts it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipfault.lipschitz.norms.layer_norms import linear_layers
from lipfault.lipschitz.norms.norms import exact_norm
from lipfault.lipschitz.norms.operators import LinearOperator, linear_operator
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.autoencoder.pca import fit_pca

Encoder = Callable[[Tensor], Tensor]
"""From standardized signals (window, ...) to latents (window, channel, position ...) or
(window, number)."""


def convolutional(autoencoder: Autoencoder, name: str) -> Encoder:
    """The encoder of one modality of stage 1."""
    return lambda signals: autoencoder.encode({name: signals})[name]


def dense(standardized: Tensor, size: int) -> Encoder:
    """PCA of whole windows, its numbers scaled to unit variance.

    Args:
        standardized: Clean training signals (window, ...).
        size: Of the latent; fewer if there are not so many components.
    """
    flat = standardized.flatten(1)
    pca = fit_pca(flat, min(size, *flat.shape))
    spread = pca.encode(flat).std(dim=0).clamp_min(1e-6)
    return lambda signals: pca.encode(signals.flatten(1)) / spread


@dataclass(frozen=True)
class Layer:
    """A layer beside what theory says of it.

    Args:
        norm: Spectral norm: no fault is amplified more.
        isotropic: Root mean square gain of a fault in random directions, from the weights.
        measured: The same, measured on random faults.
        injected: Root mean square gain along injected faults.
        largest: Largest gain of an injected fault.
    """

    norm: float
    isotropic: float
    measured: float
    injected: float
    largest: float


def untrained(inputs: int, outputs: int, faults: Tensor) -> Layer:
    """A dense layer as torch starts it; isotropic is √(p / 3n) for n inputs and p outputs.

    Args:
        inputs: n.
        outputs: p.
        faults: Injected faults (fault, n).
    """
    torch.manual_seed(0)
    weight = nn.Linear(inputs, outputs).weight.detach()
    directions = torch.randn(256, inputs)
    faults = faults[faults.norm(dim=1) > 0]
    gains = (faults @ weight.T).norm(dim=1) / faults.norm(dim=1)
    return Layer(
        float(torch.linalg.matrix_norm(weight, 2)),
        (outputs / (3 * inputs)) ** 0.5,
        _rms((directions @ weight.T).norm(dim=1) / directions.norm(dim=1)),
        _rms(gains),
        float(gains.max()),
    )


def _rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt())


@torch.no_grad()
def layers_of(
    module: nn.Module, encode: Encoder, clean: Tensor, faulty: Tensor
) -> dict[str, Layer]:
    """The dense and convolutional layers that the encoder of one modality passes through.

    Args:
        module: Holds the layers.
        encode: Passes through them.
        clean: Standardized signals (fault, ...).
        faulty: The same with a fault.
    """
    seen: dict[str, list[Tensor]] = {}
    hooks = [
        layer.register_forward_pre_hook(
            lambda _, args, name=name: seen.setdefault(name, []).append(args[0])
        )
        for name, layer in linear_layers(module)
    ]
    try:
        encode(clean)
        encode(faulty)
    finally:
        for hook in hooks:
            hook.remove()
    return {
        name: _layer(layer, *seen[name]) for name, layer in linear_layers(module) if name in seen
    }


def _layer(layer: nn.Module, clean: Tensor, faulty: Tensor) -> Layer:
    """Gains of one layer, which sees these inputs."""
    size = None if isinstance(layer, nn.Linear) else clean.shape[2:]
    operator = linear_operator(layer, size)
    directions = torch.randn(64, *clean.shape[1:], generator=torch.Generator().manual_seed(0))
    gains = _gains(operator, faulty - clean)
    weight: Tensor = layer.weight  # type: ignore[assignment]
    outputs = operator.apply(clean[:1]).numel()
    # Every output weighs one kernel: those at the border, which see padding, a little less.
    isotropic = weight.detach().flatten(1).square().sum(dim=1).mean() * outputs / clean[0].numel()
    return Layer(
        exact_norm(layer, size).value,
        float(isotropic.sqrt()),
        _rms(_gains(operator, directions)),
        _rms(gains),
        float(gains.max()),
    )


def _gains(operator: LinearOperator, changes: Tensor) -> Tensor:
    """Gain of each change that is not zero."""
    moved = changes[changes.flatten(1).norm(dim=1) > 0]
    gains: Tensor = operator.apply(moved).flatten(1).norm(dim=1) / moved.flatten(1).norm(dim=1)
    return gains
