"""Gains of a map around given inputs, from products with its Jacobian, never the Jacobian itself.

Everything is batched: each sample has its own Jacobian J, and the map must treat the samples apart
(no batch statistics). Results are first-order statements; for piecewise linear maps they are exact
while no activation flips (THEORY 2).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.krylov import SingularTriplet, lanczos, normalize

Map = Callable[[Tensor], Tensor]


class Linearization(NamedTuple):
    """A map around inputs x (sample, ...): output there, and products with J and its transpose.

    `push` takes (sample, ...) directions of the input, `pull` directions of the output; both
    project the input side on the support.
    """

    output: Tensor
    jvp: Map
    vjp: Map


def linearize(function: Map, x: Tensor, support: Tensor | None = None) -> Linearization:
    """Linearize a batched map around inputs.

    Products with J come from differentiating the transposed product once more (the double
    backward trick), so that every operation with a gradient is covered.

    Args:
        function: Map from (sample, ...) to (sample, ...), in evaluation mode.
        x: (sample, ...) inputs, float32 or float64: the precision of all that follows, as far as
            the map's own weights have it.
        support: Mask of zeros and ones, broadcastable to x: faults are zero outside.

    Raises:
        LipfaultError: If there is no sample, the output has another number of samples, or the
            support does not fit.
    """
    if x.ndim < 2 or len(x) == 0:
        raise LipfaultError(f'linearize needs (sample, ...) inputs, got shape {tuple(x.shape)}')
    mask = None if support is None else expand_mask(support, x.shape).to(x)
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # the fused ones have one derivative
        point = x.detach().requires_grad_()
        output = function(point)
        if output.ndim == 0 or len(output) != len(x):
            raise LipfaultError(
                f'the map must keep the {len(x)} samples apart, got output {tuple(output.shape)}'
            )
        dummy = torch.zeros_like(output, requires_grad=True)
        (pulled,) = torch.autograd.grad(output, point, dummy, create_graph=True)

    def jvp(direction: Tensor) -> Tensor:
        masked = direction if mask is None else direction * mask
        (pushed,) = torch.autograd.grad(pulled, dummy, masked, retain_graph=True)
        return pushed

    def vjp(direction: Tensor) -> Tensor:
        (found,) = torch.autograd.grad(output, point, direction, retain_graph=True)
        return found if mask is None else found * mask

    return Linearization(output.detach(), jvp, vjp)


def largest_gain(
    function: Map,
    x: Tensor,
    support: Tensor | None = None,
    steps: int = 20,
    tolerance: float = 3e-3,
    start: Tensor | None = None,
) -> SingularTriplet:
    """σ_max(J P_S) of every sample with its directions, estimated from below.

    Args:
        function: Map from (sample, ...) to (sample, ...).
        x: (sample, ...) inputs.
        support: Mask of the support S, broadcastable to x; everything if not given.
        steps: Most Lanczos steps, each two products.
        tolerance: Relative growth over the last steps to stop at.
        start: (sample, ...) direction to start from; the `right` of an earlier call is warm.

    Returns:
        sigma (sample,), left like the output, right like x.

    Example:
        >>> triplet = largest_gain(lambda v: v * torch.tensor([1.0, -3.0]), torch.zeros(2, 2))
        >>> triplet.sigma
        tensor([3., 3.])
    """
    local = linearize(function, x, support)
    first = random_directions(x, 1)[0] if start is None else start
    if support is not None:
        first = first * support.to(x)
    return lanczos(local.jvp, local.vjp, first, steps, tolerance)


def smallest_gain(function: Map, x: Tensor, support: Tensor, limit: int = 2048) -> Tensor:
    """Smallest singular value of J restricted to a support, exact to rounding: (sample,).

    Zero if the support has more entries than the output. Built from one product per entry of the
    support, since iterations for the smallest singular value cannot be trusted.

    Args:
        function: Map from (sample, ...) to (sample, ...).
        x: (sample, ...) inputs.
        support: Mask of the support, of the shape of x without the samples.
        limit: Largest support.

    Raises:
        LipfaultError: If the support is empty, larger than the limit, or of another shape.
    """
    places = expand_mask(support, x.shape[1:]).flatten().nonzero().squeeze(1)
    if not 0 < len(places) <= limit:
        raise LipfaultError(
            f'smallest_gain needs a support of 1 to {limit} entries, got {len(places)}'
        )
    local = linearize(function, x)
    columns = []
    for place in places.tolist():
        unit = torch.zeros_like(x).flatten(1)
        unit[:, place] = 1
        columns.append(local.jvp(unit.reshape(x.shape)).flatten(1))
    matrix = torch.stack(columns, dim=2)
    if matrix.shape[1] < matrix.shape[2]:
        return matrix.new_zeros(len(x))
    smallest: Tensor = torch.linalg.svdvals(matrix)[:, -1]
    return smallest


def squared_frobenius(
    function: Map, x: Tensor, support: Tensor | None = None, probes: int = 16, seed: int = 0
) -> Tensor:
    """‖J P_S‖_F² of every sample: an unbiased estimate (probe, sample), one row per probe.

    Hutchinson 1990: E ‖Jᵀ ε‖² = ‖J‖_F² for independent signs ε on the output. The mean over the
    rows is the estimate, their spread over √probes its standard error.

    Args:
        function: Map from (sample, ...) to (sample, ...).
        x: (sample, ...) inputs.
        support: Mask of the support, broadcastable to x.
        probes: Number of independent estimates.
        seed: Seed of the signs.
    """
    local = linearize(function, x, support)
    rows = []
    for probe in random_directions(local.output, probes, seed):
        signs = torch.where(probe < 0, -1.0, 1.0).to(probe)
        rows.append(local.vjp(signs).flatten(1).square().sum(dim=1))
    return torch.stack(rows)


def mean_gain(
    function: Map, x: Tensor, support: Tensor | None = None, probes: int = 16, seed: int = 0
) -> Tensor:
    """√(‖J P_S‖_F² / |S|) of every sample (sample,): the root mean square gain of isotropic faults.

    An estimate, see `squared_frobenius`; NaN for a sample whose support is empty.
    """
    squared = squared_frobenius(function, x, support, probes, seed).mean(dim=0)
    if support is None:
        return (squared / x[0].numel()).sqrt()
    count = expand_mask(support, x.shape).flatten(1).sum(dim=1)
    return (squared / count.to(squared)).sqrt()


def directional_gain(function: Map, x: Tensor, faults: Tensor) -> Tensor:
    """‖J δ‖ / ‖δ‖ along given faults (sample, ...), first order: (sample,); NaN where δ is zero."""
    unit, size = normalize(faults)
    pushed = linearize(function, x).jvp(unit)
    _, gain = normalize(pushed)
    return torch.where(size > 0, gain, torch.nan)


def expand_mask(support: Tensor, shape: torch.Size) -> Tensor:
    """The mask of a support, broadcast to a shape.

    Raises:
        LipfaultError: If it cannot be.
    """
    try:
        return support.expand(shape)
    except RuntimeError as error:
        raise LipfaultError(
            f'a support of shape {tuple(support.shape)} does not broadcast to {tuple(shape)}'
        ) from error


def random_directions(like: Tensor, count: int, seed: int = 0) -> Tensor:
    """Normal directions (count, *like.shape), a function of the seed only."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((count, *like.shape), generator=generator, device='cpu').to(like)
