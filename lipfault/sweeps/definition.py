"""Read and check a W&B sweep file, and build the command line of each trial."""

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import yaml

from lipfault.errors import LipfaultError

METHODS = ('grid', 'random', 'bayes')
"""Search methods of W&B sweeps."""

# W&B's keys for its website have no effect offline and are accepted.
_KEYS = ('method', 'metric', 'parameters', 'command', 'name', 'description', 'program', 'project',
         'entity')  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """A parameter with a list of values.

    Args:
        values: The values; a single one is a constant.
    """

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Range:
    """A numeric parameter between two ends, both included.

    Args:
        low: Smallest value.
        high: Largest value.
        whole: Whether values are integers.
        logarithmic: Whether values are uniform on a logarithmic scale.
    """

    low: float
    high: float
    whole: bool = False
    logarithmic: bool = False


@dataclass(frozen=True)
class Sweep:
    """Content of a sweep file.

    Args:
        method: Search method.
        metric: Metric to optimize.
        goal: Whether the metric is minimized or maximized.
        parameters: Varied parameters by dotted key of the command line.
        command: Command line with the placeholders of W&B.

    Reference:
        Grid and random search as in Bergstra & Bengio, 2012:
        https://jmlr.org/papers/v13/bergstra12a.html
        File format: https://docs.wandb.ai/guides/sweeps/define-sweep-configuration
    """

    method: Literal['grid', 'random', 'bayes']
    metric: str
    goal: Literal['minimize', 'maximize']
    parameters: dict[str, Choice | Range]
    command: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all but the command in plain types; equal content means the same study."""
        parameters = {
            name: {'kind': type(p).__name__} | vars(p) for name, p in self.parameters.items()
        }
        search = {'method': self.method, 'metric': self.metric, 'goal': self.goal}
        # Through JSON, as in the journal: tuples become lists.
        plain: dict[str, Any] = json.loads(json.dumps(search | {'parameters': parameters}))
        return plain

    def grid(self) -> list[dict[str, Any]]:
        """Return all combinations of values, the last parameter varying fastest."""
        columns = [
            [(name, value) for value in p.values]
            for name, p in self.parameters.items()
            if isinstance(p, Choice)
        ]
        return [dict(point) for point in product(*columns)]

    def arguments(self, values: Mapping[str, Any]) -> list[str]:
        """Return the command line of a trial, as the agent of W&B builds it.

        `${interpreter}` is the running interpreter, so that trials use the same packages.

        Args:
            values: Value of each parameter.

        Returns:
            The command and its arguments.

        Raises:
            LipfaultError: If the command names an environment variable that is not set.

        Example:
            >>> sweep = Sweep('grid', 'val/loss', 'minimize', {}, ('lipfault', '${args}'))
            >>> sweep.arguments({'model.losses.con': 0.02})
            ['lipfault', '--model.losses.con=0.02']
        """
        placeholders = {
            '${env}': ['/usr/bin/env'],
            '${interpreter}': [sys.executable],
            '${args}': [f'--{name}={value}' for name, value in values.items()],
        }
        parts = (
            placeholders.get(word) or [_ENVIRONMENT.sub(_variable, word)] for word in self.command
        )
        return [part for several in parts for part in several]


def read_sweep(path: Path) -> Sweep:
    """Read a sweep file.

    Args:
        path: A YAML file as for `wandb sweep`, with a `command`.

    Returns:
        The checked content.

    Raises:
        LipfaultError: If the file is missing or no YAML, or a key or value is not supported.
    """
    if not path.is_file():
        raise LipfaultError(f'no sweep file at {path}')
    try:
        found = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise LipfaultError(f'{path} is no YAML: {str(error).splitlines()[0]}') from error
    try:
        return _sweep(found if isinstance(found, dict) else {})
    except LipfaultError as error:
        raise LipfaultError(f'{path}: {error}') from error


def _sweep(found: dict[str, Any]) -> Sweep:
    """Check the content of a sweep file."""
    _refuse_unknown('', found, _KEYS)
    method, metric = found.get('method'), found.get('metric') or {}
    if method not in METHODS:
        raise LipfaultError(f'method: must be one of {", ".join(METHODS)}, got {method!r}')
    if not metric.get('name') or metric.get('goal') not in ('minimize', 'maximize'):
        raise LipfaultError(f'metric: needs a name and a goal (minimize or maximize), got {metric}')
    given = found.get('parameters') or {}
    parameters = {name: _parameter(f'parameters.{name}', p or {}) for name, p in given.items()}
    ranges = [name for name, p in parameters.items() if isinstance(p, Range)]
    if method == 'grid' and (ranges or not parameters):
        raise LipfaultError(f'a grid needs values for every parameter; ranges are {ranges}')
    command = [str(word) for word in found.get('command') or []]
    if '${args}' not in command:
        raise LipfaultError('command: must be given and hold ${args}')
    return Sweep(method, metric['name'], metric['goal'], parameters, tuple(command))


def _refuse_unknown(prefix: str, given: dict[str, Any], supported: tuple[str, ...]) -> None:
    """Refuse keys that would be ignored, such as `early_terminate`."""
    unknown = [f'{prefix}{key}' for key in given if key not in supported]
    if unknown:
        raise LipfaultError(
            f'{unknown[0]}: not supported offline; supported are {", ".join(supported)}'
        )


def _parameter(key: str, given: dict[str, Any]) -> Choice | Range:
    """Check one parameter, `key` naming it in errors."""
    _refuse_unknown(f'{key}.', given, ('value', 'values', 'min', 'max', 'distribution'))
    if 'value' in given:
        return Choice((given['value'],))
    if given.get('values'):
        return Choice(tuple(given['values']))
    low, high = given.get('min'), given.get('max')
    numbers = [end for end in (low, high) if isinstance(end, int | float)]
    if len(numbers) < 2 or numbers[0] > numbers[1]:
        raise LipfaultError(f'{key}: needs value, values, or min and max, got {given}')
    # W&B's defaults: integers if both ends are integers.
    whole = all(isinstance(end, int) for end in numbers)
    shape = given.get('distribution', 'int_uniform' if whole else 'uniform')
    if shape not in ('uniform', 'int_uniform', 'log_uniform_values'):
        raise LipfaultError(
            f'{key}: distribution {shape!r} is not supported offline; supported are uniform, '
            'int_uniform and log_uniform_values'
        )
    if shape == 'log_uniform_values' and numbers[0] <= 0:
        raise LipfaultError(f'{key}: a logarithmic range must begin above 0, got {numbers[0]}')
    low, high = numbers
    return Range(low, high, shape == 'int_uniform', shape == 'log_uniform_values')


_ENVIRONMENT = re.compile(r'\$\{envvar:([A-Z0-9_]+)\}')


def _variable(found: re.Match[str]) -> str:
    """Return the value of an environment variable in a command."""
    if found[1] not in os.environ:
        raise LipfaultError(f'the command of the sweep needs the environment variable {found[1]}')
    return os.environ[found[1]]
