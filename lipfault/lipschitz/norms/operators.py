"""Dense and convolutional layers as linear operators: apply, adjoint, and where σ's gradient lies.

A convolution is taken with its true padding, stride, dilation and groups at a given input size, so
its singular values are those of the map that the network really computes (never of the reshaped
kernel).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipfault.errors import LipfaultError

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
    """A linear map between real tensors of fixed shape; every argument has a leading batch axis."""

    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    weight: Tensor

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """Map x (batch, *in_shape) to (batch, *out_shape)."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Map y (batch, *out_shape) to (batch, *in_shape) by the transpose."""

    @abstractmethod
    def weight_gradient(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient of ⟨left, A right⟩ to the weight in rank-one form, for a batch of 1.

        Returns:
            Two vectors; their outer product, reshaped to the weight's shape, is the gradient.
        """

    @abstractmethod
    def double(self) -> 'LinearOperator':
        """The same operator in float64, without gradients."""

    def matrix(self) -> Tensor:
        """The explicit matrix (outputs, inputs), built from the action on the unit vectors."""
        count = 1
        for extent in self.in_shape:
            count *= extent
        unit = torch.eye(count, dtype=self.weight.dtype, device=self.weight.device)
        return self.apply(unit.reshape(count, *self.in_shape)).reshape(count, -1).T


class DenseOperator(LinearOperator):
    """x ↦ W x for a weight (outputs, inputs)."""

    def __init__(self, weight: Tensor) -> None:
        """Keep the weight (outputs, inputs)."""
        self.weight = weight
        self.out_shape, self.in_shape = (weight.shape[0],), (weight.shape[1],)

    def apply(self, x: Tensor) -> Tensor:
        """See `LinearOperator`."""
        return x @ self.weight.T

    def adjoint(self, y: Tensor) -> Tensor:
        """See `LinearOperator`."""
        return y @ self.weight

    def weight_gradient(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """See `LinearOperator`."""
        return left.reshape(-1), right.reshape(-1)

    def double(self) -> 'DenseOperator':
        """See `LinearOperator`."""
        return DenseOperator(self.weight.detach().double())


@dataclass(frozen=True)
class Geometry:
    """How a convolution walks over its input.

    Args:
        stride: Step per spatial axis.
        dilation: Spacing of the kernel's taps per spatial axis.
        groups: Number of groups.
        padding: (before, after) per spatial axis.
        mode: `zeros`, `circular`, `replicate` or `reflect`.
    """

    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    padding: tuple[tuple[int, int], ...]
    mode: str


class ConvolutionOperator(LinearOperator):
    """A convolution without bias on inputs of one size, padding included."""

    def __init__(self, weight: Tensor, geometry: Geometry, size: Sequence[int]) -> None:
        """Keep the weight (outputs, inputs / groups, *kernel) and find the output's shape.

        Raises:
            LipfaultError: If the padded input is smaller than the kernel.
        """
        self.weight = weight
        self.geometry = geometry
        self.in_shape = (weight.shape[1] * geometry.groups, *map(int, size))
        padded = [n + sum(p) for n, p in zip(size, geometry.padding, strict=True)]
        reach = [d * (k - 1) + 1 for d, k in zip(geometry.dilation, weight.shape[2:], strict=True)]
        if any(n < r for n, r in zip(padded, reach, strict=True)):
            raise LipfaultError(
                f'input size {tuple(size)}: with padding it is smaller than the kernel, '
                f'which reaches over {tuple(reach)}'
            )
        self._padded = (self.in_shape[0], *padded)
        spatial = [(n - r) // s + 1 for n, r, s in zip(padded, reach, geometry.stride, strict=True)]
        self.out_shape = (weight.shape[0], *spatial)

    def apply(self, x: Tensor) -> Tensor:
        """See `LinearOperator`."""
        g = self.geometry
        convolve = _CONVOLVE[len(g.stride) - 1]
        padded = self._pad(x)
        return convolve(padded, self.weight, None, g.stride, 0, g.dilation, g.groups)

    def adjoint(self, y: Tensor) -> Tensor:
        """See `LinearOperator`."""
        return self._unpad(self._backward(y, y.new_empty((y.shape[0], *self._padded)), 0))

    def weight_gradient(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """See `LinearOperator`."""
        gradient = self._backward(left, self._pad(right), 1)
        return gradient.reshape(-1), gradient.new_ones(1)

    def double(self) -> 'ConvolutionOperator':
        """See `LinearOperator`."""
        wide = self.weight.detach().double()
        return ConvolutionOperator(wide, self.geometry, self.in_shape[1:])

    def _backward(self, y: Tensor, padded: Tensor, which: int) -> Tensor:
        """Gradient of ⟨y, convolution of padded⟩: to the input (which 0) or the weight (1)."""
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
        position = torch.arange(self.in_shape[axis + 1], dtype=torch.float32, device=device)
        pads = self.geometry.padding[axis]
        padded = functional.pad(position[None, None], pads, mode=self.geometry.mode)
        return padded[0, 0].long()

    def _pad(self, x: Tensor) -> Tensor:
        if self.geometry.mode == 'zeros':
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
            sources = self._source_indices(axis, padded.device)
            padded = padded.new_zeros(shape).index_add_(axis + 2, sources, padded)
        return padded


class TransposedOperator(LinearOperator):
    """The adjoint of a convolution: what `ConvTranspose` computes, without bias."""

    def __init__(self, inner: ConvolutionOperator, size: Sequence[int]) -> None:
        """Keep the convolution from the output to the input, and the input's size."""
        self.inner = inner
        self.weight = inner.weight
        self.in_shape = (inner.out_shape[0], *map(int, size))
        self.out_shape = inner.in_shape

    def apply(self, x: Tensor) -> Tensor:
        """See `LinearOperator`."""
        return self.inner.adjoint(self._append_zeros(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """See `LinearOperator`."""
        pulled = self.inner.apply(y)
        for axis, extent in enumerate(self.in_shape[1:]):
            pulled = pulled.narrow(axis + 2, 0, extent)
        return pulled

    def weight_gradient(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """See `LinearOperator`."""
        return self.inner.weight_gradient(self._append_zeros(right), left)

    def double(self) -> 'TransposedOperator':
        """See `LinearOperator`."""
        return TransposedOperator(self.inner.double(), self.in_shape[1:])

    def _append_zeros(self, x: Tensor) -> Tensor:
        """Fill up with zeros where an output padding as large as the stride asks for more."""
        missing = [o - i for o, i in zip(self.inner.out_shape[1:], self.in_shape[1:], strict=True)]
        return functional.pad(x, [p for extra in reversed(missing) for p in (0, extra)])


def linear_operator(
    layer: nn.Module, size: Sequence[int] | None = None, weight: Tensor | None = None
) -> LinearOperator:
    """The linear part of a dense or convolutional layer as an operator.

    Args:
        layer: `nn.Linear`, `nn.Conv1d..3d` or `nn.ConvTranspose1d..3d`.
        size: Spatial size of the input; a dense layer needs none.
        weight: Use this weight instead of the layer's own.

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
    """Stride, dilation, groups and padding of a convolution, string paddings resolved.

    For `ConvTranspose` it is the geometry of the convolution that it is the adjoint of.
    """
    if isinstance(layer, TRANSPOSED):
        pads = tuple((int(p), int(p)) for p in layer.padding)
        return Geometry(layer.stride, layer.dilation, layer.groups, pads, 'zeros')
    if not isinstance(layer, CONVOLUTIONS):
        raise LipfaultError(f'{type(layer).__name__} is not a convolution')
    flat = layer._reversed_padding_repeated_twice
    pairs = tuple((int(flat[i]), int(flat[i + 1])) for i in range(0, len(flat), 2))
    return Geometry(layer.stride, layer.dilation, layer.groups, pairs[::-1], layer.padding_mode)


def _transposed(layer: Transposed, size: Sequence[int], weight: Tensor) -> TransposedOperator:
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
