"""Memory of bounded tensors, and the watch that no operation on it escapes the rules.

`__torch_function__` does not see operations on the inside of `torch.func` transforms, scripted
functions, `torch.as_tensor` and the like. Three nets catch what leaves it:

1. All bounded tensors lie in memory of their own, and a dispatch mode refuses every operator on
   that memory that no rule has called.
2. That memory holds NaN, so a value that was copied without an operator is NaN, too: operands and
   outputs that hold NaN are refused.
3. A plain tensor that was changed in place by a bounded one is refused afterwards.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lipfault.errors import LipfaultError
from lipfault.lipschitz.propagation.location import location

_CARRIERS: dict[int, Tensor] = {}
"""Buffers of NaN by the address of their storage; never released, so no address is reused."""

_CURRENT: dict[torch.device, Tensor] = {}
"""Largest of the buffers of each device."""

_WATCHES: list['UnseenOperations'] = []
"""Watches of the calls of `propagate` that are running, the innermost last."""


def carrier(shape: torch.Size, device: torch.device | None) -> Tensor:
    """Return a tensor of NaN in the memory of bounded tensors.

    Args:
        shape: Shape of the tensor.
        device: Device; `None` is the current default device.

    Returns:
        Contiguous float32 tensor of that shape; it shares its memory with all others of its
        device.
    """
    place = torch.empty(0, device=device).device
    count = max(1, math.prod(shape))
    buffer = _CURRENT.get(place)
    if buffer is None or buffer.numel() < count:
        with torch.inference_mode(False):
            # At least doubled: all buffers together have at most twice the size of the largest.
            size = max(count, 2 * (0 if buffer is None else buffer.numel()))
            buffer = torch.full((size,), math.nan, device=place)
        _CURRENT[place] = _CARRIERS[_storage(buffer)] = buffer
    # detach: a view has no part in the version counter and the views of the buffer.
    return buffer.detach()[: math.prod(shape)].view(shape)


def require_bounded(values: Any, place: str) -> None:  # noqa: ANN401
    """Check that no plain tensor or number among values was computed from bounded tensors.

    Args:
        values: Any nesting of lists, tuples and dictionaries; bounded tensors among them pass.
        place: Start of the error message.

    Raises:
        LipfaultError: If one lies in the memory of bounded tensors, was changed in place by one,
            or holds NaN.
    """
    for value in leaves(values):
        if isinstance(value, float) and math.isnan(value):
            raise LipfaultError(f'{place} a number is NaN')
        if isinstance(value, Tensor) and not hasattr(value, 'sensitivity'):
            reason = _reason(value)
            if reason:
                raise LipfaultError(f'{place} {reason}')


def changed_in_place(plain: Tensor) -> None:
    """Refuse a plain tensor, and all that share its memory, until `propagate` returns.

    Args:
        plain: Tensor that an operation with a bounded operand changes in place.
    """
    if _WATCHES:
        _WATCHES[-1].changed[_storage(plain)] = plain


class UnseenOperations(TorchDispatchMode):
    """Mode that refuses operators on bounded tensors outside of their rules.

    Attributes:
        error: First refusal, kept since callers such as the TorchScript interpreter replace it.
        changed: Plain tensors changed in place by bounded ones, by the address of their storage.
    """

    def __init__(self) -> None:
        """Start without a refusal."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.error: LipfaultError | None = None
        self.changed: dict[int, Tensor] = {}

    def __enter__(self) -> 'UnseenOperations':
        """Start to watch."""
        _WATCHES.append(self)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *failure: Any) -> None:  # noqa: ANN401
        """Stop to watch."""
        super().__exit__(*failure)  # type: ignore[no-untyped-call]
        _WATCHES.remove(self)

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Run an operator on plain tensors; rules run with this mode switched off."""
        del types
        with torch._C.DisableTorchFunctionSubclass():
            for value in leaves((args, kwargs or {})):
                reason = _reason(value) if isinstance(value, Tensor) else None
                if reason:
                    error = LipfaultError(f'{location()} operator {func}: {reason}')
                    self.error = self.error or error
                    raise error
        return func(*args, **(kwargs or {}))


def leaves(values: Any) -> Iterator[Any]:  # noqa: ANN401
    """Iterate over the values in a nesting of lists, tuples and dictionaries.

    Args:
        values: Any nesting.

    Yields:
        Values that are none of the three, in order.
    """
    if isinstance(values, list | tuple | dict):
        for part in values.values() if isinstance(values, dict) else values:
            yield from leaves(part)
    else:
        yield values


def _storage(tensor: Tensor) -> int:
    if tensor.layout != torch.strided:
        return 0
    return int(tensor.untyped_storage()._cdata)


def _reason(tensor: Tensor) -> str | None:
    """Return why a tensor may not be used as a constant, or None."""
    address = _storage(tensor)
    if address in _CARRIERS:
        return (
            'it is applied to a value that depends on the input where no rule is reached '
            '(torch.func transforms, scripted functions, torch.tensor, as_subclass, nested '
            'tensors); apply tensor operations that have a rule to the input itself'
        )
    if any(address in watch.changed for watch in _WATCHES):
        return (
            'a constant tensor was changed in place by a value that depends on the input; use '
            'the operation that returns a new tensor (a = a + x, not a.add_(x))'
        )
    if (tensor.is_floating_point() or tensor.is_complex()) and not tensor.is_meta:
        with torch._C.DisableTorchFunctionSubclass(), torch._C._DisableTorchDispatch():
            if bool(tensor.detach().isnan().any()):
                return (
                    'an operand holds NaN: a constant that is NaN, or a value that was computed '
                    'from the input by an operation that has no rule'
                )
    return None
