"""YAML with the line of each value, for messages."""

from dataclasses import dataclass
from typing import Any

import yaml

from lipfault.errors import LipfaultError


@dataclass(frozen=True)
class Lines:
    """A value of a YAML text and its place.

    Args:
        where: Name of the file.
        line: Line of the value, from 1.
        value: The value as plain types.
        inner: The values of a dictionary by key.
    """

    where: str
    line: int
    value: Any
    inner: dict[Any, 'Lines']

    def below(self, key: object) -> 'Lines':
        """Return the value of a key with its place.

        Args:
            key: A key of the dictionary.
        """
        return self.inner[key]

    @property
    def place(self) -> str:
        """Return file and line."""
        return f'{self.where}, line {self.line}'

    def error(self, message: str) -> LipfaultError:
        """Return an error that names file and line.

        Args:
            message: What is wrong and what would be right.
        """
        return LipfaultError(f'{self.place}: {message}')


def read_lines(text: str, where: str) -> Lines:
    """Parse a YAML text.

    Args:
        text: The text.
        where: Name of the file, for messages.

    Returns:
        Its value with the places of all values in dictionaries.

    Raises:
        LipfaultError: If the text is no YAML or a key occurs twice.
    """
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        loader = yaml.SafeLoader('')
        return _lines(node, loader, where) if node is not None else Lines(where, 1, None, {})
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise LipfaultError(f'{where}, line {line}: no YAML: {error.problem}') from error
    except RecursionError as error:
        raise LipfaultError(f'{where}: no YAML: nested too deeply') from error
    except (yaml.YAMLError, ValueError) as error:  # a date or a tagged number that is none
        raise LipfaultError(f'{where}: no YAML: {error}') from error


def _lines(node: yaml.Node, loader: yaml.SafeLoader, where: str) -> Lines:
    """Convert a node and those of the dictionary below it."""
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        return Lines(where, line, loader.construct_object(node, deep=True), {})
    inner: dict[Any, Lines] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        first = key_node.start_mark.line + 1
        try:
            twice = key in inner
        except TypeError:
            raise LipfaultError(f'{where}, line {first}: a key must be a name') from None
        if twice:
            raise LipfaultError(f'{where}, line {first}: key {key!r} occurs twice')
        found = _lines(value_node, loader, where)
        inner[key] = Lines(where, first, found.value, found.inner)
    return Lines(where, line, {key: each.value for key, each in inner.items()}, inner)
