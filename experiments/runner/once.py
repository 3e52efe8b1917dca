"""What is measured of a finished run, kept in its folder, so that no report measures it again."""

import json
from collections.abc import Callable
from typing import Any

from experiments.runner.results import write_json
from experiments.runner.run import Run


def once(run: Run, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `measure` gives, from `<name>.json` in the run's folder if it is there.

    Args:
        run: A tested run; its folder is for one configuration only. Whoever changes what is
            measured gives it another name.
        name: Of the file, without ending.
        measure: Plain values; their order is kept.
    """
    file = run.folder / f'{name}.json'
    if not file.exists():
        write_json(file, measure(), in_order=True)
    found: dict[str, Any] = json.loads(file.read_text())
    return found
