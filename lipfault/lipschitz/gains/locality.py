"""Locality, participation ratio and contrast of an output's change under a localized fault.

A convolution keeps a fault inside the receptive-field image of its support, a dense layer spreads
it over all outputs (docs/theory.md, section 3).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.errors import LipfaultError


@dataclass(frozen=True)
class LocalityMetrics:
    """Spatial concentration of a change of an output, mean over the samples that changed.

    Args:
        locality: Energy (sum of squares) inside the receptive-field image over all energy; 1 for
            convolutions.
        participation: Participation ratio (Σv²)² / (n Σv⁴) over all n entries, in (0, 1]; small if
            the change is concentrated.
        contrast: Largest over mean change over the latent positions, at least 1.
        samples: Number of samples that changed.
    """

    locality: float
    participation: float
    contrast: float
    samples: int


def receptive_field_image(
    function: Callable[[Tensor], Tensor], x: Tensor, support: Tensor, trials: int = 8, seed: int = 0
) -> Tensor:
    """Estimate from below which output entries a fault on a support can change.

    An entry counts if it changes for any of several random faults of random sizes; an entry that
    depends on the support and yet stays bit-identical in all trials is missed.

    Args:
        function: Map from (sample, ...) to (sample, ...), in evaluation mode.
        x: Inputs, (sample, ...).
        support: Mask of the support, of the shape of x without the sample axis.
        trials: Random faults per sample.
        seed: Seed of the faults.

    Returns:
        Boolean mask of the shape of one output.

    Reference:
        Theoretical and effective receptive fields: Luo et al. 2016,
        https://arxiv.org/abs/1701.04128
    """
    generator = torch.Generator().manual_seed(seed)
    support = support.to(x.device, torch.bool)
    with torch.no_grad():
        clean = function(x)
        changed = torch.zeros_like(clean[0], dtype=torch.bool)
        for trial in range(trials):
            noise = torch.randn(x.shape, generator=generator, device='cpu').to(x)
            # Sizes 4^-4 to 4^3 times the unit of x: small ones pass saturated activations,
            # large ones lift dead ones.
            noise = noise * 4.0 ** (trial - trials // 2)
            changed |= (function(torch.where(support, x + noise, x)) != clean).any(dim=0)
    return changed


def locality_metrics(change: Tensor, image: Tensor | None = None) -> LocalityMetrics:
    """Compute locality, participation ratio and contrast of the change of an output.

    Args:
        change: T(x̃) − T(x), (sample, channel, position ...) or (sample, feature).
        image: Receptive-field image of the support, a mask broadcastable to the change; without
            it locality is NaN.

    Returns:
        Means over the samples that changed.

    Raises:
        LipfaultError: If no sample changed.

    Example:
        >>> locality_metrics(torch.tensor([[0.0, 0.0, 2.0, 0.0]])).participation
        0.25
    """
    flat = change.double().flatten(1)
    energy = flat.square().sum(dim=1)
    moved = energy > 0
    if not bool(moved.any()):
        raise LipfaultError('locality_metrics: no sample changed, so there is nothing to locate')
    flat, energy = flat[moved], energy[moved]
    # The ratio is invariant to scale; entries of at most 1 keep fourth powers in range.
    unit = flat / flat.abs().amax(dim=1, keepdim=True)
    squares = unit.square()
    participation = squares.sum(dim=1) ** 2 / (unit.shape[1] * squares.square().sum(dim=1))
    positions = change[moved].double()
    if positions.ndim > 2:
        # (sample, channel, position ...) to the Euclidean norm over channels, (sample, position)
        positions = positions.square().sum(dim=1).sqrt().flatten(1)
    contrast = positions.abs().amax(dim=1) / positions.abs().mean(dim=1)
    locality = float('nan')
    if image is not None:
        inside = change.double().square() * image.to(change.device, torch.float64)
        inside = inside.flatten(1).sum(dim=1)
        locality = float((inside[moved] / energy).mean())
    return LocalityMetrics(
        locality, float(participation.mean()), float(contrast.mean()), int(moved.sum())
    )
