"""Dense and convolutional layers as linear operators: apply, adjoint, gradient of σ_max.

A convolution is taken with its true padding, stride, dilation and groups at a given input size.
Its singular values are therefore those of the map that the network computes, not those of the
kernel reshaped to a matrix, as in Miyato et al. 2018 (https://arxiv.org/abs/1802.05957).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.same_map import DECLARED

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
Transposed = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
LinearLayer = nn.Linear | Convolution | Transposed

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LINEAR_LAYERS = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)

Maps = tuple[Callable[..., Tensor], ...]
_CONVOLVE: Maps = (functional.conv1d, functional.conv2d, functional.conv3d)
_TRANSPOSE: Maps = (
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
)


class LinearOperator(ABC):
    """Linear map between real tensors of fixed shape; every argument has a leading batch axis.

    The bias of a layer plays no part: it changes no singular value.

    Attributes:
        in_shape: Shape of an input without batch axis.
        out_shape: Shape of an output without batch axis.
        weight: Weight of the layer, of the layer's shape.
    """

    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    weight: Tensor

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """Apply the operator A.

        Args:
            x: (batch, *in_shape), of the weight's dtype.

        Returns:
            A x, (batch, *out_shape).
        """

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint Aᵀ.

        Args:
            y: (batch, *out_shape), of the weight's dtype.

        Returns:
            Aᵀ y, (batch, *in_shape).
        """

    @abstractmethod
    def weight_gradient(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Return ∂⟨left, A right⟩/∂weight in rank-one form.

        At the singular vectors of σ_max this is the gradient of the spectral norm.

        Args:
            left: (1, *out_shape).
            right: (1, *in_shape).

        Returns:
            Two vectors; their outer product, reshaped to the weight's shape, is the gradient.

        Reference:
            Miyato et al. 2018, https://arxiv.org/abs/1802.05957
        """

    @abstractmethod
    def double(self) -> 'LinearOperator':
        """Return the operator in float64, detached from autograd."""

    def matrix(self) -> Tensor:
        """Build the explicit matrix from the action on the unit vectors.

        Returns:
            (outputs, inputs) over flattened axes; memory grows with the square of the size.
        """
        count = 1
        for extent in self.in_shape:
            count *= extent
        unit = torch.eye(count, dtype=self.weight.dtype, device=self.weight.device)
        return self.apply(unit.reshape(count, *self.in_shape)).reshape(count, -1).T


class DenseOperator(LinearOperator):
    """Matrix product x ↦ W x.

    Args:
        weight: W, (outputs, inputs).
    """

    def __init__(self, weight: Tensor) -> None:
        """Store the weight.

        Args:
            weight: W, (outputs, inputs).
        """
        self.weight = weight
        self.out_shape, self.in_shape = (weight.shape[0],), (weight.shape[1],)

    def apply(self, x: Tensor) -> Tensor:
        """Multiply by W.

        Args:
            x: (batch, inputs).

        Returns:
            (batch, outputs).
        """
        return x @ self.weight.T

    def adjoint(self, y: Tensor) -> Tensor:
        """Multiply by Wᵀ.

        Args:
            y: (batch, outputs).

        Returns:
            (batch, inputs).
        """
        return y @ self.weight

    def weight_gradient(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two singular vectors: ∂σ/∂W = u vᵀ.

        Args:
            left: (1, outputs).
            right: (1, inputs).

        Returns:
            (outputs,) and (inputs,).
        """
        return left.reshape(-1), right.reshape(-1)

    def double(self) -> 'DenseOperator':
        """Return the operator in float64, detached from autograd."""
        return DenseOperator(self.weight.detach().double())


@dataclass(frozen=True)
class Geometry:
    """Stride, dilation, groups and padding of a convolution.

    Args:
        stride: Step per spatial axis.
        dilation: Spacing of the kernel's taps per spatial axis.
        groups: Number of channel groups.
        padding: (before, after) per spatial axis, in samples.
        mode: `zeros`, `circular`, `replicate` or `reflect`.
    """

    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    padding: tuple[tuple[int, int], ...]
    mode: str


class ConvolutionOperator(LinearOperator):
    """Convolution on inputs of one size, padding included.

    Args:
        weight: (outputs, inputs / groups, *kernel).
        geometry: Stride, dilation, groups and padding.
        size: Spatial size of the input.

    Reference:
        Power iteration on the convolution itself rather than on the reshaped kernel:
        Tsuzuku et al. 2018, https://arxiv.org/abs/1802.04034;
        Ryu et al. 2019 (real spectral normalization), https://arxiv.org/abs/1905.05406
    """

    def __init__(self, weight: Tensor, geometry: Geometry, size: Sequence[int]) -> None:
        """Store weight and geometry, and compute the output shape.

        Args:
            weight: (outputs, inputs / groups, *kernel).
            geometry: Stride, dilation, groups and padding.
            size: Spatial size of the input.

        Raises:
            LipfaultError: If the padded input is smaller than the dilated kernel.
        """
        self.weight = weight
        self.geometry = geometry
        self.in_shape = (weight.shape[1] * geometry.groups, *map(int, size))
        padded = [n + sum(p) for n, p in zip(size, geometry.padding, strict=True)]
        # Extent of the dilated kernel: d (k − 1) + 1 samples.
        extent = [d * (k - 1) + 1 for d, k in zip(geometry.dilation, weight.shape[2:], strict=True)]
        if any(n < e for n, e in zip(padded, extent, strict=True)):
            raise LipfaultError(
                f'input size {tuple(size)}: with padding it is smaller than the kernel, '
                f'whose dilated extent is {tuple(extent)}'
            )
        self._padded = (self.in_shape[0], *padded)
        spatial = [
            (n - e) // s + 1 for n, e, s in zip(padded, extent, geometry.stride, strict=True)
        ]
        self.out_shape = (weight.shape[0], *spatial)

    def apply(self, x: Tensor) -> Tensor:
        """Pad and convolve.

        Args:
            x: (batch, inputs, *size).

        Returns:
            (batch, outputs, *output size).
        """
        g = self.geometry
        convolve = _CONVOLVE[len(g.stride) - 1]
        padded = self._pad(x)
        return convolve(padded, self.weight, None, g.stride, 0, g.dilation, g.groups)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the transposed convolution and the adjoint of the padding.

        Args:
            y: (batch, outputs, *output size).

        Returns:
            (batch, inputs, *size).
        """
        return self._unpad(self._backward(y, y.new_empty((y.shape[0], *self._padded)), 0))

    def weight_gradient(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient of ⟨left, A right⟩ as a vector and a factor of 1.

        A convolution's gradient is not of rank one in any reshaping of the kernel, so the whole
        gradient is the first vector.

        Args:
            left: (1, outputs, *output size).
            right: (1, inputs, *size).

        Returns:
            (weight.numel(),) and (1,).
        """
        gradient = self._backward(left, self._pad(right), 1)
        return gradient.reshape(-1), gradient.new_ones(1)

    def double(self) -> 'ConvolutionOperator':
        """Return the operator in float64, detached from autograd."""
        wide = self.weight.detach().double()
        return ConvolutionOperator(wide, self.geometry, self.in_shape[1:])

    def _backward(self, y: Tensor, padded: Tensor, which: int) -> Tensor:
        """Gradient of ⟨y, convolution of padded⟩: to the input (which 0) or the weight (1)."""
        # torch's backward kernel, called directly: autograd would run the forward pass first,
        # and conv_transpose needs an output_padding for strides above 1.
        g = self.geometry
        none = [0] * len(g.stride)
        mask = [which == 0, which == 1, False]
        gradients = torch.ops.aten.convolution_backward(
            y, padded, self.weight, None, g.stride, none, g.dilation, False, none, g.groups, mask
        )
        gradient: Tensor = gradients[which]
        return gradient

    def _source_indices(self, axis: int, device: torch.device) -> Tensor:
        """For each padded position of a spatial axis the input position that it repeats."""
        # float32: functional.pad repeats no integers; exact up to 2^24 positions.
        position = torch.arange(self.in_shape[axis + 1], dtype=torch.float32, device=device)
        pads = self.geometry.padding[axis]
        padded = functional.pad(position[None, None], pads, mode=self.geometry.mode)
        return padded[0, 0].long()

    def _pad(self, x: Tensor) -> Tensor:
        if self.geometry.mode == 'zeros':
            # functional.pad counts axes from the last one.
            flat = [p for pads in reversed(self.geometry.padding) for p in pads]
            return functional.pad(x, flat)
        for axis in range(len(self.geometry.padding)):
            x = x.index_select(axis + 2, self._source_indices(axis, x.device))
        return x

    def _unpad(self, padded: Tensor) -> Tensor:
        zeros = self.geometry.mode == 'zeros'
        for axis, (before, _) in enumerate(self.geometry.padding):
            extent = self.in_shape[axis + 1]
            if zeros:
                padded = padded.narrow(axis + 2, before, extent)
                continue
            shape = list(padded.shape)
            shape[axis + 2] = extent
            # Adjoint of repeating values: sum over all copies of an input position.
            sources = self._source_indices(axis, padded.device)
            padded = padded.new_zeros(shape).index_add_(axis + 2, sources, padded)
        return padded


class TransposedOperator(LinearOperator):
    """Adjoint of a convolution, as `nn.ConvTranspose1d..3d` computes it.

    Its singular values are those of the convolution.

    Args:
        inner: Convolution from the output to the input.
        size: Spatial size of the input.
    """

    def __init__(self, inner: ConvolutionOperator, size: Sequence[int]) -> None:
        """Store the convolution and the input size.

        Args:
            inner: Convolution from the output to the input.
            size: Spatial size of the input.
        """
        self.inner = inner
        self.weight = inner.weight
        self.in_shape = (inner.out_shape[0], *map(int, size))
        self.out_shape = inner.in_shape

    def apply(self, x: Tensor) -> Tensor:
        """Apply the transposed convolution.

        Args:
            x: (batch, inputs, *size).

        Returns:
            (batch, outputs, *output size).
        """
        return self.inner.adjoint(self._append_zeros(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the convolution.

        Args:
            y: (batch, outputs, *output size).

        Returns:
            (batch, inputs, *size).
        """
        convolved = self.inner.apply(y)
        for axis, extent in enumerate(self.in_shape[1:]):
            convolved = convolved.narrow(axis + 2, 0, extent)
        return convolved

    def weight_gradient(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient of ⟨left, A right⟩, see `ConvolutionOperator.weight_gradient`.

        Args:
            left: (1, outputs, *output size).
            right: (1, inputs, *size).

        Returns:
            (weight.numel(),) and (1,).
        """
        return self.inner.weight_gradient(self._append_zeros(right), left)

    def double(self) -> 'TransposedOperator':
        """Return the operator in float64, detached from autograd."""
        return TransposedOperator(self.inner.double(), self.in_shape[1:])

    def _append_zeros(self, x: Tensor) -> Tensor:
        """Append zeros where the output padding is as large as the stride.

        The inner convolution then has more outputs than the transposed one has inputs.
        """
        missing = [o - i for o, i in zip(self.inner.out_shape[1:], self.in_shape[1:], strict=True)]
        return functional.pad(x, [p for extra in reversed(missing) for p in (0, extra)])


def linear_operator(
    layer: nn.Module, size: Sequence[int] | None = None, weight: Tensor | None = None
) -> LinearOperator:
    """Return the linear part of a dense or convolutional layer as an operator.

    Args:
        layer: `nn.Linear`, `nn.Conv1d..3d` or `nn.ConvTranspose1d..3d`.
        size: Spatial size of the input; a dense layer needs none.
        weight: Weight to use instead of the layer's own, of the same shape.

    Returns:
        Operator that shares the weight's memory and autograd graph.

    Raises:
        LipfaultError: If the layer is of another type, is empty, or a convolution lacks its size.

    Example:
        >>> linear_operator(nn.Conv1d(2, 3, 3, stride=2, padding=1, bias=False), (8,)).out_shape
        (3, 4)
    """
    if not isinstance(layer, LINEAR_LAYERS):
        raise LipfaultError(
            f'{type(layer).__name__} is not a dense or convolutional layer, so it has no operator'
        )
    weight = layer.weight if weight is None else weight
    if weight.numel() == 0:
        raise LipfaultError(f'{layer}: its weight is empty, shape {tuple(weight.shape)}')
    if isinstance(layer, nn.Linear):
        return DenseOperator(weight)
    if size is None:
        raise LipfaultError(f'{layer}: the norm of a convolution needs the input size')
    if len(size) != len(layer.stride):
        raise LipfaultError(
            f'{layer}: size must have {len(layer.stride)} numbers, got {tuple(size)}'
        )
    if isinstance(layer, TRANSPOSED):
        return _transposed(layer, size, weight)
    return ConvolutionOperator(weight, convolution_geometry(layer), size)


def convolution_geometry(layer: nn.Module) -> Geometry:
    """Return stride, dilation, groups and padding of a convolution, string paddings resolved.

    Args:
        layer: `nn.Conv1d..3d` or `nn.ConvTranspose1d..3d`.

    Returns:
        Geometry; for `ConvTranspose` that of the convolution whose adjoint the layer is.

    Raises:
        LipfaultError: If the layer is no convolution.
    """
    if isinstance(layer, TRANSPOSED):
        pads = tuple((int(p), int(p)) for p in layer.padding)
        return Geometry(layer.stride, layer.dilation, layer.groups, pads, 'zeros')
    if not isinstance(layer, CONVOLUTIONS):
        raise LipfaultError(f'{type(layer).__name__} is not a convolution')
    # The one place where torch resolves padding='same' to numbers: last axis first.
    flat = layer._reversed_padding_repeated_twice
    pairs = tuple((int(flat[i]), int(flat[i + 1])) for i in range(0, len(flat), 2))
    return Geometry(layer.stride, layer.dilation, layer.groups, pairs[::-1], layer.padding_mode)


PLAIN_FORWARDS: set[object] = {layer.forward for layer in LINEAR_LAYERS} | {
    layer._conv_forward for layer in LINEAR_LAYERS if hasattr(layer, '_conv_forward')
}
"""Forward passes that compute the layer's linear map with its weight as it is."""


def require_own_norm(layer: nn.Module) -> None:
    """Check that a layer computes what its class promises, so that its weight has its norm.

    Args:
        layer: Dense or convolutional layer.

    Raises:
        LipfaultError: If its class or the layer has a forward pass of its own (weight
            standardization, say).
    """
    names = [n for n in ('forward', '_conv_forward') if hasattr(layer, n)]
    plain = PLAIN_FORWARDS | DECLARED
    own = [n for n in names if getattr(type(layer), n) not in plain or n in vars(layer)]
    if isinstance(layer, LINEAR_LAYERS) and own:
        raise LipfaultError(
            f'{type(layer).__name__} has a {own[0]} of its own, so its norm is not that of its '
            'weight; certify it by module_gain, which follows the forward pass'
        )


def require_finite(weight: Tensor) -> None:
    """Check that a weight is real and holds neither NaN nor Inf.

    Args:
        weight: Any shape.

    Raises:
        LipfaultError: If it is complex, or with the number of such entries.
    """
    if weight.is_complex():
        raise LipfaultError(f'weight of shape {tuple(weight.shape)} is complex; norms are for real')
    broken = int((~weight.isfinite()).sum())
    if broken:
        raise LipfaultError(
            f'weight of shape {tuple(weight.shape)} has no norm: {broken} entries are NaN or Inf'
        )


def _transposed(layer: Transposed, size: Sequence[int], weight: Tensor) -> TransposedOperator:
    # Output size of torch.nn.ConvTranspose: (n − 1) s − 2 p + d (k − 1) + output_padding + 1.
    out = [
        (n - 1) * s - 2 * p + d * (k - 1) + extra + 1
        for n, s, p, d, k, extra in zip(
            size,
            layer.stride,
            layer.padding,
            layer.dilation,
            weight.shape[2:],
            layer.output_padding,
            strict=True,
        )
    ]
    return TransposedOperator(ConvolutionOperator(weight, convolution_geometry(layer), out), size)
