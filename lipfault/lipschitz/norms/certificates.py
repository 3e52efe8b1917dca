"""Certified upper bounds of spectral norms.

- Dense: an estimate from below is raised slightly and verified by a Cholesky factorization.
- Convolution: the largest norm of the symbol (the Fourier transform of the kernel) on a frequency
  grid, times the factor by which a trigonometric polynomial can grow between grid points.
- Small convolutions: the explicit matrix of the operator, certified as a dense one.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.krylov import lanczos, start_vector
from lipfault.lipschitz.norms.operators import (
    ConvolutionOperator,
    DenseOperator,
    Geometry,
    LinearOperator,
    TransposedOperator,
    convolution_geometry,
    linear_operator,
    require_finite,
    require_own_norm,
)

EXPLICIT_LIMIT = 2048
"""Up to this smaller side the explicit matrix of a convolution is built and certified as dense."""

ENTRY_LIMIT = 2**24
"""Maximum number of entries of an explicit matrix: 128 MiB in float64."""

GRID_DENSITY = 16
"""Frequencies per axis and tap beyond the first.

The correction factor per axis is then 1 / cos(π / 32) = 1.005: at most 0.5 % too large.
"""


def certify_matrix(matrix: Tensor) -> float:
    """Certify the spectral norm of a matrix from above, at most 0.01 % too large.

    With an estimate s from below, s²(1 + δ) I − WᵀW is factorized by Cholesky in float64. A
    completed factorization proves the matrix positive semidefinite up to a rounding error, which
    is added to the result. If it fails for every small δ, eigenvalues are computed instead.

    Args:
        matrix: (rows, columns), any floating dtype, contiguous or not.

    Returns:
        Upper bound of σ_max, output units per input unit.

    Raises:
        LipfaultError: If an entry is NaN or Inf.

    Reference:
        Rump 2006, Verification of positive definiteness,
        https://doi.org/10.1007/s10543-006-0056-1;
        Higham 2002, theorem 10.3, https://doi.org/10.1137/1.9780898718027

    Example:
        >>> round(certify_matrix(torch.diag(torch.tensor([3.0, -4.0]))), 2)
        4.0
    """
    require_finite(matrix)
    wide = matrix.detach().double()
    if wide.shape[0] < wide.shape[1]:
        wide = wide.T
    largest = float(wide.abs().max()) if wide.numel() else 0.0
    if largest == 0:
        return 0.0
    # Entries of at most 1: the Gram matrix can neither overflow nor underflow.
    wide = wide / largest
    gram = wide.T @ wide
    # Rounding of the product and of the factorization, each γ_n ≈ n ε times the trace (Higham).
    rounding = 4 * sum(wide.shape) * torch.finfo(gram.dtype).eps
    slack = rounding * float(gram.diagonal().sum())
    return largest * math.sqrt(_verified_eigenvalue(gram, _estimated_eigenvalue(wide)) + slack)


def _estimated_eigenvalue(matrix: Tensor) -> float:
    """Estimate the largest eigenvalue of the Gram matrix from below."""
    operator = DenseOperator(matrix)
    start = start_vector(operator.in_shape, matrix)
    return float(lanczos(operator.apply, operator.adjoint, start, 80, 1e-7).sigma) ** 2


def _verified_eigenvalue(gram: Tensor, candidate: float) -> float:
    """Return an upper bound of the largest eigenvalue, at most 0.02 % too large."""
    for excess in (2e-6, 2e-4):
        shifted = -gram
        shifted.diagonal().add_(candidate * (1 + excess))
        if int(torch.linalg.cholesky_ex(shifted).info) == 0:
            return candidate * (1 + excess)
    return _largest_eigenvalue(gram)


def _largest_eigenvalue(gram: Tensor) -> float:
    """Bound the largest eigenvalue over positive semidefinite matrices (..., n, n) from above."""
    try:
        return float(torch.linalg.eigvalsh(gram)[..., -1].max()) * (1 + 1e-9)
    except RuntimeError:
        # Where the eigenvalues do not converge: the largest sum of magnitudes of a row.
        return float(gram.abs().sum(dim=-1).max())


def certify_layer(layer: nn.Module, size: Sequence[int] | None = None) -> float:
    """Certify the spectral norm of a dense or convolutional layer from above.

    Args:
        layer: `nn.Linear`, `nn.Conv1d..3d` or `nn.ConvTranspose1d..3d`.
        size: Spatial input size; without it the bound of a convolution holds for every size.

    Returns:
        Upper bound of σ_max of the linear part, output units per input unit.

    Raises:
        LipfaultError: If the weight holds NaN or Inf, the layer is of another type, or the size is
            missing where padding repeats values.

    Reference:
        Gouk et al. 2021, https://arxiv.org/abs/1804.04368
    """
    require_own_norm(layer)
    if size is not None or isinstance(layer, nn.Linear):
        return certify_operator(linear_operator(layer, size))
    geometry = convolution_geometry(layer)
    weight: Tensor = layer.weight  # type: ignore[assignment]
    require_finite(weight)
    factor = _padding_factor(geometry, None, weight.shape)
    if geometry.mode == 'circular':
        geometry = _unstrided(geometry)
    return certify_convolution(weight, geometry) * factor


def certify_operator(operator: LinearOperator) -> float:
    """Certify the spectral norm of an operator from above.

    Args:
        operator: Dense, convolution or transposed convolution.

    Returns:
        Upper bound of σ_max, output units per input unit.

    Raises:
        LipfaultError: If the weight holds NaN or Inf, or the operator is of another type.
    """
    require_finite(operator.weight)
    if isinstance(operator, DenseOperator):
        return certify_matrix(operator.weight)
    shapes = [math.prod(operator.in_shape), math.prod(operator.out_shape)]
    if min(shapes) <= EXPLICIT_LIMIT and math.prod(shapes) <= ENTRY_LIMIT:
        return certify_matrix(operator.double().matrix())
    inner = operator.inner if isinstance(operator, TransposedOperator) else operator
    if not isinstance(inner, ConvolutionOperator):
        raise LipfaultError(f'{type(operator).__name__} has no certificate')
    geometry, size = inner.geometry, inner.in_shape[1:]
    uneven = any(n % s for n, s in zip(size, geometry.stride, strict=True))
    if geometry.mode == 'circular' and uneven:
        geometry = _unstrided(geometry)
    bound = certify_convolution(inner.weight, geometry)
    return bound * _padding_factor(geometry, size, inner.weight.shape)


def _unstrided(geometry: Geometry) -> Geometry:
    """Return the geometry with stride 1, whose norm is a bound for circular padding of any size.

    Where the stride does not divide the size, phases of unequal length do not wrap around. The
    convolution of stride 1 has all outputs of the strided one and more.
    """
    return replace(geometry, stride=(1,) * len(geometry.stride))


def certify_convolution(weight: Tensor, geometry: Geometry) -> float:
    """Certify the norm of a zero-padded convolution from above, for every input size and padding.

    The norm is at most the supremum of the symbol norm ‖K̂(ω)‖₂ over all frequencies ω. The symbol
    of k taps is a trigonometric polynomial of degree τ = (k − 1)/2. If its maximum is 1, it still
    reaches cos(τπ/N) on a grid of N frequencies (M. Riesz 1914), so the maximum over the grid is
    divided by that, once per axis. Strides are removed by a polyphase decomposition of the input,
    which loses nothing. The bound also holds for circular padding that keeps the size, where the
    stride divides the size.

    Args:
        weight: (outputs, inputs / groups, *kernel); of a transposed convolution its own weight.
        geometry: Stride, dilation and groups; padding plays no part.

    Returns:
        Upper bound of σ_max, output units per input unit.

    Reference:
        Symbol norms of circular convolutions: Sedghi et al. 2019, https://arxiv.org/abs/1805.10408;
        zero padding bounded by all frequencies: Araujo et al. 2021,
        https://arxiv.org/abs/2006.08391, Delattre et al. 2024, https://arxiv.org/abs/2402.00240;
        bound between grid points: Pfister & Bresler 2018, https://arxiv.org/abs/1802.09588
    """
    kernel = _polyphase(weight.detach().double(), geometry)
    taps = kernel.shape[3:]
    grid = [max(1, GRID_DENSITY * (k - 1)) for k in taps]
    # τπ/N with τ = (k − 1)/2
    factor = math.prod(
        1 / math.cos((k - 1) * math.pi / (2 * n)) for k, n in zip(taps, grid, strict=True)
    )
    axes = tuple(range(3, kernel.ndim))
    # (group, outputs, inputs, *grid) to (group x frequency, outputs, inputs); the weight is real,
    # so half of the frequencies of the last axis are enough.
    symbols = torch.fft.rfftn(kernel, s=grid, dim=axes).flatten(3).permute(0, 3, 1, 2)
    return factor * _largest_norm(symbols.flatten(0, 1))


def _polyphase(weight: Tensor, geometry: Geometry) -> Tensor:
    """Return the polyphase kernel (group, outputs, inputs x phases, *taps), of stride 1."""
    axes = len(geometry.stride)
    kernel = weight.reshape(geometry.groups, -1, *weight.shape[1:])
    for axis in range(axes):
        stride, dilation = geometry.stride[axis], geometry.dilation[axis]
        if stride == 1:
            continue
        kernel = _dilated(kernel, axis + 3, dilation)
        # Taps to a multiple of the stride, then (..., taps / stride, stride, ...): the last of
        # the two is the phase, which becomes part of the input channels.
        missing = -kernel.shape[axis + 3] % stride
        pads = [0, 0] * (axes - axis - 1) + [0, missing]
        kernel = nn.functional.pad(kernel, pads)
        shape = kernel.shape
        kernel = kernel.reshape(*shape[: axis + 3], -1, stride, *shape[axis + 4 :])
        kernel = kernel.movedim(axis + 4, 3).flatten(2, 3)
    return kernel


def _dilated(kernel: Tensor, axis: int, dilation: int) -> Tensor:
    """Insert dilation − 1 zeros between the taps of one axis."""
    shape = list(kernel.shape)
    shape[axis] = dilation * (shape[axis] - 1) + 1
    position = torch.arange(kernel.shape[axis], device=kernel.device) * dilation
    return kernel.new_zeros(shape).index_copy_(axis, position, kernel)


def _largest_norm(matrices: Tensor) -> float:
    """Certify the largest spectral norm of complex matrices (batch, rows, columns) from above.

    Batched power iterations give a candidate and a batched Cholesky factorization verifies it;
    eigenvalues are computed only where that fails. Delattre et al. 2023
    (https://arxiv.org/abs/2305.16173) bound the same norms by Gram iteration.
    """
    tall = matrices.shape[1] >= matrices.shape[2]
    gram = matrices.mH @ matrices if tall else matrices @ matrices.mH
    top = _power(gram) * (1 + 1e-5)
    eye = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    failed = torch.linalg.cholesky_ex(top * eye - gram).info != 0
    if failed.any():
        top = max(top, _largest_eigenvalue(gram[failed]))
    slack = 8 * sum(matrices.shape[1:]) * torch.finfo(torch.float64).eps
    return math.sqrt(top + slack * float(gram.diagonal(dim1=1, dim2=2).real.sum(dim=1).max()))


def _power(gram: Tensor, steps: int = 30) -> float:
    """Estimate the largest eigenvalue over a batch of Hermitian matrices from below."""
    column = start_vector((gram.shape[1], 1), gram.real).to(gram.dtype).expand(len(gram), -1, 1)
    for _ in range(steps):
        column = gram @ column
        column = column / torch.linalg.vector_norm(column, dim=1, keepdim=True).clamp_min(1e-300)
    return float(torch.linalg.vector_norm(gram @ column, dim=(1, 2)).max())


def _padding_factor(geometry: Geometry, size: Sequence[int] | None, shape: torch.Size) -> float:
    """Return the factor by which padding that repeats values can exceed the zero-padded bound.

    Circular: the square root of how often an output repeats. Replicate and reflect: of how often
    an input is repeated.
    """
    if geometry.mode == 'zeros':
        return 1.0
    # By how many samples the output of a convolution of stride 1 exceeds the input, per axis.
    extent = [d * (k - 1) for d, k in zip(geometry.dilation, shape[2:], strict=True)]
    growth = [sum(p) - e for p, e in zip(geometry.padding, extent, strict=True)]
    if geometry.mode == 'circular' and all(g <= 0 for g in growth):
        return 1.0
    if size is None:
        raise LipfaultError(
            f'padding_mode {geometry.mode!r} repeats values: a bound needs the input size'
        )
    if geometry.mode == 'circular':
        counts = [math.ceil((n + g) / n) for n, g in zip(size, growth, strict=True)]
    else:
        counts = [
            _most_copies(n, p, geometry.mode) for n, p in zip(size, geometry.padding, strict=True)
        ]
    return math.sqrt(math.prod(max(1, c) for c in counts))


def _most_copies(extent: int, pads: tuple[int, int], mode: str) -> int:
    """Return how often the most repeated position of an axis stands in the padded axis."""
    position = torch.arange(extent, dtype=torch.float32)[None, None]
    return int(torch.bincount(nn.functional.pad(position, pads, mode=mode)[0, 0].long()).max())
