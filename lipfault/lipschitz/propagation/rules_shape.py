"""Propagation rules of operations that only move, repeat or drop entries."""

import math
from typing import Any

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.lipschitz.propagation.bounded_tensor import (
    FULL_PRECISION,
    QUERIES,
    BoundedTensor,
    Function,
    Sensitivity,
    common_shape,
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
    'is_nested', 'is_quantized', 'is_meta', 'grad_fn', 'is_leaf', 'element_size',
    'nelement', 'ndimension', 'get_device', 'new_zeros', 'new_ones', 'new_empty', 'new_full',
    'zeros_like', 'ones_like', 'is_mps', 'is_xpu', 'itemsize', 'is_cpu',
)  # fmt: skip


QUERIES.update(_METADATA)


@rule(*_METADATA)
def _metadata(func: Function, operand: BoundedTensor, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Return shapes, types and constants: nothing that changes with the input."""
    return func(operand.as_subclass(Tensor), *args, **kwargs)


@rule(*_IDENTITIES)
def _identity(func: Function, operand: BoundedTensor, *args: Any, **kwargs: Any) -> BoundedTensor:  # noqa: ANN401
    """Pass copies, casts between floating types, moves to devices and idle dropout through."""
    if 'dropout' in func.__name__ and _is_training(func.__name__, args, kwargs):
        raise LipfaultError('dropout has no certified bound in training mode; call eval() first')
    kind = func(operand.as_subclass(Tensor), *args, **kwargs).dtype
    if kind not in FULL_PRECISION:
        raise LipfaultError(
            f'a cast to {kind} jumps or rounds in steps that no bound covers; stay in float32 or '
            'float64'
        )
    if func.__name__ != 'clone':
        return operand
    # A clone survives changes in place of its original, so it needs its own state.
    copy = BoundedTensor.build(operand.shape, operand.low, operand.high, operand.sensitivity)
    copy.tags = operand.tags
    return copy


def _is_training(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a dropout is active, by its arguments (input, p, training) or its default."""
    for key in ('training', 'train'):
        if key in kwargs:
            return bool(kwargs[key])
    return bool(args[1]) if len(args) > 1 else name != 'alpha_dropout'


@rule('where')
def _where(func: Function, condition: Tensor, a: Any, b: Any) -> BoundedTensor:  # noqa: ANN401
    """Select by a constant mask: the parts have disjoint supports, so √(gain² + gain²)."""
    if isinstance(condition, BoundedTensor):
        raise LipfaultError('where by a condition that changes with the input jumps')
    some = a if isinstance(a, BoundedTensor) else b
    parts = [p if isinstance(p, BoundedTensor) else constant(p, some.sensitivity) for p in (a, b)]
    shape = common_shape(condition.shape, *(p.shape for p in parts))
    one, two = (broadcast_to(p, shape) for p in parts)
    known = all(end is not None for p in (one, two) for end in (p.low, p.high))
    low = func(condition, one.low, two.low) if known else None
    high = func(condition, one.high, two.high) if known else None
    selected = [p for p, used in ((one, condition.any()), (two, ~condition.all())) if bool(used)]
    gains = {s: math.hypot(*(p.sensitivity.gains[s] for p in selected)) for s in some.gains}
    return BoundedTensor.build(shape, low, high, Sensitivity(gains))


@rule('masked_fill', 'masked_fill_')
def _masked_fill(func: Function, operand: BoundedTensor, mask: Tensor, value: Any) -> BoundedTensor:  # noqa: ANN401
    del func
    if isinstance(mask, BoundedTensor):
        raise LipfaultError('a mask that changes with the input jumps')
    return _where(torch.where, mask, value, operand)  # type: ignore[no-any-return]


@rule(*_REARRANGEMENTS)
def rearrange(func: Function, operand: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
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
    if not isinstance(operand, BoundedTensor):
        # A constant takes the shape of a bounded tensor (`expand_as`).
        return func(operand, *args, **kwargs)
    moved = func(flat_indices(operand), *args, **kwargs)
    if isinstance(moved, Tensor):
        return _view(operand, moved.long() - 1)
    return type(moved)(_view(operand, part.long() - 1) for part in moved)


def _view(operand: BoundedTensor, indices: Tensor) -> BoundedTensor:
    moved = gather(operand, indices)
    moved.base = operand
    root, places = operand.tags.get('entries of', (operand, None))
    if places is not None:
        indices = places.reshape(-1)[indices.reshape(-1)].reshape(indices.shape)
    moved.tags['entries of'] = (root, indices)
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
    gains = _joint_gains(operands)
    shape = func(plain, *args, **kwargs).shape
    sensitivity = Sensitivity(gains)
    if len(shape) == 2 and shape[0] == 1 and func.__name__ != 'stack':
        sensitivity.ellipsoids = _concatenated_ellipsoids(operands, gains)
    return BoundedTensor.build(shape, ends[0], ends[1], sensitivity)


def _joint_gains(operands: list[BoundedTensor]) -> dict[str, float]:
    """Bound the change of several tensors together, by source.

    Entries of one tensor change together as that tensor does, times the root of how often the most
    repeated one occurs; groups of different tensors by the root of the sum of squares.
    """
    groups: dict[int, tuple[BoundedTensor, list[Tensor]]] = {}
    for operand in _sorted_pairs(operands):
        root, places = operand.tags.get('entries of', (operand, None))
        if places is None:
            places = torch.arange(operand.numel())
        groups.setdefault(id(root), (root, []))[1].append(places.reshape(-1))
    total = dict.fromkeys(operands[0].sensitivity.gains, 0.0)
    for root, places in groups.values():
        joined = torch.cat(places)
        repeats = int(torch.bincount(joined).max()) if joined.numel() else 0
        for source, gain in root.sensitivity.gains.items():
            total[source] += repeats * gain**2 if repeats else 0.0
    apart = {s: sum(p.sensitivity.gains[s] ** 2 for p in operands) for s in total}
    return {s: min(total[s], apart[s]) ** 0.5 for s in total}


def _sorted_pairs(operands: list[BoundedTensor]) -> list[BoundedTensor]:
    """Replace max(a, b) and min(a, b) of one pair by a and b: sorting a pair is 1-Lipschitz.

    Reference:
        MaxMin: Anil et al. 2019, https://arxiv.org/abs/1811.05381
    """
    pairs = [operand.tags.get('extreme of') for operand in operands]
    replaced = list(operands)
    for i, one in enumerate(pairs):
        for j, two in enumerate(pairs[:i]):
            if one is None or two is None or pairs[i] is None or pairs[j] is None:
                continue
            same = {id(one[1]), id(one[2])} == {id(two[1]), id(two[2])}
            if same and one[0] != two[0]:
                replaced[i], replaced[j] = one[1], one[2]
                pairs[i] = pairs[j] = None
    return replaced


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
    point = wide(value)
    return BoundedTensor.build(
        point.shape, point, point, Sensitivity(dict.fromkeys(like.gains, 0.0))
    )


def wide(value: Any) -> Tensor:  # noqa: ANN401
    """Convert a constant to float64; a Python number keeps all its digits.

    Args:
        value: Tensor or number.

    Returns:
        Detached tensor of the same shape, float64; a scalar for a number.
    """
    return torch.as_tensor(value, dtype=torch.float64).detach()
