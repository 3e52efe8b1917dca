"""Does a map attenuate or amplify faults on a support? Verdicts with the numbers behind them.

The Lipschitz criterion holds for every input and every fault; the Jacobian criterion for small
faults at the given inputs (THEORY 2).
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
from lipfault.lipschitz.norms.exact import require_finite
from lipfault.lipschitz.propagation.sectors import Sector

Effect = Literal['attenuates', 'amplifies', 'depends']


@dataclass(frozen=True)
class CriterionResult:
    """What a map does to faults on one support.

    Args:
        word: `attenuates` if every gain is below 1, `amplifies` if every gain is above 1,
            `depends` (on the direction or the input) otherwise.
        largest: Largest gain; from above for the Lipschitz criterion, an estimate from below for
            the Jacobian criterion.
        smallest: Smallest gain, 0 where nothing is known.
        mean: Root mean square gain of isotropic faults; NaN for the Lipschitz criterion of a
            nonlinear map.
        scope: Where the result holds, in words.
    """

    effect: Effect
    largest: float
    smallest: float
    mean: float
    scope: str


def lipschitz_criterion(
    layer: nn.Linear, sector: Sector, supports: Mapping[str, slice]
) -> dict[str, CriterionResult]:
    """CriterionResult per support for σ(W x + b), at every x (THEORY 2).

    Largest gain β‖W P_S‖₂, smallest α σ_min(W P_S), with slopes of σ in [α, β]. Exact for the
    linear part, a bound for the whole.

    Args:
        layer: The dense layer.
        sector: Slopes of the activation, `Sector(1, 1)` for none.
        supports: Columns of each modality.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> _ = layer.weight.data.copy_(torch.diag(torch.tensor([0.5, 2.0])))
        >>> parts = {'camera': slice(0, 1), 'imu': slice(1, 2)}
        >>> {n: v.effect for n, v in lipschitz_criterion(layer, Sector(1, 1), parts).items()}
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
        values = torch.linalg.svdvals(part)
        tall = part.shape[0] >= part.shape[1]
        largest = sector.gain * float(values[0])
        smallest = max(0.0, sector.low) * float(values[-1]) if tall else 0.0
        linear = sector.low == sector.high
        mean = float(part.square().sum() / part.shape[1]) ** 0.5 * sector.gain if linear else None
        results[name] = CriterionResult(
            classify_gains(largest, smallest),
            largest,
            smallest,
            float('nan') if mean is None else mean,
            'every input and every fault',
        )
    return results


def jacobian_criterion(
    function: Map, x: Tensor, supports: Mapping[str, Tensor]
) -> dict[str, CriterionResult]:
    """CriterionResult per support for small faults at the inputs x (THEORY 2).

    It attenuates if σ_max(J P_S) < 1 at all inputs, amplifies if the smallest singular value of J
    on S is above 1 at all inputs. The smallest is only computed where the mean gain is above 1
    and the support has at most 2048 entries; otherwise it counts as 0.

    Args:
        function: Map from (sample, ...) to (sample, ...), in evaluation mode.
        x: (sample, ...) inputs.
        supports: Mask of each support, of the shape of x without the samples.
    """
    results = {}
    for name, mask in supports.items():
        largest = float(largest_gain(function, x, mask, steps=60, tolerance=1e-3).sigma.max())
        mean = mean_gain(function, x, mask)
        smallest = 0.0
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
    """The word for a range of gains.

    Example:
        >>> classify_gains(2.0, 0.5)
        'depends'
    """
    if largest < 1:
        return 'attenuates'
    return 'amplifies' if smallest > 1 else 'depends'
