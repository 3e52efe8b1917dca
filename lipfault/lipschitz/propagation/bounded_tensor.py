"""How far a change of the inputs can reach: certified gains of any path through a model.

`propagate` runs the model's own forward code on `BoundedTensor` tensors. Each carries an interval for
every entry and, for every source (a modality), a bound on its change per unit of change of that
source. Every operation needs a rule; one without is an error that names it, never a factor of 1.

Bounds hold for exact arithmetic of the network; they are computed in float64.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError

PropagationRule = Callable[..., Any]
RULES: dict[str, PropagationRule] = {}
SINGLE_OPERAND: set[str] = set()
"""Operations of which one operand alone may change with the input."""

_MODULE_STACK: list[str] = []


@dataclass(frozen=True)
class Source:
    """An input whose change is followed.

    Args:
        low: Smallest value of each entry, shaped as the input with a batch axis of 1; `None` if
            no range is known.
        high: Largest value of each entry.
        shape: Shape of the input with a batch axis of 1; needed where no range is given. It is then
            on the device of the module.
    """

    low: Tensor | None = None
    high: Tensor | None = None
    shape: tuple[int, ...] | None = None


@dataclass
class Sensitivity:
    """What is known of a tensor's change, per unit of change of each source.

    Args:
        gains: Bound of the Euclidean norm of the change.
        ellipsoids: Positive semidefinite P (n, n) for tensors of shape (1, n): the change stays in
            the ellipsoid {P^½ u, ‖u‖ ≤ 1}. Never worse than the gain, if kept.
    """

    gains: dict[str, float]
    ellipsoids: dict[str, Tensor] = field(default_factory=dict)

    def scaled(self, factor: float) -> 'Sensitivity':
        """All bounds times a factor."""
        return Sensitivity(
            {s: g * factor for s, g in self.gains.items()},
            {s: p * factor**2 for s, p in self.ellipsoids.items()},
        )

    def scaled_gains(self, factor: float = 1.0) -> 'Sensitivity':
        """The gains times a factor, without ellipsoids."""
        return Sensitivity({s: g * factor for s, g in self.gains.items()})


class BoundedTensor(Tensor):
    """A tensor whose values lie between `low` and `high` and whose change is bounded.

    Its own values are zeros; they only carry the shape.
    """

    low: Tensor | None
    high: Tensor | None
    change: Sensitivity
    tags: dict[str, Any]
    base: 'BoundedTensor | None'
    stale: bool

    @staticmethod
    def build(
        shape: torch.Size,
        low: Tensor | None,
        high: Tensor | None,
        change: Sensitivity,
        device: torch.device | None = None,
    ) -> 'BoundedTensor':
        """Put the parts together; an interval that is not finite counts as unknown.

        Inside a rule the device is that of its operand.
        """
        known = low is not None and high is not None
        if known and not bool((low.isfinite() & high.isfinite()).all()):  # type: ignore[union-attr]
            low = high = None
        middle = torch.zeros(shape, device=device)
        reach: BoundedTensor = middle.as_subclass(BoundedTensor)
        reach.low, reach.high, reach.sensitivity, reach.tags = low, high, change, {}
        reach.base, reach.stale = None, False
        return reach

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]  # noqa: ANN401
        """Shape and gains."""
        del tensor_contents
        return f'BoundedTensor(shape={tuple(self.as_subclass(Tensor).shape)}, gains={self.gains})'

    @property
    def gains(self) -> dict[str, float]:
        """Certified gain from each source."""
        return dict(self.sensitivity.gains)

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Apply the rule of an operation; what it allocates is on the device of its operand."""
        del types
        name = _name_of(func)
        rule = RULES.get(name)
        if rule is None:
            raise LipfaultError(
                f'{_location()} operation {name!r} has no rule for a certified bound'
            )
        kwargs = dict(kwargs or {})
        with torch._C.DisableTorchFunctionSubclass(), torch.no_grad():
            operands = list(bounded_tensors((args, kwargs)))
            if name in SINGLE_OPERAND and len(operands) > 1:
                raise LipfaultError(
                    f'{_location()} operation {name!r} has a rule for one operand that changes with '
                    f'the input, got {len(operands)}'
                )
            with operands[0].device:
                result = rule(func, *args, **kwargs)
        if list(bounded_tensors(result)):
            _require_current(operands)
            if _in_place(name, kwargs):
                _mark_stale(args[0], result)
        return result


def rule(*names: str, single_operand: bool = False) -> Callable[[PropagationRule], PropagationRule]:
    """Register a rule for operations by the names of their functions.

    The rule is called with the function and its arguments, tensors among them `BoundedTensor` or plain.

    Args:
        names: Names of the functions.
        alone: Refuse calls in which more than one argument changes with the input.
    """

    def register(function: PropagationRule) -> PropagationRule:
        RULES.update(dict.fromkeys(names, function))
        (SINGLE_OPERAND.update if alone else SINGLE_OPERAND.difference_update)(names)
        return function

    return register


def propagate(
    function: Callable[[dict[str, Tensor]], Any],
    sources: Mapping[str, Source],
    module: nn.Module | None = None,
) -> Any:  # noqa: ANN401
    """Run a function on bounded inputs and get its outputs with certified gains.

    Args:
        function: Takes the inputs by name and returns tensors in any structure: the forward of a
            model in evaluation mode.
        sources: The inputs by name.
        module: Module whose submodules are named in errors.

    Returns:
        What the function returns, with `BoundedTensor` tensors: `.gains[source]` is the bound.

    Raises:
        LipfaultError: If an operation has no rule, or needs a range that is not known.

    Example:
        >>> net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU())
        >>> _ = net[0].weight.data.copy_(torch.diag(torch.tensor([1.0, 2.0, 3.0])))
        >>> out = propagate(lambda x: net(x['imu']), {'imu': Source(shape=(1, 3))})
        >>> round(out.gains['imu'], 3)
        3.0
    """
    device = _device_of(module)
    inputs: dict[str, Tensor] = {
        n: _source_tensor(n, s, list(sources), device) for n, s in sources.items()
    }
    with _tracked_modules(module):
        outputs = function(inputs)
    _require_current(bounded_tensors(outputs))
    return outputs


def _source_tensor(
    name: str, source: Source, names: list[str], device: torch.device | None
) -> BoundedTensor:
    ends = (source.low, source.high)
    if source.low is None or source.high is None:
        if source.shape is None:
            raise LipfaultError(f'source {name!r}: needs a range (low and high) or a shape')
        shape = torch.Size(source.shape)
        ends = (None, None)
    else:
        shape, device = common_shape(source.low.shape, source.high.shape), source.low.device
    if len(shape) == 0 or shape[0] != 1:
        raise LipfaultError(f'source {name!r}: the batch axis must be 1, got {tuple(shape)}')
    low, high = (None if end is None else end.double().expand(shape) for end in ends)
    change = Sensitivity({n: float(n == name) for n in names})
    return BoundedTensor.build(shape, low, high, change, device)


def _device_of(module: nn.Module | None) -> torch.device | None:
    held = () if module is None else chain(module.parameters(), module.buffers())
    some = next(iter(held), None)
    return None if some is None else some.device


def bounded_tensors(value: Any) -> Iterator[BoundedTensor]:  # noqa: ANN401
    """The `BoundedTensor` tensors among the arguments or results of an operation."""
    if isinstance(value, BoundedTensor):
        yield value
    elif isinstance(value, list | tuple | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from bounded_tensors(part)


def _in_place(name: str, kwargs: Mapping[str, Any]) -> bool:
    method = name.endswith('_') and not name.endswith('__')
    return method or name.startswith('__i') or kwargs.get('inplace') is True


def _mark_stale(changed: Any, result: Any) -> None:  # noqa: ANN401
    """Note that an operand and what it is a view of have other values now, which none follows."""
    while isinstance(changed, BoundedTensor) and changed is not result:
        changed.stale, changed = True, changed.base


def _require_current(operands: Iterable[BoundedTensor]) -> None:
    for operand in operands:
        part: BoundedTensor | None = operand
        while part is not None:
            if part.stale:
                raise LipfaultError(
                    f'{_location()} a tensor is used that was changed in place, itself or through a '
                    'view; a bound needs the operation that returns a new one (relu, not relu_)'
                )
            part = part.base


def module_gain(module: nn.Module, shape: tuple[int, ...]) -> float:
    """Lipschitz constant from above of one module for inputs of shape (1, ...), at every input.

    Raises:
        LipfaultError: If a part of it has no rule.

    Example:
        >>> round(module_gain(nn.AvgPool2d(2), (1, 3, 4, 4)), 3)
        0.5
    """
    training = module.training
    module.eval()
    try:
        out = propagate(lambda x: module(x['input']), {'input': Source(shape=shape)}, module)
    finally:
        module.train(training)
    if not isinstance(out, BoundedTensor):
        raise LipfaultError(f'{type(module).__name__}: must return one tensor, got {type(out)}')
    return out.gains['input']


def require_range(reach: BoundedTensor, why: str) -> tuple[Tensor, Tensor]:
    """The interval of a tensor; a LipfaultError where none is known."""
    if reach.low is None or reach.high is None:
        raise LipfaultError(
            f'{_location()} {why} needs the range of its operand; give every source a finite range'
        )
    return reach.low, reach.high


def largest_semiaxis(ellipsoid: Tensor) -> float:
    """√λ_max of a ellipsoid, from above by a hair."""
    top = float(torch.linalg.eigvalsh(ellipsoid)[-1])
    return math.sqrt(max(0.0, top)) * (1 + 1e-9)


def common_shape(*shapes: torch.Size) -> torch.Size:
    """The shape that all shapes broadcast to."""
    return torch.Size(np.broadcast_shapes(*shapes))


def _name_of(func: Callable[..., Any]) -> str:
    name: str = getattr(func, '__name__', repr(func))
    if name == '__get__':
        name = func.__self__.__name__  # type: ignore[attr-defined]
    return name


def _location() -> str:
    return f'module {_MODULE_STACK[-1]}:' if _MODULE_STACK else 'outside of any module:'


@contextmanager
def _tracked_modules(module: nn.Module | None) -> Iterator[None]:
    """Keep the name of the submodule that is running."""
    handles = []
    for name, part in [] if module is None else module.named_modules():
        label = f'{name!r} ({type(part).__name__})'
        handles.append(part.register_forward_pre_hook(lambda *_, n=label: _MODULE_STACK.append(n)))
        handles.append(part.register_forward_hook(lambda *_: _pop_module(), always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        _MODULE_STACK.clear()


def _pop_module() -> None:
    if _MODULE_STACK:
        _MODULE_STACK.pop()
