"""Lipschitz and Jacobian criteria: whether a map attenuates or amplifies faults on a support.

The Lipschitz criterion holds for every input and every fault. The Jacobian criterion holds to
first order, for small faults at the given inputs. See docs/theory.md, section 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.gains.jacobian import (
    Map,
    expand_mask,
    largest_gain,
    mean_gain,
    smallest_gain,
)
from lipfault.lipschitz.norms.operators import require_finite
from lipfault.lipschitz.propagation.sectors import Sector

Effect = Literal['attenuates', 'amplifies', 'depends']


@dataclass(frozen=True)
class CriterionResult:
    """Effect of a map on faults of one support, with the gains that decide it.

    Args:
        effect: `attenuates` if every gain is below 1, `amplifies` if every gain is above 1,
            `depends` (on the direction or the input) otherwise.
        largest: Largest gain; a bound from above for the Lipschitz criterion, an estimate from
            below for the Jacobian criterion.
        smallest: Smallest gain, a bound from below; 0 where none is known.
        mean: Root mean square gain of isotropic faults; NaN for the Lipschitz criterion of a
            nonlinear map.
        scope: Inputs and faults for which the result holds.
    """

    effect: Effect
    largest: float
    smallest: float
    mean: float
    scope: str


def lipschitz_criterion(
    layer: nn.Linear, sector: Sector, supports: Mapping[str, slice]
) -> dict[str, CriterionResult]:
    """Apply the Lipschitz criterion to σ(W x + b), for each support S.

    Largest gain β‖W P_S‖₂ and smallest gain α σ_min(W P_S), with slopes of σ in [α, β]: exact for
    the linear part, bounds from above and below for the layer.

    Args:
        layer: Dense layer.
        sector: Slopes of the activation, `Sector(1, 1)` for none.
        supports: Columns of each modality.

    Returns:
        Result by name of the modality.

    Raises:
        LipfaultError: If a support selects no column, or the weight holds NaN or Inf.

    Reference:
        Altinses & Schwung 2026, https://arxiv.org/abs/2603.25103

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> _ = layer.weight.data.copy_(torch.diag(torch.tensor([0.5, 2.0])))
        >>> parts = {'camera': slice(0, 1), 'imu': slice(1, 2)}
        >>> {n: r.effect for n, r in lipschitz_criterion(layer, Sector(1, 1), parts).items()}
        {'camera': 'attenuates', 'imu': 'amplifies'}
    """
    weight = layer.weight.detach().double()
    require_finite(weight)
    results = {}
    for name, columns in supports.items():
        part = weight[:, columns]
        if part.numel() == 0:
            raise LipfaultError(
                f'support {name!r}: selects no column of a weight of shape {tuple(weight.shape)}'
            )
        results[name] = _layer_result(part, sector)
    return results


def _layer_result(part: Tensor, sector: Sector) -> CriterionResult:
    values = torch.linalg.svdvals(part)
    # A wide matrix has a null space: some faults vanish altogether.
    tall = part.shape[0] >= part.shape[1]
    largest = sector.gain * float(values[0])
    smallest = max(0.0, sector.low) * float(values[-1]) if tall else 0.0
    linear = sector.low == sector.high
    # E g² = ‖W P_S‖_F² / |S|
    mean = float(part.square().sum() / part.shape[1]) ** 0.5 * sector.gain if linear else None
    return CriterionResult(
        classify_gains(largest, smallest),
        largest,
        smallest,
        float('nan') if mean is None else mean,
        'every input and every fault',
    )


def jacobian_criterion(
    function: Map, x: Tensor, supports: Mapping[str, Tensor]
) -> dict[str, CriterionResult]:
    """Apply the Jacobian criterion at the inputs x, for each support S.

    The map attenuates if σ_max(J P_S) < 1 at all inputs, and amplifies if the smallest singular
    value of J on S is above 1 at all inputs. σ_max is an estimate from below (0.1 % relative
    growth), so `attenuates` is no certificate. The smallest singular value is computed only where
    the mean gain is above 1 and the support has at most 2048 entries; otherwise it counts as 0.

    Args:
        function: Map from (sample, ...) to (sample, ...), in evaluation mode.
        x: Inputs, (sample, ...).
        supports: Mask of each support, of the shape of x without the sample axis.

    Returns:
        Result by name of the support, over all inputs.

    Reference:
        Altinses & Schwung 2026, https://arxiv.org/abs/2603.25103
    """
    results = {}
    for name, mask in supports.items():
        largest = float(largest_gain(function, x, mask, steps=60, tolerance=1e-3).sigma.max())
        mean = mean_gain(function, x, mask)
        smallest = 0.0
        # A mean gain of at most 1 leaves no room for a smallest gain above 1.
        if float(mean.min()) > 1 and int(expand_mask(mask, x.shape[1:]).sum()) <= 2048:
            smallest = float(smallest_gain(function, x, mask).min())
        results[name] = CriterionResult(
            classify_gains(largest, smallest),
            largest,
            smallest,
            float(mean.mean()),
            f'small faults at {len(x)} inputs, first order',
        )
    return results


def classify_gains(largest: float, smallest: float) -> Effect:
    """Classify a range of gains.

    Args:
        largest: Largest gain.
        smallest: Smallest gain.

    Returns:
        `attenuates` below 1, `amplifies` above 1, `depends` if the range contains 1.

    Example:
        >>> classify_gains(2.0, 0.5)
        'depends'
    """
    if largest < 1:
        return 'attenuates'
    return 'amplifies' if smallest > 1 else 'depends'
