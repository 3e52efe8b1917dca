"""Evidence of a fault in each channel and chunk of a window, in closed form."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.models.relations.window_gaussian import Factor, WindowGaussian

_LEAST = 1e-8
"""Least precision that is divided by, far below that of any sensor in standardized units."""


@dataclass(frozen=True)
class Evidence:
    """Tests of every channel and chunk given the rest of the window; C channels, K chunks.

    Args:
        ratio: (batch, C, K), mean square of the residual over its expectation; above 1 the fault
            variance is too small, below 1 too large (the sign of the evidence's gradient).
        score: (batch, C, K), mean of the normalized residual over the chunk.
        offset: (batch, C, K), offset of each chunk that the rest of the window contradicts least.
        precision: (batch, C, K), inverse variance of the offset.
        chi_square: (batch, C), statistic of the hypothesis that a channel has no offset, divided
            by its degrees of freedom.
    """

    ratio: Tensor
    score: Tensor
    offset: Tensor
    precision: Tensor
    chi_square: Tensor


def evidence(gaussian: WindowGaussian, factor: Factor, residual: Tensor) -> Evidence:
    """Test each channel and chunk for a fault.

    The residual of a Gaussian with precision P restricted to a group g of entries has the
    conditional deviation P_gg^-1 (P y)_g given all other entries. Here the groups are the chunk
    means of one channel.

    Args:
        gaussian: Clean model.
        factor: Factorization at the current fault variance.
        residual: (batch, channel, time), output of `WindowGaussian.solve`.

    Returns:
        The tests.

    Reference:
        Conditional distribution of a Gaussian by its precision: Bishop 2006, *Pattern Recognition
        and Machine Learning*, section 2.3.1; docs/theory.md, section 9.
    """
    precision = factor.precision
    inverse = torch.cholesky_inverse(factor.cholesky)
    # Diagonal of the precision matrix, averaged over a chunk: t - t^2 trace(G M^-1) / chunk.
    row, column = gaussian.upper
    packed = inverse[:, row, column] * (2 - (row == column).double())
    trace = (packed @ gaussian.grams.T).view_as(precision).to(precision)
    expected = precision - precision.square() * trace / gaussian.chunk
    # Float32 leaves less than 1e-5 of a difference of nearly equal numbers.
    expected = torch.maximum(expected, 1e-5 * precision)
    parts = gaussian.chunked(residual)
    offset, among, chi_square = _offsets(gaussian, precision, inverse.to(precision), parts)
    return Evidence(
        parts.square().mean(dim=3) / expected,
        parts.mean(dim=3) / expected.sqrt(),
        offset,
        among,
        chi_square / gaussian.chunks,
    )


def _offsets(
    gaussian: WindowGaussian, precision: Tensor, inverse: Tensor, parts: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets and their precision, (batch, C, K), and chi square of each channel, (batch, C)."""
    sums = gaussian.basis.view(-1, gaussian.chunk, gaussian.size).sum(dim=1)
    weighted = precision.flatten(1)[:, :, None] * sums  # (batch, C K, k)
    shape = (len(precision), gaussian.channels, gaussian.chunks, gaussian.size)
    weighted, solved = weighted.view(shape), (weighted @ inverse).view(shape)
    matrix = -(solved @ weighted.transpose(2, 3))  # (batch, C, K, K)
    diagonal = matrix.diagonal(dim1=2, dim2=3)
    diagonal.add_(precision * gaussian.chunk)
    # A ridge of a thousandth against the rounding of differences in float32.
    diagonal.mul_(1 + 1e-3).clamp_min_(_LEAST)
    total = parts.sum(dim=3)
    offset = torch.linalg.solve_ex(matrix, total[..., None])[0][..., 0]
    # Standardized signals are of order 1: a thousand is beyond any sensor's range.
    offset = torch.nan_to_num(offset).clamp(-1e3, 1e3)
    among = matrix.diagonal(dim1=2, dim2=3)
    return offset, among, (total * offset).sum(dim=2).clamp_min(1e-3)
