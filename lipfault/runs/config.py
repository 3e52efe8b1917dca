"""Read the configuration of a run, which somebody else may have written."""

from pathlib import Path
from typing import Any

import yaml

from lipfault.errors import LipfaultError
from lipfault.runs.reading import LARGEST_CONFIG, read_text, require_printable

LARGEST_NODES = 100_000
"""Most values of a configuration, its aliases expanded; a complete one has 300."""


def read_config(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping, in bounded time and memory.

    Args:
        path: The file.

    Returns:
        Nested settings in plain types.

    Raises:
        LipfaultError: If the file cannot be read, is no YAML, expands to more than `LARGEST_NODES`
            values, or does not hold a mapping; names the file.
    """
    return parse_config(read_text(path, LARGEST_CONFIG), str(path))


def parse_config(text: str, where: str) -> dict[str, Any]:
    """Parse YAML that holds a mapping, in bounded time and memory.

    Args:
        text: YAML.
        where: File for messages.

    Returns:
        Nested settings in plain types.

    Raises:
        LipfaultError: As of `read_config`.

    Example:
        >>> parse_config('a: {b: 1}', 'x.yaml')
        {'a': {'b': 1}}
    """
    try:
        require_small(text, where)
        content = yaml.safe_load(text)
    except RecursionError as error:
        raise LipfaultError(f'{where}: no YAML: nested too deeply') from error
    except (yaml.YAMLError, ValueError) as error:
        reason = ' '.join(str(error).split())
        raise LipfaultError(f'{where}: no valid YAML: {reason}') from error
    if not isinstance(content, dict):
        found = 'nothing' if content is None else type(content).__name__
        raise LipfaultError(f'{where}: must hold settings by name, holds {found}')
    require_printable(content, where)
    return content


def require_small(text: str, where: str) -> None:
    """Refuse YAML whose aliases expand to very many values, before anything expands them.

    Args:
        text: YAML.
        where: File for the message.

    Raises:
        LipfaultError: If it expands to more than `LARGEST_NODES` values, or contains itself.
        yaml.YAMLError: If the text is no YAML.
        RecursionError: If it is nested too deeply.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    # A node is visited once, however many aliases name it.
    if root is not None and _expanded(root, {}, where) > LARGEST_NODES:
        raise LipfaultError(
            f'{where}: its aliases expand to more than {LARGEST_NODES} values; no configuration '
            'of a run has as many'
        )


def _expanded(node: yaml.Node, known: dict[int, int], where: str) -> int:
    """Count the values of a node with all aliases expanded."""
    if id(node) in known:
        if not known[id(node)]:
            raise LipfaultError(f'{where}: an alias contains itself')
        return known[id(node)]
    known[id(node)] = 0  # in progress
    below: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        below = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        below = node.value
    known[id(node)] = 1 + sum(_expanded(part, known, where) for part in below)
    return known[id(node)]
