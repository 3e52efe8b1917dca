"""Rules for operations that only move, repeat or drop entries."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.lipschitz.propagation.bounded_tensor import BoundedTensor, Sensitivity, rule

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
def _metadata(func: Callable[..., Any], reach: BoundedTensor, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Shapes, types and constants: nothing that changes with the input."""
    return func(reach.as_subclass(Tensor), *args, **kwargs)


@rule(*_IDENTITIES)
def _identity(
    func: Callable[..., Any], reach: BoundedTensor, *args: Any, **kwargs: Any
) -> BoundedTensor:
    """Copies, types and devices; dropout in evaluation. The bound is of exact arithmetic."""
    training = kwargs.get('training', args[1] if len(args) > 1 else False)
    if 'dropout' in func.__name__ and training is True:
        raise LipfaultError('dropout has no certified bound in training mode; call eval() first')
    kind = func(reach.as_subclass(Tensor), *args, **kwargs).dtype
    if not kind.is_floating_point:
        raise LipfaultError(f'a cast to {kind} jumps: no finite gain; stay in floating point')
    if func.__name__ == 'clone':
        tags, reach = (
            reach.tags,
            BoundedTensor.build(reach.shape, reach.low, reach.high, reach.sensitivity),
        )
        reach.tags = tags
    return reach


@rule(*_REARRANGEMENTS)
def rearrange(func: Callable[..., Any], reach: BoundedTensor, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Follow the entries: the gain grows with the root of how often one of them is repeated."""
    args = tuple(a.as_subclass(Tensor) if isinstance(a, BoundedTensor) else a for a in args)
    moved = func(flat_indices(reach), *args, **kwargs)
    if isinstance(moved, Tensor):
        return _view(reach, moved.long() - 1)
    return type(moved)(_view(reach, part.long() - 1) for part in moved)


def _view(reach: BoundedTensor, indices: Tensor) -> BoundedTensor:
    moved = gather(reach, indices)
    moved.base = reach
    return moved


def flat_indices(reach: BoundedTensor) -> Tensor:
    """The indices of the entries counted from 1, float64: a 0 that is moved in is no entry."""
    return torch.arange(1, reach.numel() + 1, dtype=torch.float64).reshape(reach.shape)


def gather(reach: BoundedTensor, indices: Tensor) -> BoundedTensor:
    """The tensor whose entries are those of `reach` at the flat `indices`; -1 is a constant 0."""
    flat = indices.reshape(-1)
    real = flat[flat >= 0]
    repeats = int(torch.bincount(real).max()) if real.numel() else 0
    change = reach.sensitivity.scaled_gains(repeats**0.5)
    if indices.ndim == 2 and len(indices) == 1 and real.numel() == flat.numel():
        change.ellipsoids = {s: p[flat][:, flat] for s, p in reach.sensitivity.ellipsoids.items()}
    ends = [None if e is None else _take(e, indices) for e in (reach.low, reach.high)]
    moved = BoundedTensor.build(indices.shape, ends[0], ends[1], change)
    if 'root sensitivity' in reach.tags:
        moved.tags = {'root sensitivity': reach.tags['root sensitivity'].scaled_gains(repeats**0.5)}
    elif repeats == 1:
        moved.tags = {
            k: gather(v, indices) for k, v in reach.tags.items() if isinstance(v, BoundedTensor)
        }
    return moved


def _take(values: Tensor, indices: Tensor) -> Tensor:
    taken = values.reshape(-1)[indices.clamp_min(0).reshape(-1)].reshape(indices.shape)
    return torch.where(indices >= 0, taken, torch.zeros_like(taken))


@rule('cat', 'concat', 'concatenate', 'stack')
def concatenate(func: Callable[..., Any], parts: Any, *args: Any, **kwargs: Any) -> BoundedTensor:  # noqa: ANN401
    """Concatenation: the root of the sum of squares per source (THEORY 4)."""
    some = next(p for p in parts if isinstance(p, BoundedTensor))
    bounded_tensors = [
        p if isinstance(p, BoundedTensor) else constant(p, some.sensitivity) for p in parts
    ]
    plain = [r.as_subclass(Tensor) for r in bounded_tensors]
    ends = []
    for end in ('low', 'high'):
        values = [getattr(r, end) for r in bounded_tensors]
        known = all(v is not None for v in values)
        ends.append(func(values, *args, **kwargs) if known else None)
    gains = {
        s: sum(r.sensitivity.gains[s] ** 2 for r in bounded_tensors) ** 0.5
        for s in some.sensitivity.gains
    }
    shape = func(plain, *args, **kwargs).shape
    change = Sensitivity(gains)
    if len(shape) == 2 and shape[0] == 1 and func.__name__ != 'stack':
        change.ellipsoids = _concatenated_ellipsoids(bounded_tensors, gains)
    return BoundedTensor.build(shape, ends[0], ends[1], change)


def _concatenated_ellipsoids(
    bounded_tensors: list[BoundedTensor], gains: dict[str, float]
) -> dict[str, Tensor]:
    """Block diagonal: part i may use the coefficient gain_i² / Σ gain² of the source's change."""
    ellipsoids = {}
    for source, total in gains.items():
        if total == 0 or not any(source in r.sensitivity.ellipsoids for r in bounded_tensors):
            continue
        blocks = []
        for part in bounded_tensors:
            gain = part.sensitivity.gains[source]
            full = part.sensitivity.ellipsoids.get(source)
            if full is None:
                full = gain**2 * torch.eye(part.shape[1], dtype=torch.float64)
            blocks.append(full * (total / gain) ** 2 if gain > 0 else full)
        ellipsoids[source] = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
    return ellipsoids


def constant(value: Any, like: Sensitivity) -> BoundedTensor:  # noqa: ANN401
    """A tensor or number that does not change."""
    wide = torch.as_tensor(value).double()
    return BoundedTensor.build(wide.shape, wide, wide, Sensitivity(dict.fromkeys(like.gains, 0.0)))
