"""Measurements of a finished run, cached in its folder."""

import json
from collections.abc import Callable
from typing import Any

from experiments.runner.results import write_json
from experiments.runner.run import Run


def once(run: Run, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return a measurement of a run, from `<name>.json` in its folder if the file exists.

    Args:
        run: A tested run. Its folder belongs to one configuration, so the cache needs no key; a
            changed measurement needs another name.
        name: Name of the file, without suffix.
        measure: Computes the measurement, plain values; their order is kept.

    Returns:
        The measurement as read back from JSON.
    """
    file = run.folder / f'{name}.json'
    if not file.exists():
        write_json(file, measure(), in_order=True)
    # Read back even after measuring: the first report and later ones then get equal values.
    found: dict[str, Any] = json.loads(file.read_text())
    return found
