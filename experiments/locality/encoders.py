"""Encoders to compare, and gains of single layers: measured, and predicted from the weights."""

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
"""Maps standardized signals (window, ...) to latents (window, channel, position ...) or
(window, feature)."""


def convolutional(autoencoder: Autoencoder, name: str) -> Encoder:
    """Return the encoder of one modality of stage 1.

    Args:
        autoencoder: A trained stage 1.
        name: Name of the modality.
    """
    return lambda signals: autoencoder.encode({name: signals})[name]


def dense(standardized: Tensor, size: int) -> Encoder:
    """Return a linear dense encoder: PCA of whole windows, scaled to unit variance.

    Args:
        standardized: Clean training signals, (window, ...).
        size: Features of the latent; reduced to the number of components if there are fewer.
    """
    flat = standardized.flatten(1)
    pca = fit_pca(flat, min(size, *flat.shape))
    spread = pca.encode(flat).std(dim=0).clamp_min(1e-6)
    return lambda signals: pca.encode(signals.flatten(1)) / spread


@dataclass(frozen=True)
class Layer:
    """Gains of a layer, predicted from its weights and measured.

    Args:
        norm: Spectral norm, the upper bound of every gain.
        isotropic: RMS gain in random directions, predicted from the weights.
        measured: RMS gain in random directions, measured.
        injected: RMS gain along injected faults, measured.
        largest: Largest gain along an injected fault.
    """

    norm: float
    isotropic: float
    measured: float
    injected: float
    largest: float


def untrained(inputs: int, outputs: int, faults: Tensor) -> Layer:
    """Return the gains of a dense layer with the initialization of torch.

    Its weights are uniform with variance 1 / (3n), so that the isotropic gain is √(p / 3n) for n
    inputs and p outputs.

    Args:
        inputs: Number of inputs n.
        outputs: Number of outputs p.
        faults: Changes by injected faults, (fault, n).

    Reference:
        He et al., Delving deep into rectifiers, 2015, https://arxiv.org/abs/1502.01852; torch
        calls its uniform initialization with a = √5.
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
    """Return the gains of the dense and convolutional layers that an encoder runs.

    Args:
        module: Module that holds the layers.
        encode: Encoder that runs them.
        clean: Standardized clean signals, (fault, ...).
        faulty: The same signals with a fault, (fault, ...).

    Returns:
        Gains by name of the layer, without layers that the encoder does not run.
    """
    inputs: dict[str, list[Tensor]] = {}  # by layer: of the clean pass, of the faulty pass
    hooks = [
        layer.register_forward_pre_hook(
            lambda _, args, name=name: inputs.setdefault(name, []).append(args[0])
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
        name: _layer(layer, *inputs[name])
        for name, layer in linear_layers(module)
        if name in inputs
    }


def _layer(layer: nn.Module, clean: Tensor, faulty: Tensor) -> Layer:
    """Gains of one layer for its clean and faulty inputs, (fault, ...)."""
    size = None if isinstance(layer, nn.Linear) else clean.shape[2:]
    operator = linear_operator(layer, size)
    directions = torch.randn(64, *clean.shape[1:], generator=torch.Generator().manual_seed(0))
    gains = _gains(operator, faulty - clean)
    weight: Tensor = layer.weight  # type: ignore[assignment]
    outputs = operator.apply(clean[:1]).numel()
    # Every output sums over one kernel. Outputs at a padded border sum over fewer inputs, so the
    # prediction is an upper estimate there.
    isotropic = weight.detach().flatten(1).square().sum(dim=1).mean() * outputs / clean[0].numel()
    return Layer(
        exact_norm(layer, size).value,
        float(isotropic.sqrt()),
        _rms(_gains(operator, directions)),
        _rms(gains),
        float(gains.max()),
    )


def _gains(operator: LinearOperator, changes: Tensor) -> Tensor:
    """Gain of each change that is not zero, (change,)."""
    moved = changes[changes.flatten(1).norm(dim=1) > 0]
    gains: Tensor = operator.apply(moved).flatten(1).norm(dim=1) / moved.flatten(1).norm(dim=1)
    return gains
