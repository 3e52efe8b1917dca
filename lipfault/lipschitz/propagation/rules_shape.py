"""Propagation rules of operations that only move, repeat or drop entries."""

from typing import Any

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.lipschitz.propagation.bounded_tensor import (
    BoundedTensor,
    Function,
    Sensitivity,
    rule,
)

_REARRANGEMENTS = (
    'reshape', 'view', 'flatten', 'unflatten', 'permute', 'transpose', 'swapaxes', 'movedim', 't',
    'T', 'mT', 'unsqueeze', 'squeeze', 'expand', 'expand_as', 'view_as', 'reshape_as', 'repeat',
    'repeat_interleave', 'tile', 'narrow', 'select', '__getitem__', 'chunk', 'split', 'unbind',
    'index_select', 'pixel_shuffle', 'pixel_unshuffle', 'flip', 'roll', 'broadcast_to', 'ravel',
    'split_with_sizes', 'tensor_split', 'channel_shuffle', 'unfold', 'swapdims',
)  # fmt: skip

_IDENTITIES = (
    'contiguous', 'clone', 'detach', 'float', 'double', 'half', 'bfloat16', 'to', 'type_as',
    'dropout', 'dropout2d', 'dropout1d', 'dropout3d', 'alpha_dropout', 'feature_dropout',
    'requires_grad_', 'cpu', 'cuda', 'data', 'identity',
)  # fmt: skip

_METADATA = (
    'shape', 'size', 'dim', 'ndim', 'numel', 'device', 'dtype', '__len__', 'is_floating_point',
    'is_cuda', 'requires_grad', 'is_contiguous', 'stride', 'layout', 'is_sparse', 'is_complex',
    'is_nested', 'is_quantized', 'is_meta', 'names', 'grad_fn', 'is_leaf', 'element_size',
    'nelement', 'ndimension', 'get_device', 'new_zeros', 'new_ones', 'new_empty', 'new_full',
    'zeros_like', 'ones_like', 'is_mps', 'is_xpu', 'itemsize', 'is_cpu',
)  # fmt: skip


@rule(*_METADATA)
def _metadata(func: Function, operand: BoundedTensor, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Return shapes, types and constants: nothing that changes with the input."""
    return func(operand.as_subclass(Tensor), *args, **kwargs)


@rule(*_IDENTITIES)
def _identity(func: Function, operand: BoundedTensor, *args: Any, **kwargs: Any) -> BoundedTensor:  # noqa: ANN401
    """Pass copies, casts between floating types, moves to devices and idle dropout through."""
    training = kwargs.get('training', args[1] if len(args) > 1 else False)
    if 'dropout' in func.__name__ and training is True:
        raise LipfaultError('dropout has no certified bound in training mode; call eval() first')
    kind = func(operand.as_subclass(Tensor), *args, **kwargs).dtype
    if not kind.is_floating_point:
        raise LipfaultError(f'a cast to {kind} jumps: no finite gain; stay in floating point')
    if func.__name__ != 'clone':
        return operand
    # A clone survives changes in place of its original, so it needs its own state.
    copy = BoundedTensor.build(operand.shape, operand.low, operand.high, operand.sensitivity)
    copy.tags = operand.tags
    return copy


@rule(*_REARRANGEMENTS)
def rearrange(func: Function, operand: BoundedTensor, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Propagate through an operation that moves, repeats or drops entries.

    Args:
        func: Operation.
        operand: Operand of the operation.
        args: Further arguments.
        kwargs: Further keyword arguments.

    Returns:
        Result or results; the gain grows with the root of how often an entry is repeated.
    """
    args = tuple(a.as_subclass(Tensor) if isinstance(a, BoundedTensor) else a for a in args)
    moved = func(flat_indices(operand), *args, **kwargs)
    if isinstance(moved, Tensor):
        return _view(operand, moved.long() - 1)
    return type(moved)(_view(operand, part.long() - 1) for part in moved)


def _view(operand: BoundedTensor, indices: Tensor) -> BoundedTensor:
    moved = gather(operand, indices)
    moved.base = operand
    return moved


def flat_indices(operand: BoundedTensor) -> Tensor:
    """Number the entries of a tensor from 1, to follow them through an operation.

    Args:
        operand: Tensor of any shape.

    Returns:
        1 to n in the shape of the operand, float64; a 0 in the result of an operation (padding,
        unfolding) is then no entry.
    """
    return torch.arange(1, operand.numel() + 1, dtype=torch.float64).reshape(operand.shape)


def gather(operand: BoundedTensor, indices: Tensor) -> BoundedTensor:
    """Gather entries of a tensor by flat indices.

    Args:
        operand: Tensor of any shape.
        indices: Flat indices from 0, of the shape of the result, int64; −1 is a constant 0.

    Returns:
        Tensor of the shape of the indices. Its gain is that of the operand times the root of how
        often the most repeated entry occurs.
    """
    flat = indices.reshape(-1)
    real = flat[flat >= 0]
    repeats = int(torch.bincount(real).max()) if real.numel() else 0
    sensitivity = operand.sensitivity.scaled_gains(repeats**0.5)
    if indices.ndim == 2 and len(indices) == 1 and real.numel() == flat.numel():
        sensitivity.ellipsoids = {
            s: p[flat][:, flat] for s, p in operand.sensitivity.ellipsoids.items()
        }
    ends = [None if e is None else _take(e, indices) for e in (operand.low, operand.high)]
    moved = BoundedTensor.build(indices.shape, ends[0], ends[1], sensitivity)
    if 'root sensitivity' in operand.tags:
        root = operand.tags['root sensitivity'].scaled_gains(repeats**0.5)
        moved.tags = {'root sensitivity': root}
    elif repeats == 1:
        tensors = {k: v for k, v in operand.tags.items() if isinstance(v, BoundedTensor)}
        moved.tags = {k: gather(v, indices) for k, v in tensors.items()}
    return moved


def broadcast_to(operand: BoundedTensor, shape: torch.Size) -> BoundedTensor:
    """Broadcast a tensor to a shape.

    Args:
        operand: Tensor of any shape.
        shape: Shape to which it broadcasts.

    Returns:
        The operand itself if it has that shape, else its repeated entries.
    """
    if operand.shape == shape:
        return operand
    return gather(operand, torch.arange(operand.numel()).reshape(operand.shape).expand(shape))


def _take(values: Tensor, indices: Tensor) -> Tensor:
    taken = values.reshape(-1)[indices.clamp_min(0).reshape(-1)].reshape(indices.shape)
    return torch.where(indices >= 0, taken, torch.zeros_like(taken))


@rule('cat', 'concat', 'concatenate', 'stack')
def concatenate(func: Function, parts: Any, *args: Any, **kwargs: Any) -> BoundedTensor:  # noqa: ANN401
    """Propagate through a concatenation (docs/theory.md, section 4).

    Args:
        func: `torch.cat` or `torch.stack`.
        parts: Bounded or constant tensors.
        args: Axis.
        kwargs: Axis by name.

    Returns:
        Joined tensor; its gain per source is the root of the sum of the squared gains.
    """
    some = next(p for p in parts if isinstance(p, BoundedTensor))
    operands = [p if isinstance(p, BoundedTensor) else constant(p, some.sensitivity) for p in parts]
    plain = [operand.as_subclass(Tensor) for operand in operands]
    ends = []
    for end in ('low', 'high'):
        values = [getattr(operand, end) for operand in operands]
        known = all(v is not None for v in values)
        ends.append(func(values, *args, **kwargs) if known else None)
    sources = some.sensitivity.gains
    gains = {s: sum(p.sensitivity.gains[s] ** 2 for p in operands) ** 0.5 for s in sources}
    shape = func(plain, *args, **kwargs).shape
    sensitivity = Sensitivity(gains)
    if len(shape) == 2 and shape[0] == 1 and func.__name__ != 'stack':
        sensitivity.ellipsoids = _concatenated_ellipsoids(operands, gains)
    return BoundedTensor.build(shape, ends[0], ends[1], sensitivity)


def _concatenated_ellipsoids(
    operands: list[BoundedTensor], gains: dict[str, float]
) -> dict[str, Tensor]:
    """Join ellipsoids to a block diagonal one that contains their product.

    Part i is scaled by Σ gain² / gain_i²: the shares of all parts then sum to 1.
    """
    ellipsoids = {}
    for source, total in gains.items():
        if total == 0 or not any(source in p.sensitivity.ellipsoids for p in operands):
            continue
        blocks = []
        for part in operands:
            gain = part.sensitivity.gains[source]
            full = part.sensitivity.ellipsoids.get(source)
            if full is None:
                # A gain alone is the ball gain² I.
                full = gain**2 * torch.eye(part.shape[1], dtype=torch.float64)
            blocks.append(full * (total / gain) ** 2 if gain > 0 else full)
        ellipsoids[source] = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
    return ellipsoids


def constant(value: Any, like: Sensitivity) -> BoundedTensor:  # noqa: ANN401
    """Wrap a tensor or number that does not change with the inputs.

    Args:
        value: Tensor or number.
        like: Sensitivity with the names of the sources.

    Returns:
        Tensor whose interval is a point and whose gains are 0.
    """
    wide = torch.as_tensor(value).double()
    return BoundedTensor.build(wide.shape, wide, wide, Sensitivity(dict.fromkeys(like.gains, 0.0)))
