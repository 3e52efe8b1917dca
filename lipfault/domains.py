"""Domains of the numbers in configurations, as types that parser and constructors check."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from inspect import Signature, signature
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import Interval

from lipfault.errors import LipfaultError

LARGEST = 1e30
"""Largest number of a setting: its product with a signal stays within float32, 3.4e38."""

WIDEST = 65536
"""Most units, channels or patches of a layer: more do not fit into the memory of a device."""

DEEPEST = 100
"""Most layers or rounds in a row: more do not end in a useful time."""

MOST = 2**31 - 1
"""Largest count, the largest 32-bit integer."""


class _Bounded:
    """Let pydantic, which the parser calls, refuse a number in the words of `LipfaultError`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:  # noqa: ANN401
        # Part of the command line only: importing it takes a tenth of a second.
        from pydantic_core import core_schema

        inner = handler(source)
        bounds = {key: inner[key] for key in ('gt', 'ge', 'lt', 'le') if key in inner}
        of_type, interval = int if inner['type'] == 'int' else float, Interval(**bounds)

        def checked(value: Any) -> Any:  # noqa: ANN401
            number = _parsed(value)
            reason = _outside(number, of_type, interval)
            if reason is not None:
                raise ValueError(f'{reason}, got {_short(value)}')
            return number

        return core_schema.no_info_before_validator_function(checked, inner)


_BOUNDED = _Bounded()

Positive: TypeAlias = Annotated[float, Interval(gt=0.0, le=LARGEST), _BOUNDED]
NonNegative: TypeAlias = Annotated[float, Interval(ge=0.0, le=LARGEST), _BOUNDED]
Finite: TypeAlias = Annotated[float, Interval(ge=-LARGEST, le=LARGEST), _BOUNDED]
Share: TypeAlias = Annotated[float, Interval(ge=0.0, le=1.0), _BOUNDED]
PositiveShare: TypeAlias = Annotated[float, Interval(gt=0.0, le=1.0), _BOUNDED]
OpenShare: TypeAlias = Annotated[float, Interval(gt=0.0, lt=1.0), _BOUNDED]
Width: TypeAlias = Annotated[int, Interval(ge=1, le=WIDEST), _BOUNDED]
Depth: TypeAlias = Annotated[int, Interval(ge=1, le=DEEPEST), _BOUNDED]
Count: TypeAlias = Annotated[int, Interval(ge=1, le=MOST), _BOUNDED]
CountOrZero: TypeAlias = Annotated[int, Interval(ge=0, le=MOST), _BOUNDED]
Seed: TypeAlias = Annotated[int, Interval(ge=0, le=2**32 - 1), _BOUNDED]

_Class = TypeVar('_Class', bound=type)


def validated(cls: _Class) -> _Class:
    """Make the constructor of a class check the domains of its arguments.

    Args:
        cls: A class whose constructor has annotations of this module; a dataclass decorated first.

    Returns:
        The same class. Its constructor raises a `LipfaultError` that names class and argument.

    Example:
        >>> @validated
        ... class Window:
        ...     def __init__(self, seconds: Positive) -> None: ...
        >>> Window(-1.0)
        Traceback (most recent call last):
        lipfault.errors.LipfaultError: Window.seconds: must be above 0 and at most 1e+30, got -1.0
    """
    init = cls.__init__  # type: ignore[misc]

    @wraps(init)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        parameters, hints = _signature_of(init)
        try:
            given = parameters.bind(self, *args, **kwargs).arguments
        except TypeError:  # a wrong number of arguments: the constructor words it
            given = {}
        for name, value in given.items():
            if name in hints:
                require(value, hints[name], f'{cls.__name__}.{name}')
        init(self, *args, **kwargs)

    cls.__init__ = checked  # type: ignore[misc]
    return cls


def require(value: Any, hint: Any, where: str) -> None:  # noqa: ANN401
    """Check the numbers of a value.

    Args:
        value: A number, or a list or mapping that may hold some.
        hint: Its annotation, with types of this module for the numbers.
        where: Key of the value, for the message.

    Raises:
        LipfaultError: Names the place of the first number outside its domain.
    """
    fault = _fault(value, hint, where)
    if fault is not None:
        raise LipfaultError(fault)


@cache
def _signature_of(init: Callable[..., None]) -> tuple[Signature, dict[str, Any]]:
    hints = get_type_hints(init, include_extras=True)
    return signature(init), {name: hint for name, hint in hints.items() if name != 'return'}


def _fault(value: Any, hint: Any, where: str) -> str | None:  # noqa: ANN401
    """Return the first number outside its domain, in words; None if there is none.

    Only numbers are checked, and whether a value that may hold some is a list or a mapping.
    """
    origin, members = get_origin(hint), get_args(hint)
    if origin is Annotated:
        reason = _outside(value, *members[:2]) if isinstance(members[1], Interval) else None
        return None if reason is None else f'{where}: {reason}, got {_short(value)}'
    if origin in (Union, UnionType):
        faults = [_fault_of_member(value, member, where) for member in members]
        return None if None in faults else faults[0]
    if origin is Literal:
        known = f'{", ".join(map(str, members[:-1]))} or {members[-1]}'
        return None if value in members else f'{where}: must be {known}, got {_short(value)}'
    if origin is not None and isinstance(origin, type):
        return _fault_inside(value, origin, members, where)
    return None


def _fault_of_member(value: Any, member: Any, where: str) -> str | None:  # noqa: ANN401
    """Return why a value is not of a member of a union type."""
    if not isinstance(member, type):
        return _fault(value, member, where)
    plain = isinstance(value, Real | str | Sequence | Mapping | NoneType)
    # Another object, such as a Path for a str, is for the constructor to check.
    is_member = isinstance(value, member) or not plain
    return None if is_member else f'{where}: unexpected {_short(value)}'


def _fault_inside(value: Any, origin: type, members: tuple[Any, ...], where: str) -> str | None:  # noqa: ANN401
    """Return the first fault in a mapping or sequence."""
    if issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            return f'{where}: must be a mapping, got {_short(value)}'
        items = [(item, members[1], f'{where}[{key!r}]') for key, item in value.items()]
    elif issubclass(origin, Sequence):
        if not isinstance(value, Sequence) or isinstance(value, str):
            return f'{where}: must be a list, got {_short(value)}'
        same = len(members) < 2 or members[-1] is Ellipsis
        hints = [members[0]] * len(value) if same else members
        items = [
            (i, h, f'{where}[{n}]') for n, (i, h) in enumerate(zip(value, hints, strict=False))
        ]
    else:
        return None
    return next((fault for item in items if (fault := _fault(*item)) is not None), None)


def _outside(value: Any, of_type: type, interval: Interval) -> str | None:  # noqa: ANN401
    """Return what a number must be, if it is not."""
    numbers = (Integral,) if of_type is int else (Real,)
    if not isinstance(value, bool) and isinstance(value, numbers) and _inside(value, interval):
        return None
    return f'must be {_words(of_type, interval)}'


def _inside(number: Any, interval: Interval) -> bool:  # noqa: ANN401
    # Written so that NaN, for which every comparison is false, is outside.
    return (
        (interval.gt is None or number > interval.gt)
        and (interval.ge is None or number >= interval.ge)
        and (interval.lt is None or number < interval.lt)
        and (interval.le is None or number <= interval.le)
    )


def _words(of_type: type, interval: Interval) -> str:
    if of_type is int:
        return f'a whole number from {interval.ge} to {interval.le}'
    names = {'gt': 'above', 'ge': 'at least', 'lt': 'below', 'le': 'at most'}
    bounds: dict[str, Any] = {words: getattr(interval, name) for name, words in names.items()}
    return ' and '.join(
        f'{words} {bound:g}' for words, bound in bounds.items() if bound is not None
    )


def _parsed(value: Any) -> Any:  # noqa: ANN401
    """Return the number that a word of the command line or of a YAML file stands for."""
    if not isinstance(value, str):
        return value
    for read in (int, float):
        try:
            return read(value.lower().replace('.nan', 'nan').replace('.inf', 'inf'))
        except ValueError:
            continue
    return value


def _short(value: Any) -> str:  # noqa: ANN401
    """Write a value in at most 80 characters."""
    # An int of more digits cannot be written at all, see sys.set_int_max_str_digits.
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**300:
        return f'a number of about 10^{math.floor(value.bit_length() * math.log10(2))}'
    written = value if isinstance(value, str) else repr(value)
    return written if len(written) <= 80 else f'{written[:77]}...'
