"""Types of the values of a mapping."""

from collections.abc import Callable
from typing import Any

from lipfault.importers.yaml_lines import Lines


def checked(name: str, key: str, lines: Lines) -> Any:  # noqa: ANN401
    """Convert the value of a key of a mapping.

    Args:
        name: Name of the modality, for messages.
        key: The key.
        lines: Its value.

    Returns:
        The value as `Entry` holds it; None where the text says null.

    Raises:
        LipfaultError: If the value has another type; names file, line and key.
    """
    if lines.value is None:
        return None
    convert, expected = _TYPES[key]
    try:
        return convert(lines.value)
    except (TypeError, ValueError, AttributeError) as error:
        raise lines.error(f'{name}.{key}: must be {expected}, got {lines.value!r}') from error


def names_of(value: object) -> Any:  # noqa: ANN401
    """Convert a value of `Entry` to plain types for YAML.

    Args:
        value: Tuples and dictionaries of them.

    Returns:
        The same as lists; one value for all channels where they are equal.
    """
    if isinstance(value, dict):
        return {key: names_of(each) for key, each in value.items()}
    return [names_of(each) for each in value] if isinstance(value, tuple) else value


def _names(value: Any) -> tuple[str, ...]:  # noqa: ANN401
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str | int) for each in values):
        raise TypeError
    return tuple(map(str, values))


def _kind(value: Any) -> str:  # noqa: ANN401
    if value not in ('series', 'image'):
        raise ValueError
    return str(value)


def _number(value: Any) -> float:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    # YAML reads 1e-3 without a dot as text.
    number = float(value)
    if not abs(number) < float('inf'):
        raise ValueError
    return number


def _positive(value: Any) -> float:  # noqa: ANN401
    number = _number(value)
    if number <= 0:
        raise ValueError
    return number


def _each(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a conversion of one value, a list, or a dictionary by channel."""

    def converted(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, dict):
            return {str(key): convert(each) for key, each in value.items()}
        return tuple(map(convert, value)) if isinstance(value, list) else convert(value)

    return converted


def _text(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, list | dict | bool):
        raise TypeError
    return str(value)


def _numbers(value: Any) -> tuple[float, ...]:  # noqa: ANN401
    return tuple(map(_number, value if isinstance(value, list) else [value]))


def _groups(value: Any) -> dict[str, tuple[str, ...]]:  # noqa: ANN401
    return {str(key): _names(channels) for key, channels in value.items()}


_PER_CHANNEL = 'for all channels, a list with one for each, or a dictionary by channel'
_TYPES: dict[str, tuple[Callable[[Any], Any], str]] = {
    'columns': (_names, 'a list of fields, such as state or state[0:7]'),
    'kind': (_kind, '"series" or "image"'),
    'rate': (_positive, 'a positive number of samples per second'),
    'channels': (_names, 'a list of names'),
    'units': (_each(_text), f'a text {_PER_CHANNEL}'),
    'low': (_each(_number), f'a number {_PER_CHANNEL}'),
    'high': (_each(_number), f'a number {_PER_CHANNEL}'),
    'noise': (_each(_positive), f'a positive number {_PER_CHANNEL}'),
    'quantum': (_each(_positive), f'a positive number {_PER_CHANNEL}'),
    'missing': (_numbers, 'a list of numbers'),
    'offset': (_number, 'a number of seconds'),
    'groups': (_groups, 'a dictionary: the channels of each sensor'),
    'derived': (_names, 'a list of channels'),
}
