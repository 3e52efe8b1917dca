"""Isometric weights: every direction of the input is amplified equally."""

import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.operators import CONVOLUTIONS, convolution_geometry


def isometry(weight: Tensor) -> Tensor:
    """Orthonormalize the columns of a weight by a QR decomposition with positive diagonal of R.

    Differentiable, and idempotent up to rounding. Unlike the Cayley transform of square matrices
    (Trockman & Kolter 2021, https://arxiv.org/abs/2104.07167) it takes rectangular weights.

    Args:
        weight: (outputs, ...) with at least as many outputs as inputs.

    Returns:
        Q of the shape of the weight; QᵀQ = I after flattening all axes but the first.

    Reference:
        Tight frames as layers (Parseval networks): Cissé et al. 2017,
        https://arxiv.org/abs/1704.08847; sign convention: Mezzadri 2007,
        https://arxiv.org/abs/math-ph/0609050

    Example:
        >>> isometry(torch.tensor([[3.0], [4.0]]))
        tensor([[0.6000],
                [0.8000]])
    """
    # A positive diagonal of R makes Q unique, and continuous in weights of full rank.
    q, r = torch.linalg.qr(weight.flatten(1))
    sign = torch.where(r.diagonal() < 0, -1.0, 1.0).to(q.dtype)
    frame: Tensor = q * sign
    return frame.reshape(weight.shape)


def require_isometry(name: str, layer: nn.Module) -> None:
    """Check that an isometric weight makes the layer itself an isometry.

    Dense layers with at least as many outputs as inputs qualify, and patch embeddings:
    convolutions with stride equal to the kernel, no padding, one group and no dilation.

    Args:
        name: Name of the layer, for the error message.
        layer: Dense or convolutional layer.

    Raises:
        LipfaultError: If the layer is of another form.

    Reference:
        Isometric convolutions: Qi et al. 2020, https://arxiv.org/abs/2006.16992
    """
    weight: Tensor = layer.weight  # type: ignore[assignment]
    if not isinstance(layer, nn.Linear) and not _is_patch_embedding(layer, tuple(weight.shape[2:])):
        raise LipfaultError(
            f'layer {name!r}: isometry needs a dense layer, or a convolution with stride equal to '
            f'the kernel, no padding, no dilation and one group; got {layer}'
        )
    rows, columns = weight.flatten(1).shape
    if rows < columns:
        raise LipfaultError(
            f'layer {name!r}: isometry needs at least as many outputs as inputs, '
            f'got {rows} outputs and {columns} inputs'
        )


def _is_patch_embedding(layer: nn.Module, kernel: tuple[int, ...]) -> bool:
    if not isinstance(layer, CONVOLUTIONS):
        return False
    geometry = convolution_geometry(layer)
    dilated = any(d > 1 and k > 1 for d, k in zip(geometry.dilation, kernel, strict=True))
    padded = any(p for pads in geometry.padding for p in pads)
    return geometry.groups == 1 and geometry.stride == kernel and not dilated and not padded
