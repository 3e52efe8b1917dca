"""Spectral norms from above: numbers that the true norm cannot exceed.

Dense: an estimate from below is raised a little and verified by a Cholesky factorization.
Convolution: the largest symbol norm on a frequency grid, raised by the factor that a trigonometric
polynomial can grow by between grid points; where the operator is small, its matrix as if dense.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.exact import require_finite
from lipfault.lipschitz.norms.krylov import lanczos, start_vector
from lipfault.lipschitz.norms.operators import (
    ConvolutionOperator,
    DenseOperator,
    Geometry,
    LinearOperator,
    TransposedOperator,
    convolution_geometry,
    linear_operator,
)

EXPLICIT_LIMIT = 2048
"""Up to this smaller side the matrix of a convolution is built and certified as dense."""

ENTRY_LIMIT = 2**24
"""Up to this many entries it is built at all: 128 MiB in float64."""

GRID_DENSITY = 16
"""Frequencies per axis and tap beyond the first: the bound is 0.5 % too large per axis."""


def certify_matrix(matrix: Tensor) -> float:
    """Spectral norm from above, at most 0.01 % too large.

    With an estimate s from below, s²(1 + δ) I − WᵀW is factorized by Cholesky in float64. That it
    succeeds proves it positive semidefinite up to rounding (Higham, Accuracy and Stability of
    Numerical Algorithms, theorem 10.3), which is added to the result. If it fails for small δ,
    eigenvalues are computed.

    Args:
        matrix: (rows, columns), any floating dtype, contiguous or not.

    Raises:
        LipfaultError: If an entry is NaN or Inf.

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
    wide = wide / largest
    gram = wide.T @ wide
    rounding = 4 * sum(wide.shape) * torch.finfo(gram.dtype).eps
    slack = rounding * float(gram.diagonal().sum())
    return largest * math.sqrt(_verified_eigenvalue(gram, _estimated_eigenvalue(wide)) + slack)


def _estimated_eigenvalue(matrix: Tensor) -> float:
    operator = DenseOperator(matrix)
    start = start_vector(operator.in_shape, matrix)
    return float(lanczos(operator.apply, operator.adjoint, start, 80, 1e-7).sigma) ** 2


def _verified_eigenvalue(gram: Tensor, candidate: float) -> float:
    """Largest eigenvalue from above by at most 0.02 %, rounding aside."""
    for excess in (2e-6, 2e-4):
        shifted = -gram
        shifted.diagonal().add_(candidate * (1 + excess))
        if int(torch.linalg.cholesky_ex(shifted).info) == 0:
            return candidate * (1 + excess)
    return float(torch.linalg.eigvalsh(gram)[-1]) * (1 + 1e-9)


def certify_layer(layer: nn.Module, size: Sequence[int] | None = None) -> float:
    """Spectral norm of a dense or convolutional layer from above, bias aside.

    Args:
        layer: `nn.Linear`, `nn.Conv1d..3d` or `nn.ConvTranspose1d..3d`.
        size: Spatial input size; without it the bound of a convolution holds for every size.

    Raises:
        LipfaultError: If the weight holds NaN or Inf, the layer is of another type, or the size is
            missing where padding repeats values.
    """
    if size is not None or isinstance(layer, nn.Linear):
        return certify_operator(linear_operator(layer, size))
    geometry = convolution_geometry(layer)
    weight: Tensor = layer.weight  # type: ignore[assignment]
    require_finite(weight)
    return certify_convolution(weight, geometry) * _padding_factor(geometry, None, weight.shape)


def certify_operator(operator: LinearOperator) -> float:
    """Spectral norm of an operator from above, see `certify_layer`."""
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
        geometry = replace(geometry, stride=(1,) * len(geometry.stride))
    bound = certify_convolution(inner.weight, geometry)
    return bound * _padding_factor(geometry, size, inner.weight.shape)


def certify_convolution(weight: Tensor, geometry: Geometry) -> float:
    """Norm from above of a convolution with zero padding, for every input size and padding.

    It also holds for circular padding that keeps the size, where the stride divides the size.
    A strided convolution is one of stride 1 on the phases of its input, so the bound is as tight
    as without stride. A trigonometric polynomial of degree τ whose largest value is 1 is still
    cos(τπ/N) at the nearest of N grid points (M. Riesz 1914); the grid maximum is divided by that,
    once per axis.

    Args:
        weight: (outputs, inputs / groups, *kernel); of a transposed convolution its own weight.
        geometry: Stride, dilation and groups; padding plays no part.
    """
    kernel = _polyphase(weight.detach().double(), geometry)
    taps = kernel.shape[3:]
    grid = [max(1, GRID_DENSITY * (k - 1)) for k in taps]
    factor = math.prod(
        1 / math.cos((k - 1) * math.pi / (2 * n)) for k, n in zip(taps, grid, strict=True)
    )
    axes = tuple(range(3, kernel.ndim))
    symbols = torch.fft.rfftn(kernel, s=grid, dim=axes).flatten(3).permute(0, 3, 1, 2)
    return factor * _largest_norm(symbols.flatten(0, 1))


def _polyphase(weight: Tensor, geometry: Geometry) -> Tensor:
    """The kernel over the phases of the input: (group, outputs, inputs x phases, *taps)."""
    axes = len(geometry.stride)
    kernel = weight.reshape(geometry.groups, -1, *weight.shape[1:])
    for axis in range(axes):
        stride, dilation = geometry.stride[axis], geometry.dilation[axis]
        if stride == 1:
            continue
        kernel = _dilated(kernel, axis + 3, dilation)
        missing = -kernel.shape[axis + 3] % stride
        pads = [0, 0] * (axes - axis - 1) + [0, missing]
        kernel = nn.functional.pad(kernel, pads)
        shape = kernel.shape
        kernel = kernel.reshape(*shape[: axis + 3], -1, stride, *shape[axis + 4 :])
        kernel = kernel.movedim(axis + 4, 3).flatten(2, 3)
    return kernel


def _dilated(kernel: Tensor, axis: int, dilation: int) -> Tensor:
    shape = list(kernel.shape)
    shape[axis] = dilation * (shape[axis] - 1) + 1
    position = torch.arange(kernel.shape[axis], device=kernel.device) * dilation
    return kernel.new_zeros(shape).index_copy_(axis, position, kernel)


def _largest_norm(matrices: Tensor) -> float:
    """Largest spectral norm of a batch of complex matrices (batch, rows, columns), from above.

    Batched power iterations find a candidate, a batched Cholesky factorization verifies it, and
    only where that fails eigenvalues are computed.
    """
    tall = matrices.shape[1] >= matrices.shape[2]
    gram = matrices.mH @ matrices if tall else matrices @ matrices.mH
    top = _power(gram) * (1 + 1e-5)
    eye = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    failed = torch.linalg.cholesky_ex(top * eye - gram).info != 0
    if failed.any():
        top = max(top, float(torch.linalg.eigvalsh(gram[failed])[:, -1].max()))
    slack = 8 * sum(matrices.shape[1:]) * torch.finfo(torch.float64).eps
    return math.sqrt(top + slack * float(gram.diagonal(dim1=1, dim2=2).real.sum(dim=1).max()))


def _power(gram: Tensor, steps: int = 30) -> float:
    """Largest eigenvalue over a batch of Hermitian matrices, estimated from below."""
    column = start_vector((gram.shape[1], 1), gram.real).to(gram.dtype).expand(len(gram), -1, 1)
    for _ in range(steps):
        column = gram @ column
        column = column / torch.linalg.vector_norm(column, dim=1, keepdim=True).clamp_min(1e-300)
    return float(torch.linalg.vector_norm(gram @ column, dim=(1, 2)).max())


def _padding_factor(geometry: Geometry, size: Sequence[int] | None, shape: torch.Size) -> float:
    """By how much padding that repeats values can exceed the bound for zero padding.

    Circular: the square root of how often an output repeats. Replicate and reflect: of how often
    an input is repeated.
    """
    if geometry.mode == 'zeros':
        return 1.0
    reach = [d * (k - 1) for d, k in zip(geometry.dilation, shape[2:], strict=True)]
    grown = [sum(p) - r for p, r in zip(geometry.padding, reach, strict=True)]
    if geometry.mode == 'circular' and all(g <= 0 for g in grown):
        return 1.0
    if size is None:
        raise LipfaultError(
            f'padding_mode {geometry.mode!r} repeats values: a bound needs the input size'
        )
    if geometry.mode == 'circular':
        counts = [math.ceil((n + g) / n) for n, g in zip(size, grown, strict=True)]
    else:
        counts = [
            _most_copies(n, p, geometry.mode) for n, p in zip(size, geometry.padding, strict=True)
        ]
    return math.sqrt(math.prod(max(1, c) for c in counts))


def _most_copies(extent: int, pads: tuple[int, int], mode: str) -> int:
    position = torch.arange(extent, dtype=torch.float32)[None, None]
    return int(torch.bincount(nn.functional.pad(position, pads, mode=mode)[0, 0].long()).max())
