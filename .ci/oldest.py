"""Print constraints-oldest.txt: the lowest version of each dependency in pyproject.toml."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EXTRAS = ('baselines', 'importers', 'simulate', 'sweep', 'test')
"""Installed by `make test-oldest`; `dashboard` requires a newer wandb than the rest of lipfault."""


def oldest(project: dict[str, Any]) -> Iterator[str]:
    """Yield one `name==version` for each dependency, in alphabetical order.

    Args:
        project: Table `project` of pyproject.toml.

    Yields:
        Lines of a constraints file.

    Raises:
        ValueError: If a requirement has no lowest version.
    """
    extras = project['optional-dependencies']
    requirements = [*project['dependencies'], *(line for name in EXTRAS for line in extras[name])]
    # Two extras may need the same package.
    for requirement in sorted(set(requirements), key=str.lower):
        found = re.fullmatch(r'([\w.-]+)(?:\[[\w,]+\])?[>=]=([\w.]+).*', requirement)
        if found is None:
            raise ValueError(f'{requirement}: has no lowest version')
        yield f'{found[1]}=={found[2]}'


if __name__ == '__main__':
    pyproject = tomllib.loads((Path(__file__).parents[1] / 'pyproject.toml').read_text())
    sys.stdout.writelines(f'{line}\n' for line in oldest(pyproject['project']))
