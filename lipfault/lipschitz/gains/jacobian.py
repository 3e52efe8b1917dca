"""Local gains of a map around given inputs, from Jacobian-vector products (matrix-free).

Everything is batched: each sample has its own Jacobian J, and the map must treat the samples
separately (no batch statistics). Results are first-order statements; for piecewise linear maps
they are exact while no activation changes its piece (docs/theory.md, section 2).
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
    """Linearization of a map at inputs x: output, and products with J P_S and its transpose.

    Args:
        output: T(x), (sample, ...), detached.
        jvp: Jacobian-vector product, directions of the input to directions of the output.
        vjp: Vector-Jacobian product, directions of the output to directions of the input, zero
            outside of the support.
    """

    output: Tensor
    jvp: Map
    vjp: Map


def linearize(function: Map, x: Tensor, support: Tensor | None = None) -> Linearization:
    """Linearize a batched map around inputs.

    Jacobian-vector products come from differentiating the vector-Jacobian product once more (the
    double-backward trick), which needs no forward-mode rule of any operation.

    Args:
        function: Map from (sample, ...) to (sample, ...), in evaluation mode.
        x: Inputs, (sample, ...), float32 or float64; products have this precision if the map's
            weights have it.
        support: Mask of zeros and ones, broadcastable to x: faults are zero outside.

    Returns:
        Output and products; each product is a backward pass through the retained graph.

    Raises:
        LipfaultError: If there is no sample, the output has another number of samples, or the
            support does not broadcast to x.

    Reference:
        Townsend 2017, https://j-towns.github.io/2017/06/12/A-new-trick.html
    """
    if x.ndim < 2 or len(x) == 0:
        raise LipfaultError(f'linearize needs (sample, ...) inputs, got shape {tuple(x.shape)}')
    mask = None if support is None else expand_mask(support, x.shape).to(x)
    # The fused attention kernels have no second derivative.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        point = x.detach().requires_grad_()
        output = function(point)
        if output.ndim == 0 or len(output) != len(x):
            raise LipfaultError(
                f'the map must keep the {len(x)} samples apart, got output {tuple(output.shape)}'
            )
        # Jᵀ dummy is linear in dummy, so its value does not matter; its gradient is a JVP.
        dummy = torch.zeros_like(output, requires_grad=True)
        (transposed,) = torch.autograd.grad(output, point, dummy, create_graph=True)

    def jvp(direction: Tensor) -> Tensor:
        masked = direction if mask is None else direction * mask
        (product,) = torch.autograd.grad(transposed, dummy, masked, retain_graph=True)
        return product

    def vjp(direction: Tensor) -> Tensor:
        (product,) = torch.autograd.grad(output, point, direction, retain_graph=True)
        return product if mask is None else product * mask

    return Linearization(output.detach(), jvp, vjp)


def largest_gain(
    function: Map,
    x: Tensor,
    support: Tensor | None = None,
    steps: int = 20,
    tolerance: float = 3e-3,
    start: Tensor | None = None,
) -> SingularTriplet:
    """Estimate σ_max(J P_S) of every sample from below, with its singular vectors.

    σ_max of J is the local Lipschitz constant at x; its maximum over inputs estimates the global
    one from below.

    Args:
        function: Map from (sample, ...) to (sample, ...), in evaluation mode.
        x: Inputs, (sample, ...).
        support: Mask of the support S, broadcastable to x; the whole input if not given.
        steps: Maximum number of Lanczos steps, two products each.
        tolerance: Relative growth over the last steps at which to stop.
        start: Start directions, (sample, ...); `right` of an earlier call gives a warm start.

    Returns:
        sigma (sample,), output units per input unit; left like the output, right like x.

    Raises:
        LipfaultError: If there is no sample, the output has another number of samples, or the
            support does not broadcast to x.

    Reference:
        Singular values of networks by autodiff products: Virmaux & Scaman 2018,
        https://arxiv.org/abs/1805.10965; Golub & Kahan 1965, https://doi.org/10.1137/0702016

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
    """Compute the smallest singular value of J restricted to a support, exact to rounding.

    One product per entry of the support builds the columns of J explicitly: iterations for the
    smallest singular value converge slowly and from above, which would be the wrong side.

    Args:
        function: Map from (sample, ...) to (sample, ...), in evaluation mode.
        x: Inputs, (sample, ...).
        support: Mask of the support, of the shape of x without the sample axis.
        limit: Maximum number of entries of the support.

    Returns:
        Smallest gain of every sample, (sample,); 0 if the support has more entries than the output.

    Raises:
        LipfaultError: If the support is empty, larger than the limit, or of another shape.
    """
    entries = expand_mask(support, x.shape[1:]).flatten().nonzero().squeeze(1)
    if not 0 < len(entries) <= limit:
        raise LipfaultError(
            f'smallest_gain needs a support of 1 to {limit} entries, got {len(entries)}'
        )
    local = linearize(function, x)
    columns = []
    for entry in entries.tolist():
        unit = torch.zeros_like(x).flatten(1)
        unit[:, entry] = 1
        columns.append(local.jvp(unit.reshape(x.shape)).flatten(1))
    # (sample, output, entry)
    matrix = torch.stack(columns, dim=2)
    if matrix.shape[1] < matrix.shape[2]:
        return matrix.new_zeros(len(x))
    smallest: Tensor = torch.linalg.svdvals(matrix)[:, -1]
    return smallest


def squared_frobenius(
    function: Map, x: Tensor, support: Tensor | None = None, probes: int = 16, seed: int = 0
) -> Tensor:
    """Estimate ‖J P_S‖_F² of every sample without bias, by Hutchinson's trace estimator.

    E ‖Jᵀ ε‖² = ‖J‖_F² for independent signs ε on the output. The mean over the probes is the
    estimate, their standard deviation over √probes its standard error.

    Args:
        function: Map from (sample, ...) to (sample, ...), in evaluation mode.
        x: Inputs, (sample, ...).
        support: Mask of the support, broadcastable to x; the whole input if not given.
        probes: Number of independent estimates, one vector-Jacobian product each.
        seed: Seed of the signs.

    Returns:
        Independent estimates, (probe, sample).

    Reference:
        Hutchinson 1990, https://doi.org/10.1080/03610919008812866;
        Hoffman et al. 2019, https://arxiv.org/abs/1908.02729
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
    """Estimate the root mean square gain √(‖J P_S‖_F² / |S|) of isotropic faults.

    The square is estimated without bias, see `squared_frobenius`; neither an upper nor a lower
    bound.

    Args:
        function: Map from (sample, ...) to (sample, ...), in evaluation mode.
        x: Inputs, (sample, ...).
        support: Mask of the support S, broadcastable to x; the whole input if not given.
        probes: Number of independent estimates to average.
        seed: Seed of the signs.

    Returns:
        Gain of every sample, (sample,); NaN where the support is empty.

    Reference:
        Jacobian norm as a measure of sensitivity: Novak et al. 2018,
        https://arxiv.org/abs/1802.08760
    """
    squared = squared_frobenius(function, x, support, probes, seed).mean(dim=0)
    if support is None:
        return (squared / x[0].numel()).sqrt()
    count = expand_mask(support, x.shape).flatten(1).sum(dim=1)
    return (squared / count.to(squared)).sqrt()


def directional_gain(function: Map, x: Tensor, faults: Tensor) -> Tensor:
    """Compute ‖J δ‖ / ‖δ‖ along given faults, exactly to first order.

    Args:
        function: Map from (sample, ...) to (sample, ...), in evaluation mode.
        x: Inputs, (sample, ...).
        faults: Directions δ, of the shape of x.

    Returns:
        Gain of every sample, (sample,), a lower bound of σ_max(J); NaN where δ is zero.
    """
    unit, size = normalize(faults)
    _, gain = normalize(linearize(function, x).jvp(unit))
    return torch.where(size > 0, gain, torch.nan)


def expand_mask(support: Tensor, shape: torch.Size) -> Tensor:
    """Broadcast the mask of a support to a shape.

    Args:
        support: Mask.
        shape: Shape to broadcast to.

    Returns:
        Mask of that shape, a view.

    Raises:
        LipfaultError: If the mask does not broadcast to the shape.
    """
    try:
        return support.expand(shape)
    except RuntimeError as error:
        raise LipfaultError(
            f'a support of shape {tuple(support.shape)} does not broadcast to {tuple(shape)}'
        ) from error


def random_directions(like: Tensor, count: int, seed: int = 0) -> Tensor:
    """Draw normally distributed directions, a function of the seed only.

    Args:
        like: Tensor whose shape, dtype and device the directions take.
        count: Number of directions.
        seed: Seed of the draw.

    Returns:
        Directions, (count, *like.shape).
    """
    # Drawn on the CPU: generators of other devices give other numbers.
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((count, *like.shape), generator=generator, device='cpu').to(like)
