"""Does a fault stay where it is? Locality, participation and contrast of an output's change.

THEORY 3: a convolution keeps a fault inside the receptive-field image of its support, a dense
layer smears it over everything.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.errors import LipfaultError


@dataclass(frozen=True)
class LocalityMetrics:
    """How a change is spread over an output, mean over the samples that changed at all.

    Args:
        locality: Energy inside the receptive-field image over all energy; 1 for convolutions.
        participation: (Σv²)² / (n Σv⁴) over all n entries, in (0, 1]: small if concentrated.
        contrast: Largest over mean change over the latent positions, at least 1.
        samples: How many samples changed.
    """

    locality: float
    participation: float
    contrast: float
    samples: int


def receptive_field_image(
    function: Callable[[Tensor], Tensor], x: Tensor, support: Tensor, trials: int = 8, seed: int = 0
) -> Tensor:
    """Mask (..., shape of one output) of the entries that a fault on a support can change.

    Every entry that changes for any of several random faults of random sizes. From below: an entry
    that depends on the support and yet stays bit-identical in all trials is missed.

    Args:
        function: Map from (sample, ...) to (sample, ...), in evaluation mode.
        x: (sample, ...) inputs.
        support: Mask of the shape of x without the samples.
        trials: Random faults per sample.
        seed: Seed of the faults.
    """
    generator = torch.Generator().manual_seed(seed)
    support = support.to(x.device, torch.bool)
    with torch.no_grad():
        clean = function(x)
        touched = torch.zeros_like(clean[0], dtype=torch.bool)
        for trial in range(trials):
            noise = torch.randn(x.shape, generator=generator, device='cpu').to(x)
            noise = noise * 4.0 ** (trial - trials // 2)
            touched |= (function(torch.where(support, x + noise, x)) != clean).any(dim=0)
    return touched


def locality_metrics(change: Tensor, image: Tensor | None = None) -> LocalityMetrics:
    """Locality, participation and contrast of the change of an output.

    Args:
        change: (sample, channel, position ...) or (sample, feature), T(x̃) − T(x).
        image: Receptive-field image of the support, a mask broadcastable to the change; without
            it locality is NaN.

    Raises:
        LipfaultError: If nothing changed.

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
    unit = flat / flat.abs().amax(dim=1, keepdim=True)
    squares = unit.square()
    participation = squares.sum(dim=1) ** 2 / (unit.shape[1] * squares.square().sum(dim=1))
    positions = change[moved].double()
    if positions.ndim > 2:
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
