"""Weights that amplify every direction equally."""

import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.operators import CONVOLUTIONS, convolution_geometry


def isometry(weight: Tensor) -> Tensor:
    """Q of the QR decomposition of a weight (outputs, ...), with a positive diagonal of R.

    QᵀQ = I after flattening all axes but the first. Differentiable; the identity on isometries
    that already have such a form, up to rounding.

    Example:
        >>> isometry(torch.tensor([[3.0], [4.0]]))
        tensor([[0.6000],
                [0.8000]])
    """
    q, r = torch.linalg.qr(weight.flatten(1))
    sign = torch.where(r.diagonal() < 0, -1.0, 1.0).to(q.dtype)
    frame: Tensor = q * sign
    return frame.reshape(weight.shape)


def require_isometry(name: str, layer: nn.Module) -> None:
    """Raise a LipfaultError if an isometric weight would not make the layer an isometry.

    Dense layers with at least as many outputs as inputs qualify, and convolutions that cut their
    input into patches: stride equal to the kernel, no padding, one group, no dilation.
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
