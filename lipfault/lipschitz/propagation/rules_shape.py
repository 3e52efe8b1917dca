"""Rules for operations that only move, repeat or drop entries."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.lipschitz.propagation.reach import Reach, Sensitivity, rule

_MOVES = (
    'reshape', 'view', 'flatten', 'unflatten', 'permute', 'transpose', 'swapaxes', 'movedim', 't',
    'T', 'mT', 'unsqueeze', 'squeeze', 'expand', 'expand_as', 'view_as', 'reshape_as', 'repeat',
    'repeat_interleave', 'tile', 'narrow', 'select', '__getitem__', 'chunk', 'split', 'unbind',
    'index_select', 'pixel_shuffle', 'pixel_unshuffle', 'flip', 'roll', 'broadcast_to', 'ravel',
    'split_with_sizes', 'tensor_split', 'channel_shuffle', 'unfold', 'swapdims',
)  # fmt: skip

_SAME = (
    'contiguous', 'clone', 'detach', 'float', 'double', 'half', 'bfloat16', 'to', 'type_as',
    'dropout', 'dropout2d', 'dropout1d', 'dropout3d', 'alpha_dropout', 'feature_dropout',
    'requires_grad_', 'cpu', 'cuda', 'data', 'identity',
)  # fmt: skip

_FACTS = (
    'shape', 'size', 'dim', 'ndim', 'numel', 'device', 'dtype', '__len__', 'is_floating_point',
    'is_cuda', 'requires_grad', 'is_contiguous', 'stride', 'layout', 'is_sparse', 'is_complex',
    'is_nested', 'is_quantized', 'is_meta', 'names', 'grad_fn', 'is_leaf', 'element_size',
    'nelement', 'ndimension', 'get_device', 'new_zeros', 'new_ones', 'new_empty', 'new_full',
    'zeros_like', 'ones_like', 'is_mps', 'is_xpu', 'itemsize', 'is_cpu',
)  # fmt: skip


@rule(*_FACTS)
def _fact(func: Callable[..., Any], reach: Reach, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Shapes, types and constants: nothing that changes with the input."""
    return func(reach.as_subclass(Tensor), *args, **kwargs)


@rule(*_SAME)
def _same(func: Callable[..., Any], reach: Reach, *args: Any, **kwargs: Any) -> Reach:  # noqa: ANN401
    """Copies, types and devices; dropout in evaluation. The bound is of exact arithmetic."""
    training = kwargs.get('training', args[1] if len(args) > 1 else False)
    if 'dropout' in func.__name__ and training is True:
        raise LipfaultError('dropout has no certified bound in training mode; call eval() first')
    kind = func(reach.as_subclass(Tensor), *args, **kwargs).dtype
    if not kind.is_floating_point:
        raise LipfaultError(f'a cast to {kind} jumps: no finite gain; stay in floating point')
    if func.__name__ == 'clone':
        tags, reach = reach.tags, Reach.build(reach.shape, reach.low, reach.high, reach.change)
        reach.tags = tags
    return reach


@rule(*_MOVES)
def move(func: Callable[..., Any], reach: Reach, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Follow the entries: the gain grows with the root of how often one of them is repeated."""
    args = tuple(a.as_subclass(Tensor) if isinstance(a, Reach) else a for a in args)
    moved = func(numbered(reach), *args, **kwargs)
    if isinstance(moved, Tensor):
        return _view(reach, moved.long() - 1)
    return type(moved)(_view(reach, part.long() - 1) for part in moved)


def _view(reach: Reach, places: Tensor) -> Reach:
    moved = gather(reach, places)
    moved.base = reach
    return moved


def numbered(reach: Reach) -> Tensor:
    """The places of the entries counted from 1, float64: a 0 that is moved in is no entry."""
    return torch.arange(1, reach.numel() + 1, dtype=torch.float64).reshape(reach.shape)


def gather(reach: Reach, places: Tensor) -> Reach:
    """The tensor whose entries are those of `reach` at the flat `places`; -1 is a constant 0."""
    flat = places.reshape(-1)
    real = flat[flat >= 0]
    repeats = int(torch.bincount(real).max()) if real.numel() else 0
    change = reach.change.scalar(repeats**0.5)
    if places.ndim == 2 and len(places) == 1 and real.numel() == flat.numel():
        change.spreads = {s: p[flat][:, flat] for s, p in reach.change.spreads.items()}
    ends = [None if e is None else _take(e, places) for e in (reach.low, reach.high)]
    moved = Reach.build(places.shape, ends[0], ends[1], change)
    if 'root' in reach.tags:
        moved.tags = {'root': reach.tags['root'].scalar(repeats**0.5)}
    elif repeats == 1:
        moved.tags = {k: gather(v, places) for k, v in reach.tags.items() if isinstance(v, Reach)}
    return moved


def _take(values: Tensor, places: Tensor) -> Tensor:
    taken = values.reshape(-1)[places.clamp_min(0).reshape(-1)].reshape(places.shape)
    return torch.where(places >= 0, taken, torch.zeros_like(taken))


@rule('cat', 'concat', 'concatenate', 'stack')
def join(func: Callable[..., Any], parts: Any, *args: Any, **kwargs: Any) -> Reach:  # noqa: ANN401
    """Concatenation: the root of the sum of squares per source (THEORY 4)."""
    some = next(p for p in parts if isinstance(p, Reach))
    reaches = [p if isinstance(p, Reach) else constant(p, some.change) for p in parts]
    plain = [r.as_subclass(Tensor) for r in reaches]
    ends = []
    for end in ('low', 'high'):
        values = [getattr(r, end) for r in reaches]
        known = all(v is not None for v in values)
        ends.append(func(values, *args, **kwargs) if known else None)
    gains = {s: sum(r.change.gains[s] ** 2 for r in reaches) ** 0.5 for s in some.change.gains}
    shape = func(plain, *args, **kwargs).shape
    change = Sensitivity(gains)
    if len(shape) == 2 and shape[0] == 1 and func.__name__ != 'stack':
        change.spreads = _joined_spreads(reaches, gains)
    return Reach.build(shape, ends[0], ends[1], change)


def _joined_spreads(reaches: list[Reach], gains: dict[str, float]) -> dict[str, Tensor]:
    """Block diagonal: part i may use the share gain_i² / Σ gain² of the source's change."""
    spreads = {}
    for source, total in gains.items():
        if total == 0 or not any(source in r.change.spreads for r in reaches):
            continue
        blocks = []
        for part in reaches:
            gain = part.change.gains[source]
            full = part.change.spreads.get(source)
            if full is None:
                full = gain**2 * torch.eye(part.shape[1], dtype=torch.float64)
            blocks.append(full * (total / gain) ** 2 if gain > 0 else full)
        spreads[source] = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
    return spreads


def constant(value: Any, like: Sensitivity) -> Reach:  # noqa: ANN401
    """A tensor or number that does not change."""
    wide = torch.as_tensor(value).double()
    return Reach.build(wide.shape, wide, wide, Sensitivity(dict.fromkeys(like.gains, 0.0)))
