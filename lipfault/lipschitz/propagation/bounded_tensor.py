"""Certified gains of any path through a model: tensors that carry intervals and sensitivities.

`propagate` runs the model's own forward code on `BoundedTensor`s. Each carries an interval for
every entry and, for every source (a modality), a bound of its change per unit of change of that
source. Every operation needs a registered rule; an operation without one is an error that names
it, never a factor of 1. See docs/theory.md, section 4 (composition).

Bounds hold for exact arithmetic of the network; they are computed in float64.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.propagation.carriers import (
    UnseenOperations,
    carrier,
    changed_in_place,
    leaves,
    require_bounded,
)
from lipfault.lipschitz.propagation.location import location, tracked_modules

FULL_PRECISION = (torch.float32, torch.float64)
QUERIES: set[str] = set()
"""Operations that return shapes, types and constants, with no bounded tensor in the result."""

Function = Callable[..., Any]
PropagationRule = Callable[..., Any]
RULES: dict[str, PropagationRule] = {}
SINGLE_OPERAND: set[str] = set()
"""Operations whose rule holds only if a single operand changes with the inputs."""


@dataclass(frozen=True)
class Source:
    """Input whose perturbation is propagated.

    Args:
        low: Smallest value of each entry, shaped as the input with a batch axis of 1; `None` if
            no range is known.
        high: Largest value of each entry, of the shape of `low`.
        shape: Shape of the input with a batch axis of 1; needed where no range is given. The
            input is then on the device of the module.

    Reference:
        Box-shaped input regions: Gowal et al. 2018, https://arxiv.org/abs/1810.12715
    """

    low: Tensor | None = None
    high: Tensor | None = None
    shape: tuple[int, ...] | None = None


@dataclass
class Sensitivity:
    """Certified bounds of a tensor's change per unit of change of each source.

    Args:
        gains: Upper bound of the Euclidean norm of the change, by source.
        ellipsoids: Positive semidefinite shape matrix P, (n, n) in float64, for tensors of shape
            (1, n): the change stays in the ellipsoid {P^½ u, ‖u‖ ≤ 1}. Where one is kept it is
            never worse than the gain.

    Reference:
        Layer-wise shape matrices as in ECLipsE: Xu & Sivaranjani 2024,
        https://arxiv.org/abs/2404.04375
    """

    gains: dict[str, float]
    ellipsoids: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse gains that are no bound.

        Raises:
            LipfaultError: If a gain is NaN.
        """
        for source, gain in self.gains.items():
            if math.isnan(gain):
                raise LipfaultError(
                    f'the gain of source {source!r} is NaN: a constant of the operation is NaN, or '
                    'infinite bounds cancel'
                )

    def scaled_gains(self, factor: float = 1.0) -> 'Sensitivity':
        """Multiply the gains and drop the ellipsoids.

        Args:
            factor: Lipschitz constant of an operation.

        Returns:
            Sensitivity with gains only.
        """
        # A constant function does not change, however steep its argument: 0 · inf is 0 here.
        return Sensitivity({s: g * factor if factor else 0.0 for s, g in self.gains.items()})


class BoundedTensor(Tensor):
    """Tensor with an interval for its values and certified bounds of its change.

    Its own values are NaN; they only carry the shape and the device. See
    `lipfault.lipschitz.propagation.carriers`.

    Attributes:
        low: Lower ends of the values, float64; `None` if unknown.
        high: Upper ends of the values, float64; `None` if unknown.
        sensitivity: Bounds of the change per source.
        tags: Algebraic facts that a later rule can use, by name; see the rules.
        base: Tensor of which this one is a view.
        stale: Whether the values were changed in place since.

    Reference:
        Bound propagation through the computational graph of a model (auto_LiRPA):
        Xu et al. 2020, https://arxiv.org/abs/2002.12920
    """

    low: Tensor | None
    high: Tensor | None
    sensitivity: Sensitivity
    tags: dict[str, Any]
    base: 'BoundedTensor | None'
    stale: bool

    @staticmethod
    def build(
        shape: torch.Size,
        low: Tensor | None,
        high: Tensor | None,
        sensitivity: Sensitivity,
        device: torch.device | None = None,
    ) -> 'BoundedTensor':
        """Build a tensor from interval and sensitivity.

        Args:
            shape: Shape of the tensor.
            low: Lower ends, of that shape; an interval with an infinite end counts as unknown.
            high: Upper ends, of that shape.
            sensitivity: Bounds of the change per source.
            device: Device of the tensor; inside a rule that of the operand.

        Returns:
            Tensor without tags.
        """
        known = low is not None and high is not None
        if known and not bool((low.isfinite() & high.isfinite()).all()):  # type: ignore[union-attr]
            low = high = None
        bounded: BoundedTensor = carrier(shape, device).as_subclass(BoundedTensor)
        bounded.low, bounded.high, bounded.sensitivity, bounded.tags = low, high, sensitivity, {}
        bounded.base, bounded.stale = None, False
        return bounded

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]  # noqa: ANN401
        """Show shape and gains."""
        del tensor_contents
        with torch._C.DisableTorchFunctionSubclass(), torch._C._DisableTorchDispatch():
            return f'BoundedTensor(shape={tuple(self.shape)}, gains={self.gains})'

    @property
    def gains(self) -> dict[str, float]:
        """Certified gain from each source, an upper bound; output units per input unit."""
        return dict(self.sensitivity.gains)

    @classmethod
    def __torch_function__(
        cls,
        func: Function,
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Apply the rule of an operation; tensors it allocates are on the operand's device."""
        del types
        name, kwargs = _function_name(func), dict(kwargs or {})
        rule = RULES.get(name)
        if rule is None or not _is_of_torch(func, rule):
            raise LipfaultError(
                f'{location()} operation {name!r} has no rule for a certified bound'
            )
        operands = list(bounded_tensors((args, kwargs)))
        result = _apply_rule(rule, func, args, kwargs, operands)
        # Queries such as `shape` give no bounded tensor and are allowed on stale ones.
        if list(bounded_tensors(result)):
            _require_current(operands)
            if _in_place(name, kwargs):
                _mark_stale(args[0], result)
        return result


def _apply_rule(
    rule: PropagationRule,
    func: Function,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    operands: list[BoundedTensor],
) -> Any:  # noqa: ANN401
    """Call a rule; whatever goes wrong inside names the module and the operation."""
    name = _function_name(func)
    # Inside a rule tensor functions act on the plain tensors, else it would call itself.
    with (
        torch._C.DisableTorchFunctionSubclass(),
        torch._C._DisableTorchDispatch(),
        torch.no_grad(),
    ):
        require_bounded((args, kwargs), f'{location()} operation {name!r}:')
        _require_full_precision((args, kwargs), name)
        if name in SINGLE_OPERAND and len(operands) > 1:
            raise LipfaultError(
                f'{location()} operation {name!r} has a rule for one operand that changes '
                f'with the input, got {len(operands)}'
            )
        try:
            with operands[0].device:
                return rule(func, *args, **kwargs)
        except LipfaultError as error:
            raise LipfaultError(f'{location()} {error}') from error
        except Exception as error:
            raise LipfaultError(
                f'{location()} operation {name!r} has no rule for these arguments: {error}'
            ) from error


def _require_full_precision(values: Any, name: str) -> None:  # noqa: ANN401
    """Refuse complex constants, and computations in half precision, which round in steps."""
    for value in leaves(values):
        if isinstance(value, complex) or (isinstance(value, Tensor) and value.is_complex()):
            raise LipfaultError(f'{location()} operation {name!r} has no rule for complex numbers')
        half = isinstance(value, Tensor) and value.dtype.is_floating_point and value.itemsize < 4
        if half:
            raise LipfaultError(
                f'{location()} operation {name!r} computes in {value.dtype}, which rounds in steps '
                'that no bound covers; certify a copy in full precision (module.float())'
            )
        if isinstance(value, torch.dtype) and name not in QUERIES and value not in FULL_PRECISION:
            raise LipfaultError(
                f'{location()} operation {name!r}: a cast to {value} jumps or rounds in steps that '
                'no bound covers; stay in float32 or float64'
            )


def rule(*names: str, single_operand: bool = False) -> Callable[[PropagationRule], PropagationRule]:
    """Register a propagation rule for operations by the names of their functions.

    The rule is called with the function and its arguments; tensors among them are
    `BoundedTensor`s or plain tensors. It returns `BoundedTensor`s whose bounds must hold for every
    input.

    Args:
        names: Names of the functions, as in `function.__name__`.
        single_operand: Refuse calls in which more than one argument changes with the input.

    Returns:
        Decorator that registers the function and returns it unchanged.
    """

    def register(function: PropagationRule) -> PropagationRule:
        RULES.update(dict.fromkeys(names, function))
        (SINGLE_OPERAND.update if single_operand else SINGLE_OPERAND.difference_update)(names)
        return function

    return register


def propagate(
    function: Callable[[dict[str, Tensor]], Any],
    sources: Mapping[str, Source],
    module: nn.Module | None = None,
) -> Any:  # noqa: ANN401
    """Run a function on bounded inputs and return its outputs with certified gains.

    Without ranges the gains are global Lipschitz constants from above, with ranges local ones:
    they hold for every pair of inputs inside the box.

    Args:
        function: Map from inputs by name to tensors in any structure, such as the forward pass of
            a model in evaluation mode.
        sources: Inputs by name.
        module: Module whose submodules are named in error messages.

    Returns:
        Outputs of the function as `BoundedTensor`s: `.gains[source]` is the bound from above.

    Raises:
        LipfaultError: If an operation has no rule, or needs a range that is not given.

    Reference:
        Products of layer bounds: Gouk et al. 2021, https://arxiv.org/abs/1804.04368;
        local bounds from intervals: Zhang et al. 2019 (RecurJac),
        https://arxiv.org/abs/1810.11783, Shi et al. 2022, https://arxiv.org/abs/2210.07394

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
    watch = UnseenOperations()
    try:
        with tracked_modules(module), watch:
            outputs = function(inputs)
            _require_current(bounded_tensors(outputs))
            require_bounded(outputs, 'an output:')
    except Exception as error:
        if watch.error is None or watch.error is error:
            raise
        # The TorchScript interpreter replaces an error by one of its own.
        raise watch.error from error
    if watch.error is not None:
        raise watch.error
    return outputs


def module_gain(module: nn.Module, shape: tuple[int, ...]) -> float:
    """Certify the global Lipschitz constant of a module from above, in evaluation mode.

    Args:
        module: Module from one tensor to one tensor; its training mode is restored.
        shape: Shape of the input with a batch axis of 1.

    Returns:
        Upper bound that holds for every pair of inputs, output units per input unit.

    Raises:
        LipfaultError: If an operation has no rule, or the module returns no single tensor.

    Reference:
        Computing the exact constant is NP-hard, so a bound is the best that scales:
        Virmaux & Scaman 2018, https://arxiv.org/abs/1805.10965

    Example:
        >>> round(module_gain(nn.AvgPool2d(2), (1, 3, 4, 4)), 3)
        0.5
    """
    # Part by part: a module in training mode may hold parts frozen in evaluation mode.
    training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        out = propagate(lambda x: module(x['input']), {'input': Source(shape=shape)}, module)
    finally:
        for part, mode in training.items():
            part.training = mode
    if not isinstance(out, BoundedTensor):
        raise LipfaultError(f'{type(module).__name__}: must return one tensor, got {type(out)}')
    return out.gains['input']


def bounded_tensors(value: Any) -> Iterator[BoundedTensor]:  # noqa: ANN401
    """Iterate over the `BoundedTensor`s among the arguments or results of an operation.

    Args:
        value: Any nesting of lists, tuples and dictionaries.

    Yields:
        Tensors in the order of the structure.
    """
    yield from (part for part in leaves(value) if isinstance(part, BoundedTensor))


def require_range(operand: BoundedTensor, operation: str) -> tuple[Tensor, Tensor]:
    """Return the interval of a tensor, for a rule that needs one.

    Args:
        operand: Operand of the rule.
        operation: Operation in words, for the error message.

    Returns:
        Lower and upper ends, of the shape of the operand, float64.

    Raises:
        LipfaultError: If no interval is known.
    """
    if operand.low is None or operand.high is None:
        raise LipfaultError(
            f'{operation} needs the range of its operand; give every source a finite range'
        )
    return operand.low, operand.high


def largest_semiaxis(ellipsoid: Tensor) -> float:
    """Return the largest semi-axis √λ_max of an ellipsoid, from above.

    Args:
        ellipsoid: Shape matrix P, (n, n), symmetric, float64.

    Returns:
        Gain that the ellipsoid implies, raised by 1e-9 relative for rounding.
    """
    try:
        top = float(torch.linalg.eigvalsh(ellipsoid)[-1])
    except RuntimeError:
        # The Frobenius norm is at least the largest eigenvalue.
        top = float(torch.linalg.matrix_norm(ellipsoid))
    if math.isnan(top):
        return math.inf
    return math.sqrt(max(0.0, top)) * (1 + 1e-9)


def common_shape(*shapes: torch.Size) -> torch.Size:
    """Return the shape that all shapes broadcast to.

    Args:
        shapes: Shapes of the operands.

    Returns:
        Broadcast shape.
    """
    # torch.broadcast_shapes allocates tensors on the default device; numpy's does not.
    return torch.Size(np.broadcast_shapes(*shapes))


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
    # Norms of changes are over all axes, so a batch of several samples would mix them.
    if len(shape) == 0 or shape[0] != 1:
        raise LipfaultError(f'source {name!r}: the batch axis must be 1, got {tuple(shape)}')
    low, high = (None if end is None else end.detach().double().expand(shape) for end in ends)
    if low is not None and high is not None and not bool((low <= high).all()):
        raise LipfaultError(
            f'source {name!r}: low must not be above high, and neither may be NaN; '
            f'{int((~(low <= high)).sum())} of {low.numel()} entries are'
        )
    sensitivity = Sensitivity({n: float(n == name) for n in names})
    return BoundedTensor.build(shape, low, high, sensitivity, device)


def _device_of(module: nn.Module | None) -> torch.device | None:
    held = () if module is None else chain(module.parameters(), module.buffers())
    some = next(iter(held), None)
    return None if some is None else some.device


def _in_place(name: str, kwargs: Mapping[str, Any]) -> bool:
    """Whether an operation changes its first argument: `relu_`, `__iadd__`, `inplace=True`."""
    method = name.endswith('_') and not name.endswith('__')
    return method or name.startswith('__i') or kwargs.get('inplace') is True


def _mark_stale(changed: Any, result: Any) -> None:  # noqa: ANN401
    """Mark an operand and the tensors of which it is a view: their bounds no longer hold."""
    if isinstance(changed, Tensor) and not isinstance(changed, BoundedTensor):
        changed_in_place(changed)
    while isinstance(changed, BoundedTensor) and changed is not result:
        changed.stale, changed = True, changed.base


def _require_current(operands: Iterable[BoundedTensor]) -> None:
    for operand in operands:
        part: BoundedTensor | None = operand
        while part is not None:
            if part.stale:
                raise LipfaultError(
                    f'{location()} a tensor is used that was changed in place, itself or through '
                    'a view; a bound needs the operation that returns a new one (relu, not relu_)'
                )
            part = part.base


def _is_of_torch(func: Function, rule: PropagationRule) -> bool:
    """Whether a rule of this package may be applied: it holds for torch's function of its name."""
    of = getattr(func, '__module__', None) or 'torch'
    return of.split('.')[0] == 'torch' or not rule.__module__.startswith('lipfault.lipschitz.')


def _function_name(func: Function) -> str:
    name: str = getattr(func, '__name__', repr(func))
    # Attributes such as `shape` arrive as the getter of their descriptor.
    if name == '__get__':
        name = func.__self__.__name__  # type: ignore[attr-defined]
    return name
